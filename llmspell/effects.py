"""Effects: requests of a spell, or of host code on its behalf, that the engine performs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from llmspell.concurrency import Answer
from llmspell.effect_paths import BESIDE
from llmspell.errors import (
    ENDS_RUN,
    EffectError,
    LimitExceeded,
    ReplayError,
    RunSuspended,
    ungrouped,
)
from llmspell.signature import Signature
from llmspell.values import LuaFunction, Value

if TYPE_CHECKING:
    from llmspell.permissions import Need
    from llmspell.spending.estimate import Estimate

log = logging.getLogger("llmspell.driver")

Service = TypeVar("Service")


class Run(Protocol):
    """The run of an effect, as handlers see it. `run[Store]` is the run's store."""

    id: str

    def __getitem__(self, service: type[Service]) -> Service: ...

    def perform(self, effect: Effect) -> Coroutine[Any, Any, Value]: ...

    def count(self) -> None: ...

    def call(
        self, function: LuaFunction, args: list[Value], path: str
    ) -> Coroutine[Any, Any, Value]: ...


class Effect:
    """A request for the host: a name, plain arguments, and a place in the run.

    Attributes:
        name: The effect's name, such as `state.get`.
        args: The caller's arguments, as plain values.
        path: `0.2/5` is the sixth effect of the third child of the root task; `0.2/5/1` is the
            second effect its handler performed. Paths do not depend on timing.
        run: The run, with its services and its other effects.
        bound: The arguments, checked and converted for the handler by the middleware `validate`.
        repeats: How often the effect was repeated.
        seen: The version of the hooks at the time the spell requested the effect, or the one this
            is on behalf of; see `Hooks.seen`. None if unknown.
        args_source: The object that `args` is the plain form of, if the caller had it. Hooks may
            have changed the arguments since, so a handler may reuse only those parts that still
            match.
    """

    __slots__ = (
        "_calls",
        "_children",
        "args",
        "args_source",
        "bound",
        "name",
        "path",
        "repeats",
        "run",
        "seen",
    )

    def __init__(self, name: str, args: dict[str, Value], path: str, run: Run) -> None:
        self.name = name
        self.args = self.bound = args
        self.path = path
        self.run = run
        self.seen: tuple[int, ...] | None = None
        self.args_source: object = None
        self._children = self._calls = self.repeats = 0

    def perform(self, name: str, /, **args: Value) -> Coroutine[Any, Any, Value]:
        """Perform another effect on behalf of this one, through the whole chain.

        The path is assigned at the call, not when awaited, so siblings may run concurrently.
        """
        return self.run.perform(self.child(name, args))

    def child(self, name: str, args: dict[str, Value]) -> Effect:
        """Create the next effect on behalf of this one, without performing it."""
        path = f"{self.path}/{self._children}"
        self._children += 1
        return self.related(name, args, path)

    def related(self, name: str, args: dict[str, Value], path: str) -> Effect:
        """Create an effect at another path, related to this one but not on its behalf."""
        other = Effect(name, args, path, self.run)
        other.seen = self.seen
        return other

    def path_beside(self, name: str) -> str:
        """Return the path at which to record a fact beside this effect; each repeat has its own."""
        repeat = f"-{self.repeats}" if self.repeats else ""
        return f"{self.path}{BESIDE}{name}{repeat}"

    def copy_beside(self, number: int) -> Effect:
        """Return a copy of this effect at a path of its own, for work beside it such as a hook."""
        copy = Effect(self.name, self.args, f"{self.path}{BESIDE}{number}", self.run)
        copy.bound, copy.seen = self.bound, self.seen
        return copy

    def call(self, function: LuaFunction, *args: Value) -> Coroutine[Any, Any, Value]:
        """Call a Lua function that a spell passed in; it runs as a new task of that spell."""
        return self.run.call(function, list(args), self.path_of_call())

    def path_of_call(self) -> str:
        """Return the path of the next call of a Lua function on behalf of this effect."""
        self._calls += 1
        return f"{self.path}.{self._calls - 1}"


def as_effect_error(
    name: str, error: BaseException
) -> EffectError | LimitExceeded | ReplayError | RunSuspended:
    """Return what the failure of an effect is to hooks, to the record and to the spell.

    An unexpected exception is logged, and becomes an EffectError. What ends the run is returned as
    it is.
    """
    first = ungrouped(error)
    if isinstance(first, (EffectError, *ENDS_RUN)):
        return first
    log.error("%s failed", name, exc_info=error)
    return EffectError(f"{name} failed: internal error ({type(first).__name__})")


Perform = Callable[[Effect], Answer[Value]]
"""Performs an effect: a handler, or middleware in front of one. It may answer without awaiting."""


@dataclass(frozen=True, eq=False)
class Handler:
    """How to perform an effect, derived from a typed Python function.

    A parameter annotated `Effect` receives the effect; the others are its arguments. A sync
    function is called on the event loop, so it must not block.

    Attributes:
        leaf: Whether it touches the outside world itself, rather than through other effects. A
            function of the effect where that depends on the checked arguments.
        repeatable: Whether a leaf may be performed again when its outcome is unknown: it changes
            nothing, or is idempotent. May be a function of the effect too.
        deadline: The timeout in seconds of an effect with these arguments, or None.
        target: What the error of a timeout names instead of the effect, such as the tool that was
            called.
        bind: Checks and converts the arguments; by default, the function's signature does.
        needs: The permissions the checked arguments require, each with who needs it, such as
            "the spell".
        costs: For effects charged by tokens: an upper estimate for the checked arguments. The
            result of the effect has the actual `usage` and the `model`.
        check_result: Checks a result that hooks have decided on. Raises EffectError.
        reusable: Returns what hooks may cache of a result, or None for nothing; by default all.
        so_far: The partial outcome to record for a leaf that is cancelled.
        delivered: For a leaf whose answer the spell gets in parts: a function that returns those it
            has got so far, the `pieces` of the partial outcome; or None.
        replayed: Called with the recorded outcome when a leaf is answered from the record, or with
            the partial outcome recorded when it was cancelled. It is called immediately, even if
            the answer is due later.
        keeps: For a leaf that makes the host keep something for the run: called with its result,
            returns what that is and how many bytes it takes now, or None for nothing.
        restore: Called in a resumed run when the recorded result of a leaf is due, with that result
            and how many seconds ago it began, to do again what may have ended with the process.
    """

    name: str
    function: Callable[..., Any]
    leaf: bool | Callable[[Effect], bool] = True
    repeatable: bool | Callable[[Effect], bool] = False
    deadline: Callable[[Effect], float | None] | None = None
    target: Callable[[Effect], str] | None = None
    bind: Callable[[Effect], dict[str, Any]] | None = None
    needs: Callable[[Effect], list[tuple[str, Need]]] | None = None
    costs: Callable[[Effect], Estimate] | None = None
    check_result: Callable[[Value], None] | None = None
    reusable: Callable[[Value], Value] | None = None
    so_far: Callable[[Effect], Value] | None = None
    delivered: Callable[[Effect], Callable[[], Sequence[Value]] | None] | None = None
    replayed: Callable[[Effect, Value], None] | None = None
    keeps: Callable[[Effect, Value], tuple[Hashable, int] | None] | None = None
    restore: Callable[[Effect, Value, float], None] | None = None

    @cached_property
    def signature(self) -> Signature:
        return Signature(self.function, injected=(Effect,))

    def is_leaf(self, effect: Effect) -> bool:
        return self.leaf if isinstance(self.leaf, bool) else self.leaf(effect)

    def may_repeat(self, effect: Effect) -> bool:
        return self.repeatable if isinstance(self.repeatable, bool) else self.repeatable(effect)

    @cached_property
    def check(self) -> Callable[[Effect], dict[str, Any]]:
        """The function that checks an effect and returns the arguments for `perform`."""
        if self.bind is not None:
            return self.bind
        bind, name = self.signature.bind, self.name
        return lambda effect: bind(effect.args, target=name)

    @cached_property
    def needs_check(self) -> bool:
        """Whether even an effect without arguments has to be checked."""
        return self.bind is not None or self.signature.needs_arguments

    @cached_property
    def perform(self) -> Perform:
        """The function that calls the handler with the effect's checked arguments."""
        function = self.function
        injected = self.signature.injected_first
        if injected is None:
            return lambda effect: function(**effect.bound)
        return lambda effect: function(effect, **effect.bound)
