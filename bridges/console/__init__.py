from __future__ import annotations

from llmspell.bridge import Bridge
from llmspell.console import Console
from llmspell.effects import Effect

bridge = Bridge("console", __file__)


@bridge.effect(repeatable=True)
async def read_line(effect: Effect, prompt: str = "") -> str | None:
    """The next line of standard input, or nil at the end."""
    return await effect.run[Console].read_line(prompt)
