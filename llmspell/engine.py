"""Drives one run: lets Lua go on, performs the effects it asks for, and hands back the replies."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar, cast

from anyio import CancelScope

from llmspell.bridge import Bridges
from llmspell.effects import Effect, Perform, settled
from llmspell.errors import (
    EffectError,
    InvalidArguments,
    InvalidResult,
    LimitExceeded,
    LlmspellError,
    SpellRuntimeError,
)
from llmspell.hooks import Hooks
from llmspell.limits import Limits
from llmspell.lua import messages
from llmspell.lua.failures import callback_error, limit_error, spell_error
from llmspell.lua.vm import Vm
from llmspell.middleware import Middleware, compose
from llmspell.spell import Spell
from llmspell.values import LuaFunction, NotPlain, Value

log = logging.getLogger("llmspell.engine")

S = TypeVar("S")
Begun = tuple[messages.Requested, Coroutine[Any, Any, Value]]
Output = Callable[[str | bytes], None]

SLICE = 0.01  # seconds a run may keep the event loop to itself


class Engine:
    """One run of one spell. Use it once: `await Engine(...).execute(...)`.

    The loop of a spell that does one thing at a time is short: the only effect outstanding is
    awaited in place, and its reply goes straight back into Lua. asyncio tasks are made only when
    several effects are outstanding. A handler that calls back into Lua meanwhile advances Lua
    itself.
    """

    def __init__(
        self,
        run_id: str,
        vm: Vm,
        *,
        bridges: Bridges,
        services: Mapping[type, Any],
        middleware: Sequence[Middleware],
        limits: Limits,
        output: Output,
    ) -> None:
        self.id = run_id
        self._vm = vm
        self._bridges = bridges
        self._services = services
        self._middleware = middleware
        self._limits = limits
        self._output = output
        self._chains: dict[str, Perform] = {}
        self[Hooks].listen(self._chains.clear)
        self._inbox: list[bytes] = []
        self._scheduled = False
        self._effects = 0
        self._inline: Begun | None = None
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._calls: dict[int, asyncio.Future[Value]] = {}
        self._last_call = 0
        self._wake = asyncio.Event()
        self._outcome: Value | LlmspellError = None
        self._limit: LimitExceeded | None = None
        self._done = False

    # What handlers see: the protocol `Run`.

    def __getitem__(self, service: type[S]) -> S:
        return cast("S", self._services[service])

    async def perform(self, effect: Effect) -> Value:
        self._count()
        return await settled(self._chain(effect.name)(effect))

    async def call(self, function: LuaFunction, args: list[Value], path: str) -> Value:
        self._last_call += 1
        number = self._last_call
        self._calls[number] = future = asyncio.get_running_loop().create_future()
        try:
            self._deliver(messages.call(number, path, function, args))
            return await future
        except asyncio.CancelledError:
            self._deliver(messages.abort(number))
            raise
        finally:
            del self._calls[number]

    def release(self, function: LuaFunction) -> None:
        """Let Lua forget a retained function."""
        self._deliver(messages.release(function))

    async def execute(self, spell: Spell, params: dict[str, Value], arguments: list[str]) -> Value:
        """Run the spell; what it returns.

        Raises:
            SpellError: When it does not compile, or an error was not caught.
            LimitExceeded: When it broke a limit.
        """
        self._runner = cast("asyncio.Task[Value]", asyncio.current_task())
        self._inbox.append(messages.main(spell.chunk_name, spell.source, params, arguments))
        try:
            self._advance()
            while not self._done:
                await (self._serve_inline() if self._inline else self._sleep())
        finally:
            self._done = True
            await self._cancel_all()
        if isinstance(self._outcome, LlmspellError):
            raise self._outcome
        return self._outcome

    # The loop.

    async def _sleep(self) -> None:
        self._wake.clear()
        await self._wake.wait()

    async def _serve_inline(self) -> None:
        inline = self._inline
        assert inline is not None
        try:
            reply = await self._answer(*inline)
        except asyncio.CancelledError:
            if self._inline is inline or self._runner.uncancel() > 0:
                raise
            return  # it was Lua that cancelled the task that waited for this effect
        self._inline = None
        self._inbox.append(reply)
        if not self._done:
            self._advance()

    def _deliver(self, message: bytes) -> None:
        """Hand a message to Lua soon, with whatever else arrives by then."""
        self._inbox.append(message)
        if not self._scheduled and not self._done:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._advance)

    def _advance(self) -> None:
        """Let Lua go on until it waits for what takes time."""
        self._scheduled = False
        until = time.monotonic() + SLICE
        begun: dict[int, Begun] = {}
        while not self._done:
            message = b"".join(self._inbox)
            self._inbox.clear()
            turn = self._vm.step(message)
            for record in turn.records:
                self._act(record, begun)
            if turn.kill:
                self._finish(self._limit or limit_error(turn.kill, self._limits))
            elif not self._inbox and not turn.more:
                break
            elif time.monotonic() > until:
                self._deliver(b"")
                break
        self._await(begun)
        idle = not (self._tasks or self._inline or self._scheduled)
        if idle and not self._done:
            self._finish(SpellRuntimeError("every task of the spell waits for another one"))

    def _act(self, record: messages.Record, begun: dict[int, Begun]) -> None:
        if isinstance(record, messages.Requested):
            self._begin(record, begun)
        elif isinstance(record, messages.Printed):
            self._output(record.text)
        elif isinstance(record, messages.Cancelled):
            self._cancel(record.task, begun)
        elif record.call == 0:
            failed = isinstance(record, messages.Failed)
            self._finish(spell_error(record) if failed else record.value)
        elif (future := self._calls.get(record.call)) and not future.done():
            if isinstance(record, messages.Failed):
                future.set_exception(callback_error(record))
            else:
                future.set_result(record.value)

    def _begin(self, request: messages.Requested, begun: dict[int, Begun]) -> None:
        """Start an effect. What can answer at once does so here."""
        try:
            self._count()
            effect = Effect(request.name, _named(request), request.path, self)
            result = self._chain(request.name)(effect)
        except Exception as error:  # noqa: BLE001 - every failure is Lua's to see
            self._inbox.append(self._refuse(request, error))
        else:
            if hasattr(result, "__await__"):
                begun[request.task] = request, result
            else:
                self._inbox.append(self._reply(request, result))

    def _await(self, begun: dict[int, Begun]) -> None:
        if self._done:
            for _, result in begun.values():
                result.close()
        elif len(begun) == 1 and not (self._tasks or self._inline or self._scheduled):
            (self._inline,) = begun.values()
            self._wake.set()
        else:
            for request, result in begun.values():
                self._tasks[request.task] = asyncio.create_task(self._serve(request, result))

    async def _serve(self, request: messages.Requested, result: Coroutine[Any, Any, Value]) -> None:
        reply = await self._answer(request, result)
        del self._tasks[request.task]
        self._deliver(reply)

    async def _answer(
        self, request: messages.Requested, result: Coroutine[Any, Any, Value]
    ) -> bytes:
        try:
            return self._reply(request, await result)
        except Exception as error:  # noqa: BLE001 - every failure is Lua's to see
            return self._refuse(request, error)

    def _reply(self, request: messages.Requested, result: Value) -> bytes:
        try:
            reply = messages.reply(request.task, result)
        except NotPlain as error:
            return self._refuse(request, InvalidResult(f"{request.name}: {error}"))
        return reply + _releases(request) if request.functions else reply

    def _refuse(self, request: messages.Requested, error: Exception) -> bytes:
        if isinstance(error, LimitExceeded):
            self._limit = error
            return messages.kill(error.limit, error.message)
        if not isinstance(error, EffectError):
            log.error("%s failed", request.name, exc_info=error)
            error = EffectError(f"{request.name} failed: internal error ({type(error).__name__})")
        error.effect, error.path = request.name, request.path
        return messages.refusal(request.task, error.as_table()) + _releases(request)

    def _cancel(self, task: int, begun: dict[int, Begun]) -> None:
        if task in begun:
            begun.pop(task)[1].close()
        elif task in self._tasks:
            self._tasks.pop(task).cancel()
        elif self._inline and self._inline[0].task == task:
            self._abandon_inline()

    def _abandon_inline(self) -> None:
        self._inline = None
        self._runner.cancel()

    def _finish(self, outcome: Value | LlmspellError) -> None:
        self._done, self._outcome = True, outcome
        self._wake.set()
        if self._inline:
            self._abandon_inline()

    async def _cancel_all(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        with CancelScope(shield=True):
            await asyncio.gather(*tasks, return_exceptions=True)

    def _chain(self, name: str) -> Perform:
        chain = self._chains.get(name)
        if chain is None:
            chain = compose(self._middleware, self._bridges.handler(name), self)
            self._chains[name] = chain
        return chain

    def _count(self) -> None:
        self._effects += 1
        if self._effects > self._limits.effects:
            raise LimitExceeded("too many effects", limit="effects", value=self._limits.effects)


def _named(request: messages.Requested) -> dict[str, Value]:
    args = request.args
    if type(args) is dict:
        return args
    if args:
        raise InvalidArguments(request.name, ["takes one table of named arguments"])
    return {}


def _releases(request: messages.Requested) -> bytes:
    return b"".join(messages.release(f) for f in request.functions if not f.retained)
