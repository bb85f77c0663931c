"""What time it is, for spells and for what waits on their behalf.

A loop of virtual time (see `llmspell.testing.virtual_time`) says it itself, so that waiting for a
week takes no time in a test, and all clocks agree that a week has passed.
"""

from __future__ import annotations

import asyncio
import time


def now() -> float:
    """Seconds since 1970, UTC."""
    tell = getattr(_loop(), "now", None)
    return time.time() if tell is None else float(tell())


def monotonic() -> float:
    """Seconds since some moment, never less than before: the clock that timeouts go by."""
    loop = _loop()
    return time.monotonic() if loop is None else loop.time()


def _loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
