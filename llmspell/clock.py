"""The current time, for spells and for the timers of the host.

An event loop with virtual time (see `llmspell.testing.virtual_time`) supplies the time itself, so
that waiting for a week takes no time in a test, and all clocks agree that a week has passed.
"""

from __future__ import annotations

import asyncio
import time


def now() -> float:
    """Seconds since 1970, UTC."""
    tell = getattr(_loop(), "now", None)
    return time.time() if tell is None else float(tell())


def monotonic() -> float:
    """Seconds since an arbitrary moment, never decreasing: the clock that timeouts use."""
    loop = _loop()
    return time.monotonic() if loop is None else loop.time()


def _loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
