"""Lines from standard input, for spells that talk with a person."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from contextlib import suppress


class Console:
    """Standard input, read line by line without blocking the event loop.

    The descriptor itself is read, not `sys.stdin`: a thread left waiting in there at exit would
    hold its lock.
    """

    def __init__(self, descriptor: int = 0, *, entered: Callable[[], None] = lambda: None) -> None:
        """Read a descriptor; `entered` is told when a person has typed a line, and pressed Enter."""
        self._descriptor, self._entered = descriptor, entered
        self._pending = b""
        self._ended = False
        self._reading = asyncio.Lock()

    async def read_line(self, prompt: str = "") -> str | None:
        """The next line without its line end, or None after the last.

        The prompt is shown on stderr when a person is there to read it.
        """
        async with self._reading:
            typed = os.isatty(self._descriptor)
            if prompt and typed:
                sys.stderr.write(prompt)
                sys.stderr.flush()
            line = await self._next_line()
            if typed and line is not None:
                self._entered()
            return line

    async def read_answer(self, question: str) -> str | None:
        """The line that a person types after having seen the question, or None for no more.

        The descriptor is a terminal. What was typed before is no answer, and is thrown away.
        """
        import termios

        async with self._reading:
            kept, self._pending = self._pending, b""
            termios.tcflush(self._descriptor, termios.TCIFLUSH)
            sys.stderr.write(question)
            sys.stderr.flush()
            line = None
            try:
                line = await self._next_line()
            finally:
                self._pending, self._ended = kept, False
                if line is None:
                    sys.stderr.write("\n")
            return line

    async def _next_line(self) -> str | None:
        while b"\n" not in self._pending and not self._ended:
            more = await self._read()
            self._ended = not more
            self._pending += more
        if not self._pending:
            return None
        line, _, self._pending = self._pending.partition(b"\n")
        return line.removesuffix(b"\r").decode("utf-8", "replace")

    async def _read(self) -> bytes:
        from anyio import wait_readable

        # A regular file cannot be waited for, nor can /dev/null; they are always ready.
        with suppress(PermissionError):
            await wait_readable(self._descriptor)
        return os.read(self._descriptor, 1 << 16)
