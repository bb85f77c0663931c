"""Calls hooks at points in the life cycle of a runtime and its runs."""

from __future__ import annotations

import logging
from collections.abc import Coroutine
from typing import Any, NoReturn, TypeVar, cast

from llmspell.concurrency import settled, uninterrupted
from llmspell.effects import Effect, Run
from llmspell.errors import EffectError, HookFailed, HookHalted, LimitExceeded, LlmspellError
from llmspell.events import Events
from llmspell.hooks.hook_call import HookCall, ReentrancyGuard
from llmspell.hooks.registry import Hooks
from llmspell.hooks.visibility import Seen, seen_by
from llmspell.journal.recording import Recording
from llmspell.values import LuaFunction, Value

log = logging.getLogger("llmspell.hooks")

S = TypeVar("S")

BEGINNINGS = ("runtime.start", "run.start", "config.change")
"""The points where something begins: a hook may halt it, and so does a required hook that fails."""


async def tell(hooks: Hooks, point: Effect, guard: ReentrancyGuard | None = None) -> None:
    """Call the hooks at a point, represented by an effect that is not performed.

    `guard` is the reentrancy guard of the run the point belongs to, if the hooks are not that run's
    own.

    Raises:
        HookHalted: A hook halts what begins here.
        HookFailed: A required hook fails where something begins.
    """
    begins = point.name in BEGINNINGS
    call = HookCall("at", point, hooks.guard if guard is None else guard)
    seen = await settled(seen_by(point, hooks))
    for hook in hooks.matching(point.name, seen).get("at", ()):
        try:
            said = await settled(hook.ask(call))
            if said is not None:
                from llmspell.hooks.results import Halt

                if isinstance(said, Halt) and begins:
                    raise HookHalted(hook.id, said.reason)
                may = "return Halt or None" if begins else "only observe"
                hook.failed(call, TypeError(f"at {point.name} a hook can {may}, not {said!r}"))
        except HookFailed as error:
            if begins:
                raise
            log.warning(error.message)


async def tell_of_runtime(hooks: Hooks, name: str, args: dict[str, Value], events: Events) -> None:
    """Like `tell`, for points outside of runs."""
    if hooks.all():
        await tell(hooks, Effect(name, args, "runtime", _NoRun(events)))


class Life:
    """Calls the hooks at the start and end of a run, and when it exceeds a limit.

    These are the hooks outside of the run: its own do not exist yet, or can no longer be called.

    Args:
        run: The run.
        path: The parent path of effects that the hooks perform.
        about: The arguments common to all points.
        seen: Which hooks existed when the parent run requested this one, if it has a parent.
        is_part: Whether the run is part of a recorded one, whose replay calls the same hooks.
    """

    def __init__(
        self,
        run: Run,
        path: str,
        about: dict[str, Value],
        seen: Seen = (),
        *,
        is_part: bool = False,
    ) -> None:
        self._is_part = is_part
        own = run[Hooks]
        self._hooks, self._guard = own.outer or own, own.guard
        self._stem, self._about = Effect("run", {}, path, run), about
        self._stem.seen = seen

    async def started(self, params: dict[str, Value]) -> None:
        """Call the `run.start` hooks. Raises HookHalted or HookFailed if the run must not start."""
        await self._tell("run.start", params=params)

    async def ended(self, result: Value) -> None:
        if self._may_have_hooks():
            await self._to_the_end(self._tell("run.end", result=result))

    async def failed(self, error: BaseException) -> None:
        """Call the hooks for a failed or cancelled run, shielded from cancellation.

        The end of a replay calls no hooks.
        """
        recording = self._stem.run[Recording]
        if recording and (recording.leaving() or self._stem.path == "run"):
            if recording.is_replay:
                return
            recording.over = True
        if not self._may_have_hooks():
            return
        from anyio import CancelScope

        with CancelScope(shield=True):
            await self._to_the_end(self._tell_of_failure(error))

    async def _tell_of_failure(self, error: BaseException) -> None:
        if isinstance(error, LimitExceeded):
            where = {"where": error.where, "message": error.message}
            await self._tell("limit.exceeded", limit=error.limit, value=error.value, **where)
        code = error.code if isinstance(error, LlmspellError) else "cancelled"
        await self._tell("run.end", error={"code": code, "message": str(error)})

    async def _to_the_end(self, telling: Coroutine[Any, Any, None]) -> None:
        """Call the hooks for the end; in part of a recorded run, cancellation does not interrupt them."""
        recording = self._stem.run[Recording]
        if recording is None or not self._is_part:
            await telling
        else:
            with recording.abandoned.tells_end(self._stem.path):
                await uninterrupted(telling)

    async def _tell(self, point: str, **args: Value) -> None:
        told = self._stem.child(point, self._about | args)  # its path does not depend on hooks
        if self._may_have_hooks():
            await tell(self._hooks, told, self._guard)

    def _may_have_hooks(self) -> bool:
        """Return whether there are hooks, or may have been when this was recorded."""
        recording = self._stem.run[Recording]
        return bool(self._hooks.all()) or (recording is not None and recording.follows_record)


class _NoRun:
    """Stands in for a run at points outside of runs: it has an event bus and performs no effects."""

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
        """Do nothing, since no limits apply outside of runs."""

    def call(
        self,
        function: LuaFunction,
        args: list[Value],  # noqa: ARG002 - the function is not called
        path: str,  # noqa: ARG002
    ) -> Coroutine[Any, Any, Value]:
        return self._refuse(f"{function!r} cannot be called outside of a run")

    async def _refuse(self, why: str) -> NoReturn:
        raise EffectError(why)
