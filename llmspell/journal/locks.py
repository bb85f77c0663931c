"""Who runs a run: one process, by a lock that the kernel frees when it ends in any way."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from llmspell.errors import RunBusy

_LOOK = 0.001
"""Seconds in which somebody who looks whether the lock is taken has looked."""
_LOOKS = 1000


class RunLock:
    """The lock of one run: a file in the folder `running` beside the journal."""

    def __init__(self, journal: Path, run: str) -> None:
        """Take it. Raises RunBusy when another process has it, or this one has already."""
        self._path = journal.with_name("running") / run
        self._descriptor = self._taken(run)

    def _taken(self, run: str) -> int:
        for _ in range(_LOOKS):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _same(descriptor, self._path):
                    return descriptor
            except BlockingIOError:
                if not _is_free(descriptor):
                    os.close(descriptor)
                    break
                time.sleep(_LOOK)
            # Somebody looked, or whoever had it has removed the file meanwhile.
            os.close(descriptor)
        raise RunBusy(
            f"another process is at the run {run}", hint="wait until it has ended, or end it"
        )

    def release(self) -> None:
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)


def is_running(journal: Path, run: str) -> bool:
    """Whether some process is at that run now."""
    path = journal.with_name("running") / run
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not _is_free(descriptor)
    finally:
        os.close(descriptor)


def _is_free(descriptor: int) -> bool:
    """Whether nobody has that lock, apart from those who look at it as this does."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _same(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
