"""The effects a spell waits for: awaited in place if there is only one, in tasks if there are several."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextvars import copy_context
from functools import partial
from time import monotonic
from typing import Any, Protocol

from llmspell.concurrency import is_cancelled, new_task
from llmspell.driver.replies import Asked, Replies
from llmspell.lua.codec import MalformedMessage
from llmspell.values import LuaFunction, Value

ENDS_LOOP = (KeyboardInterrupt, SystemExit)
"""What asyncio raises from the event loop itself, wherever it occurs."""

_TASK = 1024  # bytes of Lua memory that a task needs at least
SLICE = 0.01  # seconds a spell may occupy the event loop, effect after effect

_Pending = tuple[int, Asked, Sequence[LuaFunction], Coroutine[Any, Any, Value]]
"""An effect to await: the waiting task, what it asked, functions in its arguments, its coroutine."""


class Owner(Protocol):
    """The driver, as far as its effects need it."""

    resumed: float
    """When Lua was last resumed, on the monotonic clock."""

    def is_leaving(self) -> bool: ...

    def stop(self, error: BaseException) -> None:
        """End the run with an error, as if from outside."""
        ...

    def deliver(self, message: bytes) -> None:
        """Queue a reply for Lua's next turn."""
        ...

    def resume(self, reply: bytes) -> None:
        """Resume Lua with a reply, at once."""
        ...

    def schedule(self) -> None:
        """Look again soon whether Lua has a turn."""
        ...

    def abandon(self, task: int) -> Callable[[], None] | None:
        """Note that a task does not wait for its effect; return what to call when that has ended."""
        ...


class OutstandingEffects:
    """The effects of one run, until their replies are on the way or nobody waits for them.

    Attributes:
        begun: What was added and waits for `start`, by the number of its task.
        inline: The only one, which the runner awaits itself.
        abandoning: The cancellations of the runner, for such an effect, that it has yet to receive.
        runner: The task in which the run is awaited, which also awaits the effects.
    """

    def __init__(self, owner: Owner, replies: Replies, memory: int) -> None:
        self._owner, self._replies = owner, replies
        self._most = memory // _TASK
        self.begun: dict[int, _Pending] = {}
        self.inline: _Pending | None = None
        self._serving = False
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._unwinding: set[asyncio.Future[Any]] = set()
        self._context = copy_context()  # of the run, not of an effect that resumes Lua
        self.runner: asyncio.Task[Any] | None = None
        self._asleep: asyncio.Future[None] | None = None
        self.abandoning = 0
        self._over: Callable[[], None] = lambda: None  # reports that the last such effect has ended
        self._closed = False

    def __bool__(self) -> bool:
        return bool(self._tasks or self.inline or self.begun or self._unwinding)

    @property
    def unwinding(self) -> set[asyncio.Future[Any]]:
        """A future for each abandoned one that has not ended."""
        return self._unwinding

    def is_cancelled(self) -> bool:
        """Whether the runner is cancelled, other than for an abandoned effect."""
        return self.runner is not None and self.runner.cancelling() > self.abandoning

    def add(
        self,
        task: int,
        asked: Asked,
        functions: Sequence[LuaFunction],
        result: Coroutine[Any, Any, Value],
    ) -> None:
        """Add one, for `start`.

        Raises:
            MalformedMessage: The task waits for another one, or more tasks wait than can exist.
        """
        if self.begun or self._tasks or self.inline:
            problem = self._problem_with(task)
            if problem:
                result.close()
                raise MalformedMessage(problem)
        self.begun[task] = task, asked, functions, result

    def _problem_with(self, task: int) -> str | None:
        """Return why an intact kernel would not let a task request an effect now, if so."""
        inline = self.inline and self.inline[0] == task
        if inline or task in self.begun or task in self._tasks:
            return f"task {task} requests two effects at once"
        if len(self.begun) + len(self._tasks) > self._most:
            return "more tasks wait than the memory of the spell can hold"
        return None

    def start(self, *, alone: bool) -> None:
        """Have what was added awaited; `alone` if nothing but effects can resume Lua."""
        if alone and len(self.begun) == 1 and not (self._tasks or self.inline or self._unwinding):
            _, self.inline = self.begun.popitem()
            if self._asleep:
                self.wake()
            return
        for pending in self.begun.values():
            if self._closed:
                pending[-1].close()
            else:
                serving = new_task(self._serve(pending), context=self._context.copy())
                self._tasks[pending[0]] = serving
                serving.add_done_callback(partial(self._served, pending))
        self.begun.clear()

    def cancel(self, task: int) -> None:
        """Cancel the effect that a task waited for."""
        if task in self.begun:
            self.begun.pop(task)[-1].close()
        elif task in self._tasks:
            served = self._tasks.pop(task)
            self._abandon(task, served)
            served.cancel()
        elif self.inline and self.inline[0] == task:
            self._abandon_inline()

    # In the runner.

    async def run(self) -> None:
        """Await the only outstanding effect, or else `wake`."""
        if self.inline:
            await self._serve_inline()
        else:
            self._asleep = asyncio.get_running_loop().create_future()
            await self._asleep
            self._asleep = None

    def wake(self) -> None:
        if self._asleep and not self._asleep.done():
            self._asleep.set_result(None)

    async def _serve_inline(self) -> None:
        owner, replies, until = self._owner, self._replies, monotonic() + SLICE
        while (pending := self.inline) and not self._closed:
            task, asked, functions, result = pending
            self._serving = True
            try:
                if owner.resumed > until:  # else effects that never suspend starve the loop
                    await asyncio.sleep(0)
                    until = monotonic() + SLICE
                reply = replies.reply(task, asked, functions, await result)
            except Exception as error:  # noqa: BLE001 - every failure is the spell's to see
                reply = replies.refusal(task, asked, functions, error)
            except asyncio.CancelledError as error:
                result.close()  # it may not have started
                if self.inline is not pending:
                    if self._forget_abandoning() > 0:
                        raise
                    continue  # the effect was abandoned, not the run
                if is_cancelled() or owner.is_leaving():
                    raise
                reply = replies.refusal(task, asked, functions, error)
            if self.inline is pending:
                self.inline, self._serving = None, False
                owner.resume(reply)
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
        self.abandoning -= 1
        self._over()
        return self._running.uncancel() - self.abandoning

    @property
    def _running(self) -> asyncio.Task[Any]:
        assert self.runner is not None  # noqa: S101 - set while it awaits an effect
        return self.runner

    async def _serve(self, pending: _Pending) -> None:
        task, asked, functions, result = pending
        try:
            reply = self._replies.reply(task, asked, functions, await result)
        except Exception as error:  # noqa: BLE001 - every failure is the spell's to see
            reply = self._replies.refusal(task, asked, functions, error)
        except asyncio.CancelledError as error:
            if is_cancelled() or self._owner.is_leaving():
                raise
            reply = self._replies.refusal(task, asked, functions, error)
        if self._tasks.pop(task, None):  # else it was cancelled and ignored that
            self._owner.deliver(reply)

    def _served(self, pending: _Pending, serving: asyncio.Task[None]) -> None:
        """Handle the end of the task of an effect, which was perhaps cancelled before it started.

        Without a reply, the run ends as if the effect had been awaited in place.
        """
        pending[-1].close()
        error = asyncio.CancelledError() if serving.cancelled() else serving.exception()
        if self._closed or self._tasks.get(pending[0]) is not serving:
            return
        if error and not isinstance(error, ENDS_LOOP):
            self._owner.stop(error)

    # Effects that nobody waits for any more.

    def _abandon(self, task: int, served: asyncio.Task[None]) -> None:
        over = self._unwind(task)
        served.add_done_callback(lambda _: over())

    def _abandon_inline(self) -> None:
        pending, self.inline = self.inline, None
        if self._serving:
            self._serving = False
            self.abandoning += 1
            self._running.cancel()
            if pending:
                self._over = self._unwind(pending[0])
        elif pending:  # the runner has not started it
            pending[-1].close()

    def _unwind(self, task: int) -> Callable[[], None]:
        """Note that a task's effect is being cancelled; return a callback for when it has ended."""
        unwound = asyncio.get_running_loop().create_future()
        self._unwinding.add(unwound)
        over = self._owner.abandon(task)

        def ended() -> None:
            if unwound.done():
                return
            unwound.set_result(None)
            self._unwinding.discard(unwound)
            if over:
                over()
            self._owner.schedule()

        return ended

    # The end of the run.

    def finish(self) -> None:
        """Cancel all; the runner goes on."""
        self._closed = True
        for task, served in self._tasks.items():
            self._abandon(task, served)
            served.cancel()
        self.wake()
        if self.inline:
            self._abandon_inline()

    def close(self) -> list[asyncio.Future[Any]]:
        """Cancel all, from the runner; return what to await until they have ended."""
        self._closed = True
        self._over()
        for pending in self.begun.values():
            pending[-1].close()
        if self.inline:
            self.inline[-1].close()  # it may not have started
        for served in self._tasks.values():
            if not served.cancelling():
                served.cancel()
        return [*self._tasks.values(), *self._unwinding]
