"""An effect: something a spell, or host code on its behalf, asks the engine to do."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from llmspell.concurrency import Answer
from llmspell.effect_paths import BESIDE
from llmspell.signature import Signature
from llmspell.values import LuaFunction, Value

if TYPE_CHECKING:
    from llmspell.permissions import Need
    from llmspell.spending.estimate import Estimate

Service = TypeVar("Service")


class Run(Protocol):
    """The run an effect belongs to, as handlers see it. `run[Store]` is the run's store."""

    id: str

    def __getitem__(self, service: type[Service]) -> Service: ...

    def perform(self, effect: Effect) -> Coroutine[Any, Any, Value]: ...

    def count(self) -> None: ...

    def call(
        self, function: LuaFunction, args: list[Value], path: str
    ) -> Coroutine[Any, Any, Value]: ...


class Effect:
    """A name, plain arguments, and a place in the run.

    Attributes:
        name: Such as `state.get`.
        args: What the caller gave, as plain values.
        path: `0.2/5` is the sixth effect of the third child of the root task; `0.2/5/1` is the
            second effect its handler performed. Paths do not depend on timing.
        run: Where its services, hooks and other effects are.
        bound: The arguments checked and converted for the handler, by the middleware `validate`.
        repeats: How often it was done again.
        seen: Which hooks there were when the spell asked for it, or for what it is on behalf of, see
            `Hooks.seen`. None says nothing about that.
        made_of: What the arguments are the plain form of, where whoever asks has that at hand. A
            handler may use a part of it that still has that form: hooks may have changed the arguments.
    """

    __slots__ = (
        "_calls",
        "_children",
        "args",
        "bound",
        "made_of",
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
        self.made_of: object = None
        self._children = self._calls = self.repeats = 0

    def perform(self, name: str, /, **args: Value) -> Coroutine[Any, Any, Value]:
        """Perform another effect on behalf of this one, through the whole chain.

        Its path is fixed here, not when it is awaited, so that siblings may run concurrently.
        """
        return self.run.perform(self.child(name, args))

    def child(self, name: str, args: dict[str, Value]) -> Effect:
        """The next effect on behalf of this one, yet to be performed."""
        path = f"{self.path}/{self._children}"
        self._children += 1
        return self.beside(name, args, path)

    def beside(self, name: str, args: dict[str, Value], path: str) -> Effect:
        """An effect of another path that is done on account of this one."""
        other = Effect(name, args, path, self.run)
        other.seen = self.seen
        return other

    def mark(self, name: str) -> str:
        """The path of what is learned beside this effect: another one each time it is done again."""
        again = f"-{self.repeats}" if self.repeats else ""
        return f"{self.path}{BESIDE}{name}{again}"

    def aside(self, number: int) -> Effect:
        """This effect for what is done beside it, with a path of its own for effects of that."""
        twin = self.beside(self.name, self.args, f"{self.path}{BESIDE}{number}")
        twin.bound = self.bound
        return twin

    def call(
        self, function: LuaFunction, *args: Value, run: Run | None = None
    ) -> Coroutine[Any, Any, Value]:
        """Call a Lua function a spell handed over; it runs as a new task of that spell.

        `run` is whose function it is, when that is not the run of this effect.
        """
        path = f"{self.path}.{self._calls}"
        self._calls += 1
        return (run or self.run).call(function, list(args), path)


Perform = Callable[[Effect], Answer[Value]]
"""Performs an effect: a handler, or a middleware in front of one. It may answer at once."""


@dataclass(frozen=True, eq=False)
class Handler:
    """How an effect is done, read off a typed Python function.

    A parameter annotated `Effect` receives the effect; the others are its arguments. A sync
    function is called on the event loop, so it must not block.

    Attributes:
        leaf: Whether it touches the world itself; otherwise it is made of other effects. Where that
            depends on the checked arguments, a function of the effect.
        repeatable: Whether a leaf may be performed again when nobody knows whether it was done: it
            changes nothing, or doing it twice is like doing it once. Also a function of the effect.
        deadline: The seconds an effect with these arguments may take, or None.
        bind: Checks an effect's arguments and converts them for the function; by default, the
            function's signature does.
        needs: The permissions the checked arguments ask for, and what to call who asks.
        costs: For what is paid by tokens: how many the checked arguments may come to. Its result
            has their `usage` and the `model`.
        so_far: What a leaf that is cancelled is recorded with.
        replayed: Told what a leaf that is answered from the record came to then, or had come to when
            it was cancelled. It is told at once, though the answer is due later.
    """

    name: str
    function: Callable[..., Any]
    leaf: bool | Callable[[Effect], bool] = True
    repeatable: bool | Callable[[Effect], bool] = False
    deadline: Callable[[Effect], float | None] | None = None
    bind: Callable[[Effect], dict[str, Any]] | None = None
    needs: Callable[[Effect], list[tuple[str, Need]]] | None = None
    costs: Callable[[Effect], Estimate] | None = None
    so_far: Callable[[Effect], Value] | None = None
    replayed: Callable[[Effect, Value], None] | None = None

    @cached_property
    def signature(self) -> Signature:
        return Signature(self.function, injected=(Effect,))

    def is_leaf(self, effect: Effect) -> bool:
        return self.leaf if isinstance(self.leaf, bool) else self.leaf(effect)

    def may_repeat(self, effect: Effect) -> bool:
        return self.repeatable if isinstance(self.repeatable, bool) else self.repeatable(effect)

    @cached_property
    def check(self) -> Callable[[Effect], dict[str, Any]]:
        """Gives the arguments `perform` will call the function with."""
        if self.bind is not None:
            return self.bind
        bind, name, needed = self.signature.bind, self.name, self.signature.needs_arguments

        def check(effect: Effect) -> dict[str, Any]:
            args = effect.args
            return bind(args, target=name) if args or needed else {}

        return check

    @cached_property
    def perform(self) -> Perform:
        """Calls the function with the effect's checked arguments."""
        function = self.function
        injected = self.signature.injected_first
        if injected is None:
            return lambda effect: function(**effect.bound)
        return lambda effect: function(effect, **effect.bound)
