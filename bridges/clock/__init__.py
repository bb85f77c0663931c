from __future__ import annotations

import time

from llmspell.bridge import Bridge

bridge = Bridge("clock", __file__)


@bridge.effect(repeatable=True)
def now() -> float:
    """Seconds since 1970, UTC."""
    return time.time()
