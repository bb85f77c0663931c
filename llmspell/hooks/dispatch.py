"""Performs an effect with its hooks. The table in docs/hooks.md says what each result does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping, Sequence
from enum import Enum, auto
from typing import Any

from llmspell.concurrency import Answer, gather, settled
from llmspell.eager_steps import Steps, run_eagerly, run_steps
from llmspell.effects import Effect, Handler, Perform, as_effect_error
from llmspell.errors import EffectError, HookHalted, InvalidArguments, LlmspellError
from llmspell.hooks.cache import HookCache, Place
from llmspell.hooks.hook_call import HookCall, ReentrancyGuard
from llmspell.hooks.plan import Plan, Wanted
from llmspell.hooks.points import Phase
from llmspell.hooks.registered_hook import RegisteredHook
from llmspell.hooks.results import (
    Cache,
    Fork,
    Halt,
    HookResult,
    Modify,
    Redirect,
    Replace,
    Retry,
    Skip,
)
from llmspell.journal.leaves import beside
from llmspell.values import Value

log = logging.getLogger("llmspell.hooks")


class _Next(Enum):
    """What to do once the hooks of a phase have run."""

    PROCEED = auto()
    RETRY = auto()
    FINISH = auto()


class Dispatch:
    """Runs the hooks of an effect around its handler."""

    def __init__(
        self,
        handler: Handler,
        call: Perform,
        hooks: Mapping[Phase, tuple[RegisteredHook, ...]],
        guard: ReentrancyGuard,
    ) -> None:
        self._handler, self._call, self._guard = handler, call, guard
        self._before = hooks.get("before", ())
        self._after = hooks.get("after", ())
        self._on_error = hooks.get("error", ())
        # Coroutine functions are started at once, so they need a task around them.
        self._has_async_hook = any(hook.is_async for several in hooks.values() for hook in several)

    def perform(self, effect: Effect) -> Answer[Value]:
        steps = self._steps(effect)
        return run_steps(steps) if self._has_async_hook else run_eagerly(steps)

    def _steps(self, effect: Effect) -> Steps[Answer[Value]]:
        call, plan = HookCall("before", effect, self._guard), None
        for hook in self._before:
            decision = hook.ask(call)
            if decision is not None:
                if hasattr(decision, "__await__"):
                    decision = yield decision
                if decision is not None:
                    plan = plan or Plan()
                    if self._apply_before(hook, decision, call, plan):
                        break
        if plan is None and not (self._after or self._on_error):
            return self._call(effect)
        plan = plan or Plan()
        next_step = _Next.RETRY
        while next_step is _Next.RETRY:
            next_step = yield from self._perform_once(call, plan)
        if self._handler.check_result:
            self._handler.check_result(call.result)
        return call.result

    def _apply_before(
        self, hook: RegisteredHook, decision: HookResult, call: HookCall, plan: Plan
    ) -> bool:
        """Apply the result of a before hook; return whether to skip the remaining hooks."""
        effect = call.effect
        match decision:
            case Modify(value):
                effect.args = _arguments(hook, effect, value)
                effect.bound = self._handler.check(effect)
            case Replace(result):
                plan.replacement = (result,)
            case Halt(reason):
                raise HookHalted(hook.id, reason)
            case Retry():
                plan.retries += (decision,)
            case Redirect():
                plan.redirect = _target(hook, decision, call)
            case Skip():
                plan.skipped = True
            case Cache(_, ttl):
                plan.cached_in += ((hook.cache, decision.place(effect), ttl),)
            case Fork():
                plan.forks += tuple((hook, *fork) for fork in decision.effects)
        return bool(plan.replacement or plan.redirect or plan.skipped)

    def _perform_once(self, call: HookCall, plan: Plan) -> Steps[_Next]:
        """Perform the effect once, then run its error and after hooks; the call gets the result."""
        call.result = call.error = None
        try:
            if plan.forks:
                call.result = yield self._with_forks(call, plan)
            else:
                call.result = yield from self._attempts(call, plan)
        except EffectError as error:
            call.phase, call.error = "error", error
        if plan.skipped:
            return _Next.FINISH
        if call.error is not None:
            next_step = yield from self._review(self._on_error, call, plan)
            if next_step is not _Next.PROCEED:
                return next_step
        if call.error is not None:
            raise call.error
        if not self._after:
            return _Next.PROCEED
        call.phase = "after"
        return (yield from self._review(self._after, call, plan))

    def _attempts(self, call: HookCall, plan: Plan) -> Steps[Value]:
        """Return the result of the effect, retried as the plan says, or of what replaces it."""
        if plan.skipped:
            return None
        if plan.replacement is not None:
            return plan.replacement[0]
        while True:
            try:
                wanted = plan.redirect
                answer = self._perform(call, wanted) if wanted else self._call(call.effect)
                result = (yield answer) if hasattr(answer, "__await__") else answer
            except Exception as error:
                failure = as_effect_error(call.effect.name, error)
                delay = plan.next_delay() if isinstance(failure, EffectError) else None
                if delay is None and failure is error:
                    raise
                if delay is None:
                    raise failure from error
            else:
                for cache, place, ttl in plan.cached_in:
                    self._keep(cache, place, result, ttl)
                return result
            yield _pause(call, delay)

    def _review(
        self, hooks: tuple[RegisteredHook, ...], call: HookCall, plan: Plan
    ) -> Steps[_Next]:
        """Run after hooks, or error hooks until one of them recovers from the error."""
        for hook in hooks:
            decision = hook.ask(call)
            if decision is None:
                continue
            if hasattr(decision, "__await__"):
                decision = yield decision
            next_step = yield from self._apply(hook, decision, call, plan)
            if next_step is not _Next.PROCEED or (call.phase == "error" and call.error is None):
                return next_step
        return _Next.PROCEED

    def _apply(
        self, hook: RegisteredHook, decision: HookResult, call: HookCall, plan: Plan
    ) -> Steps[_Next]:
        """Apply the result of an after or error hook."""
        match decision:
            case Modify(value) | Replace(value):
                call.result, call.error = value, None
            case Halt(reason):
                raise HookHalted(hook.id, reason)
            case Retry(delay) if plan.repeats_for(hook, decision):
                yield _pause(call, delay)
                return _Next.RETRY
            case Redirect():
                yield self._redirect(hook, decision, call)
            case Skip():
                call.result = call.error = None
                return _Next.FINISH
            case Cache(_, ttl) if call.error is None:
                self._keep(hook.cache, decision.place(call.effect), call.result, ttl)
            case Fork(effects):
                yield gather(self._fork_work(call, [(hook, *fork) for fork in effects]))
        return _Next.PROCEED

    def _keep(self, cache: HookCache, place: Place, result: Value, ttl: float | None) -> None:
        reusable = self._handler.reusable
        if reusable is None:
            cache.put(place, result, ttl)
        elif (kept := reusable(result)) is not None:
            cache.put(place, kept, ttl)

    async def _redirect(self, hook: RegisteredHook, redirect: Redirect, call: HookCall) -> None:
        """Replace the result, or the error, by the outcome of another effect."""
        wanted = _target(hook, redirect, call)
        if wanted is None:
            return
        try:
            call.result = await self._perform(call, wanted)
            call.error = None
        except EffectError as error:
            if call.phase == "after":
                raise
            call.error = error

    async def _with_forks(self, call: HookCall, plan: Plan) -> Value:
        """Return the effect's outcome once it and all forks have ended, whether or not they fail."""
        forks, plan.forks = self._fork_work(call, plan.forks), ()

        async def own() -> Value | EffectError:
            try:
                return await settled(run_eagerly(self._attempts(call, plan)))
            except EffectError as error:
                return error

        outcome, *_ = await gather([own(), *forks])
        if isinstance(outcome, EffectError):
            raise outcome
        return outcome

    def _fork_work(
        self, call: HookCall, forks: Sequence[Wanted]
    ) -> list[Coroutine[Any, Any, None]]:
        """Return coroutines that perform the forks. Their paths do not depend on timing."""
        return [self._run_fork(fork[0], _work(call, fork)) for fork in forks]

    async def _run_fork(self, hook: RegisteredHook, effect: Effect) -> None:
        """Perform a fork and log its failure; only exceeding a limit of the run propagates."""
        try:
            await self._perform_for(hook, effect)
        except Exception as error:
            if isinstance(error, LlmspellError) and not isinstance(error, EffectError):
                raise
            log.warning("hook %r: its fork %s failed: %s", hook.id, effect.name, error)

    def _perform(self, call: HookCall, wanted: Wanted) -> Coroutine[Any, Any, Value]:
        """Perform an effect for a hook, which is not called for it."""
        return self._perform_for(wanted[0], _work(call, wanted))

    async def _perform_for(self, hook: RegisteredHook, effect: Effect) -> Value:
        work = (id(hook.owner), effect.path)
        self._guard.add(work)
        try:
            return await effect.run.perform(effect)
        finally:
            self._guard.discard(work)


def _work(call: HookCall, wanted: Wanted) -> Effect:
    """Return the effect that a hook wants; it runs beside the hooked effect, not on its behalf."""
    _, name, args = wanted
    return call.effect_beside().child(name, dict(args))


def _arguments(hook: RegisteredHook, effect: Effect, value: Value) -> dict[str, Value]:
    """Return a value as arguments. Raises InvalidArguments, which names the hook."""
    if value == []:  # an empty table of Lua
        return {}
    if not isinstance(value, Mapping):
        problem = f"hook {hook.id!r} changes the arguments to something that is not a table"
        raise InvalidArguments(effect.name, [problem])
    return value if isinstance(value, dict) else dict(value)


def _target(hook: RegisteredHook, redirect: Redirect, call: HookCall) -> Wanted | None:
    """Return what to perform instead; None if that is impossible, which counts as a failure."""
    try:
        return hook, *redirect.target(call.effect)
    except ValueError as error:
        hook.failed(call, error)
        return None


async def _pause(call: HookCall, seconds: float) -> None:
    """Wait before another attempt, which counts as one more effect of the run."""
    call.effect.run.count()
    call.effect.repeats += 1
    await beside(call.effect, "pause", asyncio.sleep(seconds))
