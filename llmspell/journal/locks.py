"""Locks that let one process at a time execute a run; the kernel frees them however it ends."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from llmspell.errors import RunBusy

_LOOK = 0.001
"""Seconds to wait for another process that only probes the lock."""
_LOOKS = 1000


class RunLock:
    """The lock of one run: a file in the folder `running` next to the journal."""

    def __init__(self, journal: Path, run: str) -> None:
        """Acquire the lock. Raises RunBusy if it is held, by another process or by this one."""
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
            # Another process probed the lock, or its holder has just removed the file.
            os.close(descriptor)
        raise RunBusy(
            f"the run {run} is running in another process", hint="wait for it to end, or stop it"
        )

    def release(self) -> None:
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)


def is_running(journal: Path, run: str) -> bool:
    """Return whether some process is executing a run."""
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
    """Return whether nobody holds the lock exclusively; other probes share it."""
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
