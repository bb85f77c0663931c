"""Turns of the processes that update a key of one file."""

from __future__ import annotations

import asyncio
import os
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from zlib import crc32

PATIENCE = 10.0
"""Seconds an update waits for its turn; then it goes on, since two updates may wait for each other."""
LONGEST_PAUSE = 0.02


class ProcessTurns:
    """Locks keys among processes, by bytes of a file, which the kernel unlocks when one is killed.

    Turns only save work: whether an update may commit is decided by the version of its key. So
    where files cannot be locked, all goes on without turns.

    Args:
        path: The file, whose content does not matter.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: int | None = None

    @asynccontextmanager
    async def turn(self, scope: str, key: str) -> AsyncIterator[None]:
        """Hold the turn of a key."""
        place = crc32(f"{scope}\0{key}".encode())
        file = await self._locked(place)
        try:
            yield
        finally:
            if file is not None and file == self._file:
                _unlock(file, place)

    async def _locked(self, place: int) -> int | None:
        """Lock a byte and return the file; None if that is impossible, or takes too long."""
        pause, until = 0.001, time.monotonic() + PATIENCE
        try:
            if self._file is None:
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            while not _lock(self._file, place):
                if time.monotonic() > until:
                    return None
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
        except OSError:
            return None
        return self._file

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            os.close(file)


def _lock(file: int, place: int) -> bool:
    """Lock a byte of an open file; return whether nobody else holds it. Raises OSError."""
    import fcntl

    try:
        _set(file, place, fcntl.F_WRLCK)
    except (BlockingIOError, PermissionError):  # the two errors that say it is locked
        return False
    return True


def _unlock(file: int, place: int) -> None:
    import fcntl

    _set(file, place, fcntl.F_UNLCK)


def _set(file: int, place: int, kind: int) -> None:
    """Set a lock that belongs to the open file, so that two stores of one process exclude each other."""
    import fcntl

    fcntl.fcntl(file, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", kind, os.SEEK_SET, place, 1, 0))
