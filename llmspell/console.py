"""Lines from standard input, for interactive spells."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from contextlib import suppress


class Console:
    """Standard input, read line by line without blocking the event loop.

    Reads the descriptor itself, not `sys.stdin`: a thread left blocked in there at exit would hold
    its lock.
    """

    def __init__(self, descriptor: int = 0, *, entered: Callable[[], None] = lambda: None) -> None:
        """Read a descriptor; `entered` is called when a person has pressed Enter."""
        self._descriptor, self._entered = descriptor, entered
        self._pending = b""
        # Of a process without standard input, some other file has its descriptor.
        self._ended = descriptor == 0 and sys.__stdin__ is None
        self._reading = asyncio.Lock()

    async def read_line(self, prompt: str = "") -> str | None:
        """Return the next line without its line end, or None at the end of input.

        The prompt is shown on stderr if the input is a terminal.
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
        """Return the line a person types after seeing the question, or None at the end of input.

        The descriptor must be a terminal. Input typed before the question is discarded.
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

        # Regular files and /dev/null cannot be polled; they are always ready.
        with suppress(PermissionError):
            await wait_readable(self._descriptor)
        return os.read(self._descriptor, 1 << 16)
