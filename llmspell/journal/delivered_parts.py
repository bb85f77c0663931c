"""Records what the spell has got of answers that are still arriving.

What the spell does next may depend on it. So a replay gives the spell the same, although the answer
has never become whole; and so does a resumed run, unless nothing was done since that has to be
repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llmspell.journal.stored_values import Row, TextOf
from llmspell.values import Value

_PART = "INSERT OR REPLACE INTO delivered VALUES (?, ?, ?, ?, ?, ?)"
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
        self._told: dict[str, int] = {}  # how many parts are recorded
        self._settled: dict[str, int] = {}  # and how many of these with a leaf after them

    def begin(self, path: str, asked: int, parts: Parts, text_of: TextOf) -> None:
        """Note that the answer to the leaf at a path arrives from now on.

        `asked` is the number of the last leaf that had ended when it was requested.
        """
        self.arriving[path] = asked, parts, text_of

    def tell(self, turn: int) -> list[Row]:
        """Return rows for the parts that the spell is told at a turn."""
        return self._rows(self._told, turn)

    def settle(self) -> list[Row]:
        """Return rows for all parts, now that a leaf is recorded."""
        rows = self._rows(self._settled, None)
        self._told |= self._settled
        return rows

    def _rows(self, known: dict[str, int], turn: int | None) -> list[Row]:
        rows: list[Row] = []
        for path, (asked, parts, text_of) in self.arriving.items():
            first = known.get(path, 0)
            for number, part in enumerate(parts()[first:], first):
                rows.append((_PART, (self._run, path, number, asked, turn, text_of(part))))
                known[path] = number + 1
        return rows

    def end(self, path: str, kind: str) -> list[Row]:
        """Note that a leaf has ended; return the rows that delete its parts, unless it failed."""
        self.arriving.pop(path, None)
        self._settled.pop(path, None)
        told = self._told.pop(path, 0)
        return [(_GONE, (self._run, path))] if told and kind != "error" else []
