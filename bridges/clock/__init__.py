from __future__ import annotations

from llmspell import clock
from llmspell.bridge import Bridge

bridge = Bridge("clock", __file__)


@bridge.effect(repeatable=True)
def now() -> float:
    """Seconds since 1970, UTC."""
    return clock.now()
