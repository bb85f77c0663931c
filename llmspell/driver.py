"""The driver: resumes one Lua state, performs the effects it requests, and delivers the replies.

Sequential spells take a fast path: a single outstanding effect is awaited in place, and its reply
goes straight back into Lua. asyncio tasks are created only when several effects are outstanding.
When a handler calls a function of the spell meanwhile, the call itself resumes Lua. A spell that
computes for long between two effects continues in a thread, so that it does not block the event
loop; an isolated spell always computes in its own process.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from time import monotonic
from types import CoroutineType
from typing import Any, cast

from llmspell.concurrency import is_cancelled
from llmspell.errors import (
    EffectError,
    InvalidResult,
    LimitExceeded,
    LlmspellError,
    ReplayError,
    RunSuspended,
    SpellError,
    SpellRuntimeError,
)
from llmspell.journal.turns import Turns
from llmspell.limits import Limits
from llmspell.lua import messages
from llmspell.lua.codec import MalformedMessage
from llmspell.lua.failures import callback_error, limit_error, spell_error
from llmspell.lua.machine import Machine
from llmspell.run_output import Text
from llmspell.values import LuaFunction, NotPlain, Value

log = logging.getLogger("llmspell.driver")

Performer = Callable[[str, Value, str], Value | Coroutine[Any, Any, Value]]
"""Performs an effect: its name, arguments and path."""

Rest = Callable[[], Awaitable[None] | None]
"""Returns an awaitable of the work left when the spell has returned, or None."""

MakeTurns = Callable[[Callable[[], None], Callable[[bool], int], Callable[[], None]], Turns]
"""Creates the record of what Lua is told, from callbacks of the driver.

They wake it, allocate call numbers, and refuse calls into the spell.
"""

SLICE = 0.01  # seconds a spell may occupy the event loop, effect after effect
LONG_SLICE = 0.05  # seconds of computing after which the next slice runs in a thread


_Pending = tuple[int, str, list[LuaFunction], Coroutine[Any, Any, Value]]
"""An effect to await: the waiting task, its name, functions in its arguments, its coroutine."""


class _Call:
    """A call of a function of the spell; usually it is answered before anyone has to wait.

    Attributes:
        outcome: The function's result in a 1-tuple, or the error it failed with; None until then.
    """

    __slots__ = ("_waiting", "outcome")

    def __init__(self) -> None:
        self.outcome: tuple[Value] | EffectError | None = None
        self._waiting: asyncio.Future[None] | None = None

    def settle(self, outcome: tuple[Value] | EffectError) -> None:
        self.outcome = outcome
        if self._waiting and not self._waiting.done():
            self._waiting.set_result(None)

    async def settled(self) -> None:
        self._waiting = asyncio.get_running_loop().create_future()
        await self._waiting


class Driver:
    """Runs one spell once: `await Driver(...).run(messages.main(...))`.

    Attributes:
        came_to: What the spell returned, in a tuple, or the error it failed with; None until then.
    """

    def __init__(
        self,
        vm: Machine,
        perform: Performer,
        *,
        limits: Limits,
        output: Callable[[Text], None],
        turns: MakeTurns | None = None,
    ) -> None:
        self._refuses = False
        self._turns = turns(self._schedule, self._new_call, self._refuse_calls) if turns else None
        self._vm = vm
        self._reader = messages.Reader(self)
        self._perform = perform
        self._limits = limits
        self._output = output
        self._inbox: list[bytes] = []
        self._scheduled = self._more = False
        self._slow = False
        self._resumed = 0.0
        self._elsewhere: asyncio.Future[bytes] | None = None
        self._begun: dict[int, _Pending] = {}
        self._inline: _Pending | None = None
        self._serving = False
        self._abandoned = 0  # cancellations of the runner that it has yet to receive
        self._over: Callable[[], None] = lambda: None  # reports that the last such effect has ended
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._unwinding: set[asyncio.Future[None]] = set()  # abandoned effects that have not ended
        self._calls: dict[int, _Call] = {}
        self._unclaimed: dict[int, _Call] = {}
        self._last_call = 0
        self._asleep: asyncio.Future[None] | None = None
        self._outcome: Value | Exception = None
        self._fatal: LimitExceeded | ReplayError | RunSuspended | None = None
        self._resting: asyncio.Future[None] | None = None
        self.came_to: tuple[Value] | Exception | None = None
        self._runner: asyncio.Task[Any] | None = None
        self._done = self._left = False

    async def run(self, main: bytes, rest: Rest = lambda: None) -> Value:
        """Run the spell and return its result. Its functions can still be called during `rest`.

        Raises:
            SpellError: The spell does not compile, or did not catch an error.
            LimitExceeded: The run exceeded a limit.
            Exception: What the output raised.
        """
        self._runner = asyncio.current_task()
        self._rest = rest
        self._inbox.append(main)
        self._vm.on_end(lambda: self._deliver(b""))
        try:
            self._advance()
            while not self._done:
                if self._inline:
                    await self._serve_inline()
                else:
                    self._asleep = asyncio.get_running_loop().create_future()
                    await self._asleep
                    self._asleep = None
        except BaseException:
            self._left = True
            raise
        finally:
            self._done = True
            self._vm.close()
            self._over()
            await self._cancel_all()
            if self._turns:
                self._turns.ended()
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome

    @property
    def has_begun(self) -> bool:
        """Whether the spell has had a turn."""
        return self._resumed > 0

    def is_leaving(self) -> bool:
        """Whether the run is stopping before its end, from outside or at a limit.

        It may be resumed later.
        """
        return self._left or isinstance(self._outcome, (LimitExceeded, ReplayError, RunSuspended))

    def leave(self) -> None:
        """Note that the run is about to be cancelled from outside."""
        self._left = True
        self._refuse_calls()
        if self._turns:
            self._turns.leave()

    def may_leave(self) -> bool:
        """Whether the run is perhaps being cancelled from outside without notice.

        Also true while the handler of an effect cancels itself, for example at its timeout.
        """
        return self.is_leaving() or (
            self._runner is not None and self._runner.cancelling() > self._abandoned
        )

    def stop(self, error: LlmspellError) -> None:
        """End the run with an error, as if from outside."""
        if not self._done:
            self._left = True
            self._finish(error)

    async def call(self, function: LuaFunction, args: list[Value], path: str) -> Value:
        """Call a function of the spell in a new task of that path, and return its result.

        Raises:
            EffectError: The function failed, or the spell has ended.
        """
        if self._turns and (given_up := self._turns.calls(path)):
            await given_up
        if self._refuses:
            raise _refusal_of_call()
        number = self._new_call()
        message = messages.call(number, path, function, args)
        again = self._turns.called(path, message) if self._turns else None
        number = again or number
        call = self._calls[number] = self._unclaimed.pop(number, _Call())
        try:
            if not again and self._inline and not (self._scheduled or self._elsewhere):
                self._inbox.append(message)
                self._go_on()  # with only this effect outstanding, nothing else arrives meanwhile
                if self._abandoned:
                    await asyncio.sleep(0)  # the function has abandoned the effect that calls it
            elif not again:  # else the record decides when Lua is told
                self._deliver(message)
            if call.outcome is None:
                await call.settled()
        except (asyncio.CancelledError, GeneratorExit):
            if call.outcome is None:
                self._deliver(messages.abort(number))
            raise
        finally:
            self._forget_call(number, path)
        if type(call.outcome) is tuple:
            return call.outcome[0]
        raise cast("EffectError", call.outcome)

    def _forget_call(self, number: int, path: str) -> None:
        del self._calls[number]
        if self._turns:
            self._turns.answered(path)

    def _new_call(self, unclaimed: bool = False) -> int:
        """Allocate a call number.

        With `unclaimed`, its outcome is kept for a caller that comes later.
        """
        self._last_call += 1
        if unclaimed:
            self._unclaimed[self._last_call] = _Call()
        return self._last_call

    # The messages from Lua: the protocol `Receiver`.

    def requested(
        self, task: int, path: str, name: str, args: Value, functions: list[LuaFunction]
    ) -> None:
        if self._turns:
            self._turns.asks(task, path)
        try:
            result = self._perform(name, args, path)
        except Exception as error:  # noqa: BLE001 - every failure is the spell's to see
            self._inbox.append(self._refusal(task, name, functions, error))
        else:
            if type(result) is not CoroutineType and not hasattr(result, "__await__"):
                self._inbox.append(self._reply(task, name, functions, result))
                return
            inline = self._inline and self._inline[0] == task
            if inline or task in self._begun or task in self._tasks:
                result.close()
                raise MalformedMessage(f"task {task} asks for two effects at once")
            self._begun[task] = task, name, functions, result

    def cancelled(self, task: int) -> None:
        if task in self._begun:
            self._begun.pop(task)[-1].close()
        elif task in self._tasks:
            served = self._tasks.pop(task)
            self._abandon(task, served)
            served.cancel()
        elif self._inline and self._inline[0] == task:
            self._abandon_inline()
        if self._turns:
            inbox, self._inbox = self._inbox, []
            self._turns.drop(task, inbox)

    def returned(self, call: int, value: Value) -> None:
        if call == 0:
            self._conclude(value)
        elif waiting := self._calls.get(call) or self._unclaimed.get(call):
            waiting.settle((value,))

    def failed(self, call: int, failure: messages.Failure) -> None:
        if call == 0:
            self._finish(spell_error(failure))
        elif waiting := self._calls.get(call) or self._unclaimed.get(call):
            waiting.settle(callback_error(failure))

    def printed(self, text: Text) -> None:
        self._output(text)

    def _conclude(self, value: Value) -> None:
        """Finish with the spell's result, once the rest is done if there is any."""
        self.came_to = (value,)
        rest = self._rest()
        if self._unwinding or (self._turns and self._turns.has_more()):
            rest = self._see_unwound(rest)
        if rest is None:
            self._finish(value)
            return

        def rested(_: object) -> None:
            if not self._done:
                self._finish(value)

        self._resting = asyncio.ensure_future(rest)
        self._resting.add_done_callback(rested)

    async def _see_unwound(self, rest: Awaitable[None] | None) -> None:
        """Await the rest and the end of abandoned effects, which may still call hooks of the spell."""
        if rest is not None:
            await rest
        while under_way := self._under_way():
            await asyncio.wait(under_way)
        if self._turns:
            await self._turns.told_all()

    def _under_way(self) -> set[asyncio.Future[Any]]:
        computes = self._elsewhere and not self._elsewhere.done()
        return self._unwinding | ({self._elsewhere} if self._elsewhere and computes else set())

    # The loop.

    def _deliver(self, message: bytes) -> None:
        """Queue a message for Lua and schedule the next turn, to which later ones may be added."""
        self._inbox.append(message)
        self._schedule()

    def _schedule(self) -> None:
        """Schedule `_go_on` in the event loop."""
        if not self._scheduled and not self._done:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        """Advance from an event loop callback, where only `run` can report a failure."""
        try:
            self._advance()
        except Exception as error:  # noqa: BLE001 - `run` raises it
            self._finish(error)

    def _advance(self) -> None:
        """Resume Lua until it waits for something that takes time."""
        self._scheduled = False
        until = 0.0
        goes_on = not self._elsewhere or self._hear_back()
        while goes_on and not self._done:
            alone = len(self._inbox) == 1 and not self._turns
            message = self._inbox.pop() if alone else self._next_batch()
            if message is None:
                break
            self._resumed = monotonic()
            out = self._vm.resume(message, apart=self._slow)
            if type(out) is bytes and self._turns and self._turns.is_late():
                out = _settled(out)  # the record has others first
            if type(out) is not bytes:
                if self._turns:
                    self._turns.started()
                self._elsewhere = cast("asyncio.Future[bytes]", out)
                self._elsewhere.add_done_callback(self._came_back)
                break
            now = monotonic()
            self._slow = now - self._resumed > LONG_SLICE
            until = until or self._resumed + SLICE
            goes_on = self._listen(out)
            if goes_on and now > until:
                self._schedule()
                break
        self._await_begun()

    def _next_batch(self) -> bytes | None:
        """Return the messages for Lua's next turn, or None when there is no turn yet."""
        inbox, self._inbox = self._inbox, []
        if self._turns:
            alone = not (
                self._tasks or self._inline or self._begun or self._calls or self._unwinding
            )
            return self._turns.take(inbox, more=self._more, alone=alone)
        if not (inbox or self._more):
            return None
        return b"".join(inbox)

    def _came_back(self, _: object) -> None:
        """Continue after Lua has run a slice in a thread or another process."""
        if self._turns:
            self._turns.came_back()
        self._slow = monotonic() - self._resumed > LONG_SLICE
        if not self._done:  # else the run was cancelled meanwhile
            self._go_on()

    def _hear_back(self) -> bool:
        """Act on the messages of such a slice, once they are due; return as `_listen` does."""
        resumed = self._elsewhere
        if not (resumed and resumed.done()) or (self._turns and not self._turns.hears_back()):
            return False
        self._elsewhere = None
        return self._listen(resumed.result())

    def _listen(self, out: bytes) -> bool:
        """Act on Lua's messages; return whether it can be resumed at once."""
        try:
            turn = self._reader.read(out)
        except MalformedMessage as error:
            raise SpellError(f"the spell's state sent what none sends: {error}") from error
        if turn.kill:
            self._die(turn.kill)
            return False
        self._more = turn.more
        expected = self._turns and self._turns.expects  # a recorded message may be due
        return bool(self._inbox or turn.more or expected)

    def _die(self, kill: messages.Kill) -> None:
        if self._fatal:
            self._fatal.where = kill.where
        self._finish(self._fatal or limit_error(kill, self._limits))

    def _await_begun(self) -> None:
        busy = (
            self._tasks
            or self._inline
            or self._scheduled
            or self._elsewhere
            or self._resting
            or self._unwinding
            or self._done
            or (self._turns and (self._turns.held or self._turns.waits))
        )
        if len(self._begun) == 1 and not busy:
            _, self._inline = self._begun.popitem()
            if self._asleep:
                self._wake()
        elif self._begun:
            self._start_tasks()
        elif not busy:
            self._finish(SpellRuntimeError("every task of the spell waits for another one"))

    def _wake(self) -> None:
        if self._asleep and not self._asleep.done():
            self._asleep.set_result(None)

    def _start_tasks(self) -> None:
        for pending in self._begun.values():
            if self._done:
                pending[-1].close()
            else:
                self._tasks[pending[0]] = task = asyncio.create_task(self._serve(pending))
                task.add_done_callback(partial(_close, pending[-1]))
        self._begun.clear()

    async def _serve_inline(self) -> None:
        """Await the only outstanding effect, for as long as there is just one."""
        until = monotonic() + SLICE
        while (pending := self._inline) and not self._done:
            task, name, functions, result = pending
            self._serving = True
            try:
                if self._resumed > until:  # effects that never suspend would starve the event loop
                    await asyncio.sleep(0)
                    until = monotonic() + SLICE
                reply = self._reply(task, name, functions, await result)
            except Exception as error:  # noqa: BLE001 - every failure is the spell's to see
                reply = self._refusal(task, name, functions, error)
            except asyncio.CancelledError as error:
                result.close()  # it may not have started
                if self._inline is not pending:
                    if self._forget_abandoning() > 0:
                        raise
                    continue  # the effect was abandoned, not the run
                if is_cancelled() or self.is_leaving():
                    raise
                reply = self._refusal(task, name, functions, error)
            if self._inline is pending:
                self._inline, self._serving = None, False
                self._inbox.append(reply)
                self._advance()
            else:
                await self._hear_of_abandoning()

    async def _hear_of_abandoning(self) -> None:
        """Consume the runner's cancellation for an abandoned effect that ended anyway.

        Its handler suppressed the cancellation, or had already ended.
        """
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            if self._forget_abandoning() > 0:
                raise
        else:
            self._forget_abandoning()

    def _forget_abandoning(self) -> int:
        """Uncancel the runner once for an abandoned effect; return how many others remain."""
        self._abandoned -= 1
        self._over()
        return self._running.uncancel() - self._abandoned

    @property
    def _running(self) -> asyncio.Task[Any]:
        assert self._runner is not None  # noqa: S101 - set while it awaits an effect
        return self._runner

    async def _serve(self, pending: _Pending) -> None:
        task, name, functions, result = pending
        try:
            reply = self._reply(task, name, functions, await result)
        except Exception as error:  # noqa: BLE001 - every failure is the spell's to see
            reply = self._refusal(task, name, functions, error)
        except asyncio.CancelledError as error:
            if is_cancelled() or self.is_leaving():
                raise
            reply = self._refusal(task, name, functions, error)
        if self._tasks.pop(task, None):  # else it was cancelled and ignored that
            self._deliver(reply)

    def _reply(self, task: int, name: str, functions: list[LuaFunction], result: Value) -> bytes:
        try:
            reply = messages.reply(task, result)
        except NotPlain as error:
            return self._refusal(task, name, functions, InvalidResult(f"{name}: {error}"))
        return reply + _releases(functions) if functions else reply

    def _refusal(
        self, task: int, name: str, functions: list[LuaFunction], error: BaseException
    ) -> bytes:
        if isinstance(error, LimitExceeded):
            self._fatal = error
            return messages.kill(task, error.limit, error.message)
        if isinstance(error, (ReplayError, RunSuspended)):
            self._fatal = error
            return messages.kill(task, "replay", error.message)
        if not isinstance(error, EffectError):
            log.error("%s failed", name, exc_info=error)
            error = EffectError(f"{name} failed: internal error ({type(error).__name__})")
        return messages.refusal(task, error.as_table()) + _releases(functions)

    def _abandon(self, task: int, served: asyncio.Task[None]) -> None:
        over = self._unwind(task)
        served.add_done_callback(lambda _: over())

    def _unwind(self, task: int) -> Callable[[], None]:
        """Note that a task's effect is being cancelled; return a callback for when it has ended."""
        unwound = asyncio.get_running_loop().create_future()
        self._unwinding.add(unwound)
        over = self._turns.abandoned(task) if self._turns else None

        def ended() -> None:
            if unwound.done():
                return
            unwound.set_result(None)
            self._unwinding.discard(unwound)
            if over:
                over()
            self._schedule()

        return ended

    def _abandon_inline(self) -> None:
        pending, self._inline = self._inline, None
        if self._serving:
            self._serving = False
            self._abandoned += 1
            self._running.cancel()
            if pending:
                self._over = self._unwind(pending[0])
        elif pending:  # the runner has not started it
            pending[-1].close()

    def _finish(self, outcome: Value | Exception) -> None:
        self._done, self._outcome = True, outcome
        if isinstance(outcome, Exception):
            self.came_to = outcome
        for task, served in self._tasks.items():
            self._abandon(task, served)
            served.cancel()
        self._refuses = True
        asyncio.get_running_loop().call_soon(self._refuse_calls)  # after the cancellations
        self._wake()
        if self._inline:
            self._abandon_inline()

    def _refuse_calls(self) -> None:
        """Fail the calls into the spell that are in progress, and all later ones."""
        self._refuses = True
        for call in self._calls.values():
            if call.outcome is None:
                call.settle(_refusal_of_call())

    async def _cancel_all(self) -> None:
        for pending in self._begun.values():
            pending[-1].close()
        if self._inline:
            self._inline[-1].close()  # it may not have started
        tasks: list[asyncio.Future[Any]] = list(self._tasks.values())
        for served in self._tasks.values():
            if not served.cancelling():
                served.cancel()
        self._refuse_calls()
        if self._resting:
            tasks.append(self._resting)
            self._resting.cancel()
        tasks += self._unwinding
        if self._elsewhere:
            tasks.append(self._elsewhere)  # the limits bound how long it takes
        if tasks:
            from anyio import CancelScope

            with CancelScope(shield=True):
                await asyncio.gather(*tasks, return_exceptions=True)


def _settled(out: bytes) -> asyncio.Future[bytes]:
    future = asyncio.get_running_loop().create_future()
    future.set_result(out)
    return future


def _refusal_of_call() -> EffectError:
    return EffectError("the spell has ended, and its functions with it")


def _close(result: Coroutine[Any, Any, Value], _: object) -> None:
    """Close the coroutine of a task that was perhaps cancelled before it could start."""
    result.close()


def _releases(functions: list[LuaFunction]) -> bytes:
    return b"".join(messages.release(f) for f in functions if not f.retained)
