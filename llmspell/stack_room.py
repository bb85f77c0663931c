"""Room for calls on CPython's stack of frames.

The stack consists of chunks, of 16 KiB or as large as their first frame needs, each of which is freed
with that frame (`push_chunk` in CPython's Python/pystate.c). So calls that happen to begin just behind
the end of a chunk take up to twenty times as long, and whoever chooses how deeply a value is nested
chooses where its functions begin.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

LARGE = 1 << 14
"""Bytes of a message or an encoded value for which making room pays."""


def with_room(work: Callable[[], T]) -> T:
    """Call a function with the end of the chunk 248 KiB away, at the price of 20 µs."""
    return work()


with_room.__code__ = with_room.__code__.replace(co_stacksize=33_000)  # so 512 KiB are allocated
