"""Durations as text: "7d", "1h30m", "250ms"."""

from __future__ import annotations

import re

_SCALES = {"w": 604800.0, "d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|[wdhms])")


def seconds_in(text: str) -> float:
    """Parse a duration and return its seconds. Raises ValueError when it is not one."""
    at, seconds = 0, 0.0
    while at < len(text):
        part = _PART.match(text, at)
        if part is None:
            break
        seconds += float(part[1]) * _SCALES[part[2]]
        at = part.end()
    if not at or text[at:].strip():
        raise ValueError(f"{text!r} is not a duration")
    return seconds
