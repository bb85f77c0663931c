from __future__ import annotations

from dataclasses import asdict

from llmspell.bridge import Bridge
from llmspell.config import Project
from llmspell.effects import Effect
from llmspell.limits import Limits
from llmspell.permissions import Permissions
from llmspell.providers.models import Models
from llmspell.values import Value, plain

bridge = Bridge("config", __file__)


@bridge.effect(repeatable=True)
async def get(effect: Effect) -> dict[str, Value]:
    """The configuration of the run: {model, limits, grants, project}. It contains no keys."""
    run = effect.run
    return {
        "model": (await run[Models].default()).model,
        "limits": asdict(run[Limits]),
        "grants": plain(run[Permissions].granted),
        "project": str(run[Project].root),
    }
