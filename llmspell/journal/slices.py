"""Records when a Lua state is heard that computes outside the event loop, in a thread or a process.

Usually it is heard before the next turn of any state, and before any leaf ends. Otherwise it is late:
that it is, and when it is heard, has a row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from llmspell.journal.recording import BACK, LATE, Recording

if TYPE_CHECKING:
    from llmspell.journal.recorded_turns import Batch


class Slices:
    """The turns of one Lua state in which it computes outside the event loop."""

    def __init__(self, recording: Recording, under: str, wake: Callable[[], None]) -> None:
        """Prepare; the arguments are those of `Turns`."""
        self._recording, self._under, self._wake = recording, under, wake

    def is_late(self) -> bool:
        """Return whether the record says that something else came before this state was heard."""
        recorded = self._recorded_next()
        return recorded is not None and recorded.names == [LATE]

    def begin(self) -> None:
        """Note that the Lua state computes outside the event loop."""
        recording = self._recording
        recording.computing += 1
        if self.is_late():
            recording.turned(self._under, None)
        else:
            recording.in_time.add(self._under)

    def end(self) -> None:
        """Note that it has stopped computing."""
        self._recording.computing -= 1
        self._recording.parking.consider()

    def accept(self) -> bool:
        """Return whether the messages of the state are due now that it has computed, and note that."""
        recording = self._recording
        history = recording.history
        follows = history is not None and history.turns.go_on_after(recording.turn)
        if recording.abandoned.is_abandoned(self._under) or recording.leaving():
            return False
        if self._under in recording.in_time:
            recording.in_time.remove(self._under)
            if history is not None:
                history.wake()
        elif history is None:
            recording.turned(self._under, BACK)
        else:
            recorded = self._recorded_next()
            due = recorded is not None and recorded.names == [BACK] and not recording.in_time
            if not history.ready(recording.turn) or (follows and not due):
                history.hold(self._wake)
                return False
            recording.turned(self._under, None if follows else BACK)
        return True

    def drop(self) -> None:
        """Note that the state has ended, and is not heard any more."""
        self._recording.in_time.discard(self._under)

    def _recorded_next(self) -> Batch | None:
        """Return what is recorded of the next turn, if it is this state's."""
        history = self._recording.history
        recorded = history.turns.batch(self._recording.turn + 1) if history is not None else None
        return recorded if recorded is not None and recorded.under == self._under else None
