"""The ids of runs, and the seeds of their random numbers."""

from __future__ import annotations

import os
import re
import time


def new_id() -> str:
    """Return a new run id: the current time and a random part."""
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{os.urandom(3).hex()}"


def is_id(text: object) -> bool:
    return (
        isinstance(text, str) and re.fullmatch(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{6}", text) is not None
    )


def new_seed() -> int:
    """Return a random 31-bit seed."""
    return int.from_bytes(os.urandom(4)) >> 1
