"""Tells hooks of points in the life of a runtime and of its runs, where no effect is done."""

from __future__ import annotations

import logging
from collections.abc import Coroutine
from typing import Any, NoReturn, TypeVar, cast

from llmspell.concurrency import settled
from llmspell.effects import Effect, Run
from llmspell.errors import EffectError, HookFailed, HookHalted, LimitExceeded, LlmspellError
from llmspell.events import Events
from llmspell.hooks.registered_hook import HookCall, ReentrancyGuard
from llmspell.hooks.registry import Hooks
from llmspell.hooks.visibility import Seen, seen_by
from llmspell.journal.recording import Recording
from llmspell.values import LuaFunction, Value

log = logging.getLogger("llmspell.hooks")

S = TypeVar("S")

BEGINNINGS = ("runtime.start", "run.start", "config.change")
"""Where a hook may halt what begins, and a required one that fails does."""


async def tell(hooks: Hooks, point: Effect, guard: ReentrancyGuard | None = None) -> None:
    """Call the hooks at a point; an effect stands for it, which is not performed.

    `guard` is that of the run it belongs to, if the hooks are not the run's own.

    Raises:
        HookHalted: One halts what begins here.
        HookFailed: One fails that is required, where something begins.
    """
    begins = point.name in BEGINNINGS
    call = HookCall("at", point)
    seen = await settled(seen_by(point, hooks))
    for hook in hooks.matching(point.name, seen).get("at", ()):
        try:
            said = await settled(hook.ask(call, hooks.guard if guard is None else guard))
            if said is not None:
                from llmspell.hooks.results import Halt

                if isinstance(said, Halt) and begins:
                    raise HookHalted(hook.id, said.reason)
                may = "return Halt or None" if begins else "only look"
                hook.failed(call, TypeError(f"at {point.name} a hook can {may}, not {said!r}"))
        except HookFailed as error:
            if begins:
                raise
            log.warning(error.message)


async def tell_of_runtime(hooks: Hooks, name: str, args: dict[str, Value], events: Events) -> None:
    """`tell` of what belongs to no run."""
    if hooks.all():
        await tell(hooks, Effect(name, args, "runtime", _NoRun(events)))


class Life:
    """Tells the hooks around a run of its start, of the limit it broke, and of its end.

    The run's own hooks are not there yet, or cannot be called any more.

    Args:
        path: Under this, effects that the hooks perform have their paths.
        about: Arguments of each point.
        seen: Which hooks there were around it when its parent asked for it, if it has one.
    """

    def __init__(self, run: Run, path: str, about: dict[str, Value], seen: Seen = ()) -> None:
        own = run[Hooks]
        self._hooks, self._guard = own.outer or own, own.guard
        self._stem, self._about = Effect("run", {}, path, run), about
        self._stem.seen = seen

    async def started(self, params: dict[str, Value]) -> None:
        """Raises HookHalted and HookFailed, and then it must not start."""
        await self._tell("run.start", params=params)

    async def ended(self, result: Value) -> None:
        await self._tell("run.end", result=result)

    async def failed(self, error: BaseException) -> None:
        """The same, even though the run may have been cancelled. A replay that ends tells nobody."""
        recording = self._stem.run[Recording]
        if recording and (recording.leaving() or self._stem.path == "run"):
            if recording.is_replay:
                return
            recording.over = True
        if not self._hooks.all():
            return
        from anyio import CancelScope

        with CancelScope(shield=True):
            if isinstance(error, LimitExceeded):
                where = {"where": error.where, "message": error.message}
                await self._tell("limit.exceeded", limit=error.limit, value=error.value, **where)
            code = error.code if isinstance(error, LlmspellError) else "cancelled"
            await self._tell("run.end", error={"code": code, "message": str(error)})

    async def _tell(self, point: str, **args: Value) -> None:
        told = self._stem.child(point, self._about | args)  # its path does not depend on hooks
        if self._hooks.all():
            await tell(self._hooks, told, self._guard)


class _NoRun:
    """The run of what happens outside of runs: there is a bus of events, and nobody to perform."""

    id = ""

    def __init__(self, events: Events) -> None:
        self._events = events

    def __getitem__(self, service: type[S]) -> S:
        if service is Events:
            return cast("S", self._events)
        if service is Recording:
            return cast("S", None)
        raise KeyError(service)

    def perform(self, effect: Effect) -> Coroutine[Any, Any, Value]:
        return self._refuse(f"{effect.name} cannot be performed outside of a run")

    def count(self) -> None:
        """Nothing limits what is done outside of runs."""

    def call(
        self,
        function: LuaFunction,
        args: list[Value],  # noqa: ARG002 - it is not called
        path: str,  # noqa: ARG002
    ) -> Coroutine[Any, Any, Value]:
        return self._refuse(f"{function!r} cannot be called outside of a run")

    async def _refuse(self, why: str) -> NoReturn:
        raise EffectError(why)
