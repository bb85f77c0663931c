from __future__ import annotations

from llmspell.bridge import Bridge
from llmspell.effects import Effect
from llmspell.providers.messages import ModelRequest
from llmspell.providers.models import Models
from llmspell.providers.plain import request_from_plain
from llmspell.values import Value

bridge = Bridge("model", __file__)


@bridge.effect(bind=lambda effect: {"wanted": request_from_plain(effect.args)})
async def request(effect: Effect, wanted: ModelRequest) -> dict[str, Value]:
    """Ask a model once. The shapes are those of `llmspell.providers.messages`."""
    response = await effect.run[Models].complete(wanted)
    return response.as_plain()
