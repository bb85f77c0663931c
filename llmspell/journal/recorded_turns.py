"""What the Lua states of a run were told at its recorded turns."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from typing import NamedTuple

from llmspell.journal.reader import Reader
from llmspell.journal.recorded_calls import RecordedCall
from llmspell.journal.records import RecordedRun


class Batch(NamedTuple):
    """What a Lua state was told at one turn: the names of the messages, and the calls by leaves."""

    under: str
    names: list[str]
    calls: dict[str, RecordedCall]


class RecordedTurns:
    """The turns of a run at which something else would have been possible.

    Attributes:
        calls: The calls that leaves made, by path, and that their leaf has not repeated yet.
    """

    def __init__(self, run: RecordedRun, reader: Reader, last: int | None = None) -> None:
        """Read the turns, up to the `last` one if given. Raises JournalError."""
        self._batches = {
            turn.number: Batch(turn.under, turn.batch.split(",") if turn.batch else [], {})
            for turn in reader.turns(run)
            if last is None or turn.number <= last
        }
        self._last = max(self._batches, default=0)
        self.calls: dict[str, deque[RecordedCall]] = {}
        for call in reader.calls(run):
            if batch := self._batches.get(call.turn):
                batch.calls[f"c{call.path}"] = call
                self.calls.setdefault(batch.under + call.path, deque()).append(call)
        self._of_state: dict[str, list[int]] = {}
        self._last_made: dict[str, int] = {}
        for number, batch in self._batches.items():
            self._of_state.setdefault(batch.under, []).append(number)
            if any(self._is_made(batch.under, name) for name in batch.names):
                self._last_made[batch.under] = number

    def _is_made(self, under: str, name: str) -> bool:
        """Return whether a message with that name is a leaf's call, or aborts one."""
        return name.startswith(("c", "a")) and under + name[1:] in self.calls

    def batch(self, turn: int) -> Batch | None:
        """Return what Lua was told at a turn, or None if only one thing was possible."""
        return self._batches.get(turn)

    def go_on_after(self, turn: int) -> bool:
        return turn < self._last

    def state_goes_on_after(self, turn: int, under: str) -> bool:
        """Return whether a Lua state has more turns, until the run ends or another begins at its path."""
        numbers = self._of_state.get(under, [])
        after = bisect_right(numbers, turn)
        return after < len(numbers) and self._batches[numbers[after]].names not in (["0"], ["end"])

    def make_calls_after(self, turn: int, under: str) -> bool:
        """Return whether a Lua state is told of a leaf's call, or of its abort, after a turn."""
        return turn < self._last_made.get(under, 0)

    def calls_at(self, path: str) -> deque[RecordedCall]:
        """Return the recorded calls at a path that their leaf has not repeated yet."""
        return self.calls.get(path) or deque()
