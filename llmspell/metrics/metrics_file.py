"""The metrics of a project, to which each runtime adds its own when it stops."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from llmspell.atomic_files import replace_file
from llmspell.metrics.exposition import Series, exposition, merged, read


class MetricsFile:
    """The metrics file, which several processes may update concurrently."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def read(self) -> dict[str, float]:
        """Read the metrics. Raises OSError, and ValueError if the file is malformed."""
        try:
            return read(self.file.read_bytes().decode())
        except FileNotFoundError:
            return {}

    def add(self, more: Series) -> None:
        """Add metrics to the file. Raises like `read`."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self._locked():
            text = exposition(merged(self.read(), more))
            replace_file(self.file, text.encode(), durable=False)

    def clear(self) -> None:
        """Delete the file. Raises OSError."""
        if self.file.exists():
            with self._locked():
                self.file.unlink(missing_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        import fcntl

        with self.file.with_suffix(".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
