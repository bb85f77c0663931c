"""Lines from standard input, for spells that talk with a person."""

from __future__ import annotations

import os
import sys
from contextlib import suppress


class Console:
    """Standard input, read line by line without blocking the event loop.

    The descriptor itself is read, not `sys.stdin`: a thread left waiting in there at exit would
    hold its lock.
    """

    def __init__(self, descriptor: int = 0) -> None:
        self._descriptor = descriptor
        self._pending = b""
        self._ended = False

    async def read_line(self, prompt: str = "") -> str | None:
        """The next line without its line end, or None after the last.

        The prompt is shown on stderr when a person is there to read it.
        """
        if prompt and os.isatty(self._descriptor):
            sys.stderr.write(prompt)
            sys.stderr.flush()
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
