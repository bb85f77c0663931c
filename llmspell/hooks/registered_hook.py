"""A registered hook: calls its function, and handles its failures."""

from __future__ import annotations

import asyncio
import inspect
import logging
import math
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from llmspell.concurrency import Answer, Followed, as_failure, settled
from llmspell.eager_steps import TookTooLong, in_time
from llmspell.effects import Effect
from llmspell.errors import EffectError, HookFailed, LlmspellError, ungrouped
from llmspell.events import Events
from llmspell.hooks.cache import HookCache, Place
from llmspell.hooks.circuit_breaker import CircuitBreaker
from llmspell.hooks.hook_call import HookCall, HookFunction, Mark, SpellHook
from llmspell.hooks.points import Phase
from llmspell.journal.leaves import noted
from llmspell.journal.recording import Recording
from llmspell.values import NotPlain, Value

if TYPE_CHECKING:
    from llmspell.hooks.results import Cache, HookResult

log = logging.getLogger("llmspell.hooks")


@dataclass(eq=False, slots=True)
class RegisteredHook:
    """A function registered at its points.

    Attributes:
        id: For messages and listings.
        phase: When it runs.
        patterns: Names of effects, where `*` matches any part: `tool.call`, `agent.*`.
        only: Selects among the effects with those names; None selects all. The others do not count
            as calls.
        priority: Higher runs first; see `Hooks.register`.
        timeout: Seconds it may take, if it awaits anything.
        required: Whether its failure fails the effect; otherwise failures are only reported.
        owner: The object a method belongs to, or the function.
        cache: Holds the results it caches.
        circuit: Suspends it after repeated failures.
        since: The number of the spell's change to its hooks that added it; 0 if the spell did not.
        until: The number of the change that removed it.
        handle: By which the spell that added it can remove it.
        removed: Whether it was removed; then it is not called any more, even by current dispatches.
        calls: How often it was called.
        failures: How often it raised, timed out or returned an invalid result.
        is_async: Whether its function is a coroutine function.
        of_spell: Whether its function is a `SpellHook`.
    """

    id: str
    phase: Phase
    patterns: tuple[str, ...]
    function: HookFunction
    priority: float
    timeout: float
    required: bool
    owner: object
    cache: HookCache
    circuit: CircuitBreaker
    only: Callable[[Effect], bool] | None = None
    since: int = 0
    until: float = math.inf
    handle: str | None = None
    removed: bool = False
    calls: int = 0
    failures: int = 0
    is_async: bool = False
    of_spell: bool = False

    def __post_init__(self) -> None:
        call = getattr(type(self.function), "__call__", None)  # noqa: B004 - needs the method itself
        self.is_async = inspect.iscoroutinefunction(self.function) or (
            inspect.iscoroutinefunction(call)
        )
        self.of_spell = isinstance(self.function, SpellHook)

    def matches(self, name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in self.patterns)

    def ask(self, call: HookCall) -> Answer[HookResult]:
        """Call the hook and return its result; None if it fails.

        Raises:
            HookFailed: It fails and is required.
            LimitExceeded: Its work exceeded a limit of the run.
        """
        recording = call.effect.run[Recording]
        if recording and not recording.over:
            return self._ask_in_record(recording, call)
        busy = call.guard and call.guard.includes(self.owner, call.effect.path)
        if busy or self.removed or (self.only is not None and not self.only(call.effect)):
            return None
        if self.of_spell:
            return self._call_beside(call, call.effect_beside(), recording)
        return self._call(call, recording)

    def _ask_in_record(self, recording: Recording, call: HookCall) -> Answer[HookResult]:
        """Like `ask`, in a recorded run; what depends on timing is recorded or replayed."""
        path = call.effect.path
        busy = bool(call.guard) and call.guard.includes(self.owner, path)
        if busy and not recording.is_of_call(path):
            return None
        if self.only is not None and not self.only(call.effect):
            return None
        beside = call.effect_beside()
        if _now_or_recorded(recording, beside, "passed", busy or self.removed):
            return noted(beside, "passed")
        if self.of_spell:
            return self._call_beside(call, beside, recording)
        return self._recorded_decision(recording, call, beside)

    def _recorded_decision(
        self, recording: Recording, call: HookCall, beside: Effect
    ) -> Answer[HookResult]:
        """Return the hook's decision, recording it as a leaf, or the recorded one."""
        from llmspell.hooks.decisions import NAME, decided

        effect = call.effect
        about: dict[str, Value] = {"hook": self.id, "phase": call.phase}

        def ask() -> Answer[HookResult]:
            return self._call_beside(call, beside, recording)

        place = Effect(NAME, about, beside.path, effect.run)
        return decided(recording, place, effect.args, ask)

    def _call_beside(
        self, call: HookCall, beside: Effect, recording: Recording | None
    ) -> Answer[HookResult]:
        """Like `_call`, with the effects of the hook at paths beside that of the hooked effect."""
        call.effect = beside
        answer: Any = None
        try:
            answer = self._call(call, recording)
        finally:
            if answer is None or not hasattr(answer, "__await__"):
                call.restore_effect()
        return answer  # type: ignore[no-any-return]

    def _call(self, call: HookCall, recording: Recording | None) -> Answer[HookResult]:
        if self.of_spell:
            if _now_or_recorded(recording, call.effect, "circuit", self.circuit.tripped):
                return self._if_admitted(call)
        elif not self.circuit.admits():
            self._fail_if_required(call)
            return None
        self.calls += 1
        try:
            decision: Any = self.function(call)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a hook may raise anything
            self.failed(call, as_failure(error) if isinstance(error, SystemExit) else error)
            return None
        if self.is_async:
            return self._started(call, decision)
        if hasattr(decision, "__await__"):
            return Followed(decision, partial(self._awaited, call))
        return self._accepted(call, decision)

    def failed(self, call: HookCall, error: Exception) -> None:
        """Count and report a failure. Raises like `ask`."""
        first = ungrouped(error)
        if isinstance(first, LlmspellError) and not isinstance(first, EffectError):
            raise first
        self.failures += 1
        what = f"{where}: {first}" if (where := getattr(first, "where", None)) else first
        message = f"hook {self.id!r} {call.phase} {call.effect.name} failed: {what}"
        if self.circuit.failed():
            message += (
                f"; that was {self.circuit.in_a_row} times in a row,"
                f" so it is skipped for {self.circuit.cool_down:g} seconds"
            )
        about: dict[str, Value] = {
            "hook": self.id,
            "phase": call.phase,
            "effect": call.effect.name,
            "message": str(what),
            "required": self.required,
            "circuit": self.circuit.state,
        }
        call.effect.run[Events].tell("hook.failed", about)
        if self.required:
            raise HookFailed(message) from error
        log.warning(message)

    def _started(self, call: HookCall, work: Any) -> Answer[HookResult]:
        """Start a coroutine of the hook; return its decision, or an awaitable if it has to wait."""
        mark = (id(self.owner), call.effect.path)
        call.guard.add(mark)
        try:
            waits_for = work.send(None)
        except StopIteration as done:
            call.guard.discard(mark)
            return self._accepted(call, done.value)
        except BaseException as error:  # noqa: BLE001 - see `_ended`
            self._ended(call, mark, error)
            return None
        return self._rest(call, mark, self._in_time(call, work, waits_for))

    async def _rest(
        self,
        call: HookCall,
        mark: Mark,
        work: Coroutine[Any, Any, HookResult],
    ) -> HookResult:
        """Await the rest of a hook that waits; only such a hook needs a timer."""
        try:
            decision = await work
        except BaseException as error:  # noqa: BLE001 - see `_ended`
            self._ended(call, mark, error)
            return None
        else:
            call.guard.discard(mark)
            return await settled(self._accepted(call, decision))
        finally:
            call.restore_effect()

    def _ended(self, call: HookCall, mark: Mark, error: BaseException) -> None:
        """Report what a coroutine of the hook raised, or raise it if that was not for the hook."""
        if not (self.of_spell and isinstance(error, (asyncio.CancelledError, TookTooLong))):
            call.guard.discard(mark)  # else its work goes on until the spell hears of that
        if isinstance(error, (asyncio.CancelledError, SystemExit)):
            self.failed(call, as_failure(error))
        elif isinstance(error, Exception):
            self.failed(call, error)
        else:
            raise error

    async def _awaited(self, call: HookCall, decision: Awaitable[HookResult]) -> HookResult:
        """Return the decision of a hook that is no coroutine function, but returned an awaitable."""
        try:
            work: Any = decision if type(decision) is CoroutineType else settled(decision)
            return await settled(self._started(call, work))
        finally:
            call.restore_effect()

    def _in_time(
        self, call: HookCall, work: Coroutine[Any, Any, HookResult], waits_for: Any
    ) -> Coroutine[Any, Any, HookResult]:
        if not self.of_spell:
            return in_time(self.timeout, work, waits_for)
        from llmspell.journal.timeouts import in_recorded_time

        return in_recorded_time(call.effect, "time", self.timeout, work, waits_for)

    async def _if_admitted(self, call: HookCall) -> HookResult:
        """Return what a spell's hook says, unless its circuit is still open."""
        from llmspell.hooks.decisions import learned

        try:
            if not await learned(call.effect, "circuit", self.circuit.admits):
                self._fail_if_required(call)
                return None
            self.calls += 1
            return await settled(self._started(call, self.function(call)))
        finally:
            call.restore_effect()

    def _accepted(self, call: HookCall, decision: HookResult) -> Answer[HookResult]:
        if decision is not None:
            from llmspell.hooks.results import RESULTS, Cache, with_plain_values

            if type(decision) not in RESULTS:
                self.failed(call, TypeError(f"{decision!r} is not a result of a hook"))
                return None
            if not self.of_spell:
                try:
                    decision = with_plain_values(decision)
                except NotPlain as error:
                    self.failed(call, error)
                    return None
        if self.circuit.in_a_row:
            self.circuit.succeeded()
        if decision is not None and type(decision) is Cache and call.phase != "after":
            return self._cached_result(call, decision)
        return decision

    def _cached_result(self, call: HookCall, cache: Cache) -> Answer[HookResult]:
        """Return the cached result as a replacement, or the `Cache` itself if there is none."""
        from llmspell.hooks.results import Replace

        place = cache.place(call.effect)
        expires = self.of_spell and self.cache.has_expiry(place)
        recording = call.effect.run[Recording]
        if self.of_spell and _now_or_recorded(recording, call.effect, "kept", expires):
            return self._recorded_cached_result(call, cache, place)
        cached = None if expires else self.cache.get(place)
        return cache if cached is None else Replace(cached[0])

    async def _recorded_cached_result(
        self, call: HookCall, cache: Cache, place: Place
    ) -> HookResult:
        """Like `_cached_result`, for a spell's hook: whether the entry had expired is recorded."""
        from llmspell.hooks.decisions import learned
        from llmspell.hooks.results import Replace

        cached = await learned(call.effect, "kept", lambda: list(self.cache.get(place) or ()))
        if isinstance(cached, list) and cached:
            return Replace(cached[0])
        self.cache.drop(place)
        return cache

    def _fail_if_required(self, call: HookCall) -> None:
        if self.required:
            raise HookFailed(
                f"hook {self.id!r} {call.phase} {call.effect.name} is required, but it failed "
                f"{self.circuit.in_a_row} times in a row"
            )


def _now_or_recorded(recording: Recording | None, effect: Effect, what: str, now: bool) -> bool:
    """Return whether something that depends on timing is so now, or was so when recorded."""
    if recording and recording.follows_record:
        return recording.has_recorded(effect.path_beside(what))
    return now
