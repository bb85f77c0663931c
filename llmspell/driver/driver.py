"""The driver's loop: resumes one Lua state, performs the effects it requests, delivers the replies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from time import monotonic
from types import CoroutineType
from typing import Any

from llmspell.concurrency import new_task
from llmspell.driver.calls import Calls, refusal
from llmspell.driver.held_arguments import SMALL, HeldArguments
from llmspell.driver.outstanding import ENDS_LOOP, SLICE, OutstandingEffects
from llmspell.driver.replies import Replies
from llmspell.errors import (
    EffectError,
    LimitExceeded,
    ReplayError,
    RunSuspended,
    SpellError,
    SpellRuntimeError,
)
from llmspell.journal.turns import Turns
from llmspell.kept import Kept
from llmspell.limits import Limits
from llmspell.lua import messages
from llmspell.lua.codec import MalformedMessage
from llmspell.lua.failures import callback_error, limit_error, spell_error
from llmspell.lua.machine import Machine
from llmspell.run_output import Text
from llmspell.values import LuaFunction, Value

Performer = Callable[[str, Value, str], Any]
"""Performs an effect, of a name, arguments and a path: returns its result, or a coroutine of it."""

Rest = Callable[[], Coroutine[Any, Any, None] | None]
"""Returns a coroutine of the work left when the spell has returned, or None."""

MakeTurns = Callable[[Callable[[], None], Callable[[bool], int], Callable[[], None]], Turns]
"""Creates the record of what Lua is told, from callbacks of the driver.

They wake it, allocate call numbers, and refuse calls into the spell.
"""

AT_ONCE = 100  # calls of functions of the spell before the event loop goes on
LONG_SLICE = 0.05  # seconds of computing after which the next slice runs in a thread


class Driver:
    """Runs one spell once: `await Driver(...).run(messages.main(...))`.

    Attributes:
        came_to: What the spell returned, in a tuple, or the error it failed with; None until then.
        resumed: When Lua was last resumed, on the monotonic clock; 0 before the first time.
    """

    def __init__(
        self,
        vm: Machine,
        perform: Performer,
        *,
        limits: Limits,
        kept: Kept,
        output: Callable[[Text], None],
        turns: MakeTurns | None = None,
    ) -> None:
        self._calls = Calls()
        self._replies = Replies()
        self._effects = OutstandingEffects(self, self._replies, limits.memory)
        self._arguments = HeldArguments(kept)
        self._turns: Turns | None = None
        if turns:
            self._turns = turns(self.schedule, self._calls.new_number, self._calls.refuse)
        self._vm = vm
        self._reader = messages.Reader(self, memory=limits.memory)
        self._perform = perform
        self._limits = limits
        self._output = output
        self._inbox: list[bytes] = []
        self._scheduled = self._more = False
        self._slow = False
        self.resumed = 0.0
        self._elsewhere: asyncio.Future[bytes] | None = None
        self._resting: asyncio.Future[None] | None = None
        self.came_to: tuple[Value] | Exception | None = None
        self._outcome: Value | BaseException = None
        self._done = self._left = False
        self._called_at_once = 0

    async def run(self, main: bytes, rest: Rest = lambda: None) -> Value:
        """Run the spell and return its result. Its functions can still be called during `rest`.

        Raises:
            SpellError: The spell does not compile, or did not catch an error.
            LimitExceeded: The run exceeded a limit.
            Exception: What the output raised.
        """
        self._effects.runner = asyncio.current_task()
        self._rest = rest
        self._inbox.append(main)
        self._vm.on_end(lambda: self.deliver(b""))
        try:
            self._advance()
            while not self._done:
                await self._effects.run()
        except BaseException:
            self._left = True
            raise
        finally:
            self._done = True
            self._vm.close()
            await self._close()
            if self._turns:
                self._turns.ended()
        if isinstance(self._outcome, BaseException):
            raise self._outcome
        return self._outcome

    @property
    def has_begun(self) -> bool:
        """Whether the spell has had a turn."""
        return self.resumed > 0

    def is_leaving(self) -> bool:
        """Whether the run is stopping before its end, from outside or at a limit.

        It may be resumed later.
        """
        return self._left or isinstance(self._outcome, (LimitExceeded, ReplayError, RunSuspended))

    def leave(self) -> None:
        """Note that the run is about to be cancelled from outside."""
        self._left = True
        self._calls.refuse()
        if self._turns:
            self._turns.leave()

    def may_leave(self) -> bool:
        """Whether the run is perhaps being cancelled from outside without notice.

        Also true while the handler of an effect cancels itself, for example at its timeout.
        """
        return self.is_leaving() or self._effects.is_cancelled()

    def stop(self, error: BaseException) -> None:
        """End the run with an error, as if from outside."""
        if not self._done:
            self._left = True
            self._finish(error)

    async def call(self, function: LuaFunction, args: list[Value], path: str) -> Value:
        """Call a function of the spell in a new task of that path, and return its result.

        Raises:
            EffectError: The function failed, or the spell has ended.
        """
        if self._turns and (given_up := self._turns.given_up(path)):
            await given_up
        if self._calls.refused:
            raise refusal()
        number = self._calls.new_number()
        message = messages.call(number, path, function, args)
        again = self._turns.begin_call(path, message) if self._turns else None
        number = again or number
        call = self._calls.open(number)
        try:
            if not again and self._can_call_at_once():
                self._inbox.append(message)
                self._go_on()
                if self._effects.abandoning:
                    await asyncio.sleep(0)  # the function has abandoned the effect that calls it
            elif not again:  # else the record decides when Lua is told
                self.deliver(message)
            if call.outcome is None:
                await call.settled()
        except (asyncio.CancelledError, GeneratorExit):
            if call.outcome is None:
                self.deliver(messages.abort(number))
            raise
        finally:
            self._calls.close(number)
            # Of a call that was given up, Lua's task goes on until it hears of that.
            if self._turns and call.outcome is not None:
                self._turns.end_call(path)
        return call.result()

    def _can_call_at_once(self) -> bool:
        """Whether nothing else can arrive: only the effect that calls is outstanding.

        Calls that never suspend could keep the event loop to themselves, as from a watch that sets
        itself off. So it gets its turn now and then.
        """
        if not self._effects.inline or self._scheduled or self._elsewhere:
            return False
        self._called_at_once = (self._called_at_once + 1) % AT_ONCE
        return self._called_at_once != 0

    # The messages from Lua: the protocol `Receiver`.

    def requested(
        self,
        task: int,
        path: str,
        name: str,
        args: Value,
        functions: Sequence[LuaFunction],
        size: int,
    ) -> None:
        if self._turns:
            self._turns.note_request(task, path)
        try:
            if size > SMALL:
                self._arguments.hold(task, args)
            result = self._perform(name, args, path)
        except Exception as error:  # noqa: BLE001 - every failure is the spell's to see
            self._inbox.append(self._replies.refusal(task, (name, args), functions, error))
        else:
            if type(result) is CoroutineType or hasattr(result, "__await__"):
                self._effects.add(task, (name, args), functions, result)
            else:
                self._inbox.append(self._replies.reply(task, (name, args), functions, result))

    def cancelled(self, task: int) -> None:
        self._effects.cancel(task)
        self._arguments.drop(task)
        if self._turns:
            inbox, self._inbox = self._inbox, []
            self._turns.drop(task, inbox)

    def returned(self, call: int, value: Value) -> None:
        if call == 0:
            self._conclude(value)
        else:
            self._settle(call, (value,))

    def failed(self, call: int, failure: messages.Failure) -> None:
        if call == 0:
            self._finish(spell_error(failure))
        else:
            self._settle(call, callback_error(failure))

    def printed(self, text: Text) -> None:
        self._output(text)

    def _settle(self, call: int, outcome: tuple[Value] | EffectError) -> None:
        self._calls.settle(call, outcome)
        if self._turns:
            abort = messages.abort(call)
            if self._inbox:
                self._inbox = [message for message in self._inbox if message != abort]
            self._turns.forget_call(call, abort)

    def _conclude(self, value: Value) -> None:
        """Finish with the spell's result, once the rest is done if there is any."""
        self.came_to = (value,)
        rest = self._rest()
        if self._effects.unwinding or (self._turns and self._turns.has_more()):
            rest = self._see_unwound(rest)
        if rest is None:
            self._finish(value)
            return

        def rested(_: object) -> None:
            if not self._done:
                self._finish(value)

        self._resting = new_task(rest)
        self._resting.add_done_callback(rested)

    async def _see_unwound(self, rest: Coroutine[Any, Any, None] | None) -> None:
        """Await the rest and the end of abandoned effects, which may still call hooks of the spell."""
        if rest is not None:
            await rest
        while under_way := self._under_way():
            await asyncio.wait(under_way)
        if self._turns:
            await self._turns.finished()

    def _under_way(self) -> set[asyncio.Future[Any]]:
        computing = self._elsewhere
        return self._effects.unwinding | (
            {computing} if computing and not computing.done() else set()
        )

    # For the effects: the protocol `Owner`.

    def deliver(self, message: bytes) -> None:
        """Queue a message for Lua and schedule the next turn, to which later ones may be added."""
        self._inbox.append(message)
        self.schedule()

    def schedule(self) -> None:
        """Schedule `_go_on` in the event loop."""
        if not self._scheduled and not self._done:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._go_on)

    def resume(self, reply: bytes) -> None:
        """Resume Lua with a reply, at once."""
        self._inbox.append(reply)
        self._advance()

    def abandon(self, task: int) -> Callable[[], None] | None:
        """Note that a task does not wait for its effect; return what to call when that has ended."""
        return self._turns.abandon(task) if self._turns else None

    # The loop.

    def _go_on(self) -> None:
        """Advance from an event loop callback, where only `run` can report a failure."""
        try:
            self._advance()
        except Exception as error:  # noqa: BLE001 - `run` raises it
            self._finish(error)
        except ENDS_LOOP:
            raise
        except BaseException as error:  # noqa: BLE001 - `run` raises it
            self.stop(error)

    def _advance(self) -> None:
        """Resume Lua until it waits for something that takes time."""
        self._scheduled = False
        turns, until = self._turns, None
        goes_on = not self._elsewhere or self._hear_back()
        while goes_on and not self._done:
            inbox = self._inbox
            if len(inbox) == 1 and not (turns or self._arguments.tasks):
                message = inbox.pop()  # what follows, on the hot path
            elif (batch := self._next_batch()) is None:
                break
            else:
                self._arguments.drop_answered(batch)
                message = b"".join(batch)
            self.resumed = begin = monotonic()
            out = self._vm.resume_apart(message) if self._slow else self._vm.resume(message)
            if type(out) is not bytes or (turns and turns.slices.is_late()):
                self._listen_later(out)
                break
            now = monotonic()
            self._slow = now - begin > LONG_SLICE
            goes_on = self._listen(out)
            if goes_on:
                until = until or begin + SLICE
                if now > until:
                    self.schedule()
                    break
        self._start_effects()

    def _next_batch(self) -> list[bytes] | None:
        """Return the messages for Lua's next turn, or None when there is no turn yet."""
        inbox, self._inbox = self._inbox, []
        if self._turns:
            alone = not (self._effects or self._calls)
            return self._turns.take(inbox, more=self._more, alone=alone)
        return inbox if inbox or self._more else None

    def _listen_later(self, out: bytes | asyncio.Future[bytes]) -> None:
        """Note that Lua runs elsewhere, or that the record has the messages of others first."""
        if self._turns:
            self._turns.slices.begin()
        self._elsewhere = _settled(out) if isinstance(out, bytes) else out
        self._elsewhere.add_done_callback(self._came_back)

    def _came_back(self, _: object) -> None:
        """Continue after Lua has run a slice in a thread or another process."""
        if self._turns:
            self._turns.slices.end()
        self._slow = monotonic() - self.resumed > LONG_SLICE
        if not self._done:  # else the run was cancelled meanwhile
            self._go_on()

    def _hear_back(self) -> bool:
        """Act on the messages of such a slice, once they are due; return as `_listen` does."""
        resumed = self._elsewhere
        if not (resumed and resumed.done()) or (self._turns and not self._turns.slices.accept()):
            return False
        self._elsewhere = None
        return self._listen(resumed.result())

    def _listen(self, out: bytes) -> bool:
        """Act on Lua's messages; return whether it can be resumed at once."""
        reader = self._reader
        try:
            self._more = more = reader.read(out)
        except MalformedMessage as error:
            raise SpellError(f"the spell's Lua state sent an invalid message: {error}") from error
        if reader.kill:
            self._die(reader.kill)
            return False
        if self._inbox or (self._turns and self._turns.expects):  # a recorded message may be due
            return True
        return more

    def _die(self, kill: messages.Kill) -> None:
        fatal = self._replies.fatal
        if fatal:
            fatal.where = kill.where
        self._finish(fatal or limit_error(kill, self._limits))

    def _start_effects(self) -> None:
        """Have the effects that Lua has requested awaited; it waits for them now."""
        if self._effects.inline and not self._effects.begun:
            return
        busy = (
            self._scheduled
            or self._elsewhere
            or self._resting
            or self._done
            or (self._turns and (self._turns.held or self._turns.waits))
        )
        if self._effects.begun:
            self._effects.start(alone=not busy)
        elif not (busy or self._effects):
            self._finish(SpellRuntimeError("every task of the spell is waiting for another one"))

    def _finish(self, outcome: Value | BaseException) -> None:
        self._done, self._outcome = True, outcome
        if isinstance(outcome, Exception):
            self.came_to = outcome
        self._effects.finish()
        self._calls.refused = True
        asyncio.get_running_loop().call_soon(self._calls.refuse)  # after the cancellations

    async def _close(self) -> None:
        """Cancel what is in progress, and wait until it has ended."""
        ending = self._effects.close()
        self._calls.refuse()
        if self._resting:
            ending.append(self._resting)
            self._resting.cancel()
        if self._elsewhere:
            ending.append(self._elsewhere)  # the limits bound how long it takes
        if ending:
            from anyio import CancelScope

            with CancelScope(shield=True):
                await asyncio.gather(*ending, return_exceptions=True)


def _settled(out: bytes) -> asyncio.Future[bytes]:
    future = asyncio.get_running_loop().create_future()
    future.set_result(out)
    return future
