"""Limits on what one run may use. On by default; a breach ends the run, uncatchably."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """The limits of a run.

    Attributes:
        memory: Bytes of Lua memory.
        instructions: Lua instructions between two effects.
        time: Seconds of Lua between two effects; a second is the granularity.
        effects: Effects in the whole run.
        output: Bytes printed in the whole run.
        message: Bytes of one value that crosses between Lua and the host.
    """

    memory: int = 64 << 20
    instructions: int = 500_000_000
    time: float = 10
    effects: int = 1_000_000
    output: int = 16 << 20
    message: int = 16 << 20
