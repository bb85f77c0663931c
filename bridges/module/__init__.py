from __future__ import annotations

from llmspell.bridge import Bridge
from llmspell.effects import Effect
from llmspell.lua_modules import Modules

bridge = Bridge("module", __file__)


@bridge.effect(repeatable=True)
def load(effect: Effect, name: str) -> dict[str, str | bytes]:
    """The source of a module and its file: {source, file}."""
    return effect.run[Modules].load(name)
