"""Who runs a run: one process, by a lock that the kernel frees when it ends in any way."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from llmspell.errors import RunBusy


class RunLock:
    """The lock of one run: a file in the folder `running` beside the journal."""

    def __init__(self, journal: Path, run: str) -> None:
        """Take it. Raises RunBusy when another process has it, or this one has already."""
        self._path = journal.with_name("running") / run
        self._descriptor = self._taken(run)

    def _taken(self, run: str) -> int:
        while True:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _same(descriptor, self._path):
                    return descriptor
            except BlockingIOError:
                os.close(descriptor)
                raise RunBusy(
                    f"another process is at the run {run}",
                    hint="wait until it has ended, or end it",
                ) from None
            os.close(descriptor)  # whoever had it has removed the file meanwhile

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
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _same(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
