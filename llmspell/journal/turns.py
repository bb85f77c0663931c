"""Records what a Lua state is told at each of its turns, and tells it the same again in a replay.

A spell repeats itself exactly if it receives the same messages in the same batches. Mostly only one
batch is possible. Where several things are in progress, their order depends on timing and is
recorded. Calls from leaves into the spell are recorded too, because nothing makes them when the
leaf is answered from the record.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, cast

from llmspell.journal.recorded_calls import storable
from llmspell.journal.recording import Recording
from llmspell.journal.slices import Slices
from llmspell.lua import messages
from llmspell.values import LuaFunction

if TYPE_CHECKING:
    from llmspell.journal.abandoned_effects import GivenUp
    from llmspell.journal.history import History
    from llmspell.journal.ledger import Call
    from llmspell.journal.recorded_calls import RecordedCall
    from llmspell.journal.recorded_turns import Batch

Named = tuple[str, bytes]
"""The name of a message in the record (what it answers, calls or aborts), and the message."""


class Turns:
    """The turns of one Lua state.

    Attributes:
        slices: The turns in which the state computes outside the event loop.
        held: Messages that are held back until their turn.
        waits: Whether the next batch is incomplete, or belongs to another state.
    """

    def __init__(
        self,
        recording: Recording,
        under: str,
        end_opened: Callable[[str], None],
        wake: Callable[[], None],
        number: Callable[[bool], int],
        refuse: Callable[[], None],
    ) -> None:
        """Prepare.

        Args:
            recording: The recording of the run.
            under: The path of the effect that runs the child, with a slash; empty for the run
                itself.
            end_opened: Ends what the effect at a path has opened for the spell.
            wake: Has the driver ask for a batch again.
            number: Allocates the number of a call that is made from the record; its argument says
                whether somebody may want the call's outcome.
            refuse: Has the driver refuse calls into the spell, once it is abandoned.
        """
        self.slices = Slices(recording, under, wake)
        self.held: list[Named] = []
        self.waits = False
        self._recording, self._under, self._wake = recording, under, wake
        self._number, self._end_opened = number, end_opened
        self._made: dict[str, int] = {}  # calls made from the record, by the names of their aborts
        self._calls: dict[int, str] = {}  # the paths of calls
        self._dropped: set[int] = set()  # calls of abandoned effects, which Lua never hears of
        self._asked: dict[int, str] = {}  # the paths of effects, by tasks that were told no answer
        if under:
            recording.abandoned.runs_child(under[:-1], refuse)

    @property
    def expects(self) -> bool:
        """Whether the state may be told something although no message arrives."""
        recording = self._recording
        history = recording.history
        return bool(self.held) or (
            history is not None and history.turns.make_calls_after(recording.turn, self._under)
        )

    def take(self, inbox: list[bytes], *, more: bool, alone: bool) -> list[bytes] | None:
        """Return the batch of the next turn; None if it is incomplete or not this state's turn.

        Args:
            inbox: New messages.
            more: Whether Lua can continue without being told anything.
            alone: Whether nothing else is in progress.
        """
        self.waits = False
        if alone and len(inbox) == 1 and not more and self._is_forced(inbox[0]):
            self._recording.turned("", None)
            self._asked.clear()
            return inbox
        for message in inbox:
            if messages.is_end(message):
                return [message]
            self._hold(message)
        return self._batch(more=more, alone=alone)

    def _batch(self, *, more: bool, alone: bool) -> list[bytes] | None:
        """Return the next batch from the held messages."""
        recording = self._recording
        history = recording.history
        if recording.abandoned.void:
            self._drop_void()
        if recording.abandoned.is_abandoned(self._under):
            self._wait(None)
            return None
        if recording.leaving() or (history is not None and self._is_early(history)):
            self._wait(history)
            return None
        if history is not None and history.turns.go_on_after(recording.turn):
            recorded = history.turns.batch(recording.turn + 1)
            if recorded is not None and recorded.under == self._under:
                return self._told(history, recorded)
            if recorded is not None or self._under:
                self._wait(history)
                return None
        if not (self.held or more):
            return None
        batch, self.held = self.held, []
        of_leaves = [named for named in batch if self._is_of_leaf(named[0])]
        others = recording.open or self._under or of_leaves or (more and batch)
        forced = alone and len(batch) < 2 and not others  # noqa: PLR2004
        names = None if forced else ",".join(name for name, _ in batch)
        calls = [self._as_recorded(*named) for named in of_leaves if named[0].startswith("c")]
        recording.turned(self._under, names, calls)
        return self._tell(batch)

    def _is_early(self, history: History) -> bool:
        """Return whether the record has something else first: outcomes, or a state's messages."""
        turn = self._recording.turn
        unheard = self._recording.in_time and history.turns.go_on_after(turn)
        return bool(unheard) or not history.ready(turn)

    def _is_forced(self, message: bytes) -> bool:
        """Return whether the run goes on, and this message is all that it can be told."""
        recording = self._recording
        if recording.open or self.held or self._under or messages.is_end(message):
            return False
        if recording.calls:
            kind, number = messages.head_of(message)
            if kind == "abort" and self._is_of_leaf(f"a{self._calls.get(number, '')}"):
                return False
        history, turn = recording.history, recording.turn
        if history is not None and not (
            history.ready(turn) and history.turns.batch(turn + 1) is None
        ):
            return False
        return not recording.leaving()

    def begin_call(self, path: str, message: bytes) -> int | None:
        """Note a call into the spell; return the call's number if the record makes it."""
        recording, place = self._recording, self._under + path
        recording.abandoned.call_began(place, self._under[:-1])
        leaf = recording.leaf_of(place)
        if leaf is None:
            return None
        recording.calls.add(place, leaf)
        left = recording.history and recording.history.turns.calls_at(place)
        again = left.popleft() if left else None
        if not again or (path, again.function, again.text) != self._as_recorded(path, message):
            return None
        if again.number is None:
            again.number = self._number(True)
            self._calls[again.number] = path
        return again.number

    def note_request(self, task: int, path: str) -> None:
        """Note that a task requests the effect at a path."""
        self._asked[task] = path

    def abandon(self, task: int) -> Callable[[], None]:
        """Note that a task's effect is being cancelled; return a callback for when that is done."""
        path = f"{self._under}{self._asked[task]}"
        self._recording.abandoned.add(path)
        return partial(self._recording.abandoned.over, path)

    def given_up(self, path: str) -> GivenUp | None:
        """Return what to await instead of calling the spell in a task, if its effect was abandoned."""
        return self._recording.abandoned.find(f"{self._under}{path}".rpartition(".")[0])

    def end_call(self, path: str) -> None:
        """Note that the task which answered a call into the spell has ended, or never began."""
        place = f"{self._under}{path}"
        self._recording.abandoned.call_ended(place)
        if self._recording.calls:
            self._recording.calls.call_ended(place)

    def leave(self) -> None:
        """Note that the run stops, so that no state has turns any more."""
        self._recording.abandoned.leave()

    def has_more(self) -> bool:
        """Return whether the record has more turns of this state."""
        recording = self._recording
        history = recording.history
        return history is not None and history.turns.state_goes_on_after(
            recording.turn, self._under
        )

    async def finished(self) -> None:
        """Wait until the state has had all of its recorded turns."""
        while self.has_more():
            woken = asyncio.Event()
            cast("History", self._recording.history).hold(woken.set)
            await woken.wait()

    def ended(self) -> None:
        """Note that the Lua state has ended."""
        self._recording.abandoned.child_ended(self._under[:-1])
        self.slices.drop()

    def drop(self, task: int, inbox: list[bytes]) -> None:
        """Drop the answer to a task that was cancelled, and what the effect has opened for the spell.

        Whether it has come so far by now depends on timing, and nobody would see it.
        """
        for message in inbox:
            self._hold(message)
        self.held = [named for named in self.held if named[0] != str(task)]
        if asked := self._asked.pop(task, None):
            self._end_opened(f"{self._under}{asked}")

    def forget_call(self, number: int, abort: bytes) -> None:
        """Note that the task which answers a call has ended, and drop the call's abort.

        Whether that arrives before the end is heard depends on timing, and nobody would see it.
        """
        if self.held:
            self.held = [named for named in self.held if named[1] != abort]
        if (path := self._calls.pop(number, None)) is not None:
            self._made.pop(f"a{path}", None)
            self.end_call(path)
        self._dropped.discard(number)

    def _drop_void(self) -> None:
        """Drop calls that abandoned effects had made."""
        kept = []
        for name, message in self.held:
            if name.startswith("c") and self._under + name[1:] in self._recording.abandoned.void:
                self._dropped.add(messages.head_of(message)[1])
            else:
                kept.append((name, message))
        self.held = kept

    def _hold(self, message: bytes) -> None:
        """Hold a message until its turn; an abort cancels out a held call."""
        kind, number = messages.head_of(message)
        if kind == "abort":
            call = f"c{self._calls.get(number, '')}"
            if any(name == call for name, _ in self.held):
                self.held = [named for named in self.held if named[0] != call]
                self.end_call(call[1:])
                return
            if number in self._dropped:
                self.end_call(call[1:])
                return
        self.held.append((self._name(message), message))

    def _told(self, history: History, recorded: Batch) -> list[bytes] | None:
        """Return the recorded batch, if all of its messages have arrived."""
        names, calls = recorded.names, recorded.calls
        there = {name: message for name, message in self.held if name not in calls}
        if not all(name in there or name in calls or name in self._made for name in names):
            self._wait(history)
            return None
        told = [
            (name, there.get(name) or self._made_again(history, name, calls.get(name)))
            for name in names
        ]
        self.held = [named for named in self.held if named[0] in calls or named[0] not in names]
        self._recording.turned(self._under, None)
        return self._tell(told)

    def _tell(self, batch: list[Named]) -> list[bytes]:
        """Return the messages of a batch; the effects that it answers cannot be abandoned any more."""
        for name, _ in batch:
            if name.isdecimal():
                self._asked.pop(int(name), None)
        return [message for _, message in batch]

    def _made_again(self, history: History, name: str, call: RecordedCall | None) -> bytes:
        """Return the message for a recorded call by a leaf, or for the abort of the last such call."""
        if call is None:
            return messages.abort(self._made[name])
        place = self._under + call.path
        if call.number is None:
            yet = not (history.answers_for(place) or self._recording.is_replay)
            unclaimed = yet and call in history.turns.calls_at(place)
            call.number = self._number(unclaimed)
            self._calls[call.number] = call.path
            if unclaimed:
                self._recording.calls.add_unclaimed(place)
            else:
                self._recording.calls.add(place, None)
        self._recording.abandoned.call_began(place, self._under[:-1])
        self._made[f"a{call.path}"] = call.number
        return messages.call(call.number, call.path, LuaFunction(call.function), call.args)

    def _wait(self, history: History | None) -> None:
        self.waits = True
        if history is not None:
            history.hold(self._wake)

    def _is_of_leaf(self, name: str) -> bool:
        """Return whether a message with that name is a leaf's call, or aborts one."""
        calls = self._recording.calls
        return bool(calls) and name.startswith(("c", "a")) and self._under + name[1:] in calls

    def _as_recorded(self, name: str, message: bytes) -> Call:
        function, args = messages.called(message)
        return name.removeprefix("c"), function.id, self._recording.text_of(storable(args))

    def _name(self, message: bytes) -> str:
        """Return the name of a message: a task's number, or c (call) or a (abort) and a path."""
        kind, number = messages.head_of(message)
        if kind == "call":
            self._calls[number] = messages.path_of_call(message)
            return f"c{self._calls[number]}"
        if kind == "abort":
            return f"a{self._calls.get(number, number)}"
        return str(number)
