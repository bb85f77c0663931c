"""Records what the spell has got of answers that are still arriving.

What the spell does next may depend on it. So it is recorded with whatever is recorded next; a
replay gives the spell the same, although the answer has never become whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llmspell.journal.stored_values import Row, TextOf
from llmspell.values import Value

_PART = "INSERT OR REPLACE INTO delivered VALUES (?, ?, ?, ?, ?)"
_GONE = "DELETE FROM delivered WHERE run = ? AND path = ?"

Parts = Callable[[], Sequence[Value]]
"""Returns the parts of an answer that the spell has got so far."""


class DeliveredParts:
    """The parts of the answers in progress in one run.

    Attributes:
        arriving: The answers that are still arriving, by the paths of their leaves.
    """

    def __init__(self, run: int) -> None:
        self._run = run
        self.arriving: dict[str, tuple[int, Parts, TextOf]] = {}
        self._recorded: dict[str, int] = {}

    def begin(self, path: str, asked: int, parts: Parts, text_of: TextOf) -> None:
        """Note that the answer to the leaf at a path arrives from now on.

        `asked` is the number of the last leaf that had ended when it was requested.
        """
        self.arriving[path] = asked, parts, text_of

    def rows(self) -> list[Row]:
        """Return rows for the parts that have been delivered since the last time."""
        rows: list[Row] = []
        for path, (asked, parts, text_of) in self.arriving.items():
            known = self._recorded.get(path, 0)
            new = parts()[known:]
            for number, part in enumerate(new, known):
                rows.append((_PART, (self._run, path, number, asked, text_of(part))))
            if new:
                self._recorded[path] = known + len(new)
        return rows

    def end(self, path: str, kind: str) -> list[Row]:
        """Note that a leaf has ended; return the rows that delete its parts, if it will not be repeated."""
        self.arriving.pop(path, None)
        recorded = self._recorded.pop(path, 0)
        return [(_GONE, (self._run, path))] if recorded and kind != "error" else []
