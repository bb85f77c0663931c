"""Snapshots: expected texts in a file next to the tests."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

_MARK = "=== "
_MARGIN = "    "


class Snapshots:
    """The snapshots of a test file, in `__snapshots__/NAME.snap` next to it.

    Each has a line with its name, followed by its lines, indented by four spaces. Bytes that are
    not UTF-8 are stored as they are, and represented in texts by `surrogateescape`.

    Attributes:
        test: Name of the running test; its snapshots without a name are numbered.
        written: How many snapshots were added or replaced.
    """

    def __init__(self, tests: Path, *, update: bool = False) -> None:
        self.file = tests.parent / "__snapshots__" / f"{tests.stem}.snap"
        self._update = update
        self._kept = _read(self.file) if self.file.is_file() else {}
        self._seen: dict[str, str] = {}
        self._counts: Counter[str] = Counter()
        self.test = ""
        self.written = 0

    def compare(self, text: str, name: str | None = None) -> str | None:
        """Return None if the text matches its snapshot or becomes it; otherwise the snapshot."""
        if name is None:
            self._counts[self.test] += 1
            name = str(self._counts[self.test])
        full = f"{self.test}: {name}".replace("\n", "\\n")
        kept = self._kept.get(full)
        if kept is not None and kept != text and not self._update:
            self._seen[full] = kept
            return kept
        self._seen[full] = text
        self.written += kept != text
        return None

    def save(self, *, whole: bool) -> int:
        """Write the file; return how many stale snapshots were deleted.

        Only a `whole` run that updates snapshots can tell which ones are stale.
        """
        stale = self._kept.keys() - self._seen.keys() if whole and self._update else set()
        if self.written or stale:
            kept = {n: t for n, t in (self._kept | self._seen).items() if n not in stale}
            self.file.parent.mkdir(exist_ok=True)
            content = "".join(_written(n, kept[n]) for n in sorted(kept))
            self.file.write_bytes(content.encode("utf-8", "surrogateescape"))
        return len(stale)


def _written(name: str, text: str) -> str:
    lines = [_MARGIN + line if line else "" for line in text.split("\n")]
    return "\n".join([f"{_MARK}{name}", *lines, "", ""])


def _read(file: Path) -> dict[str, str]:
    kept: dict[str, list[str]] = {}
    lines: list[str] = []
    content = file.read_bytes().decode("utf-8", "surrogateescape")
    for line in content.removesuffix("\n").split("\n"):
        if line.startswith(_MARK):
            lines = kept[line.removeprefix(_MARK)] = []
        else:
            lines.append(line.removeprefix(_MARGIN))
    return {name: "\n".join(lines[:-1]) for name, lines in kept.items()}
