"""The registries of hooks: one for the runtime, and one for each run."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable
from functools import partial
from itertools import count
from typing import Any

from llmspell.effect_patterns import PatternCheck, SettingsPlace, check_patterns
from llmspell.effects import Effect
from llmspell.hooks.cache import HookCache
from llmspell.hooks.circuit_breaker import CircuitBreaker
from llmspell.hooks.hook import Hook, check_methods
from llmspell.hooks.hook_call import HookFunction, ReentrancyGuard
from llmspell.hooks.points import Phase, parse_point
from llmspell.hooks.registered_hook import RegisteredHook
from llmspell.kept import Kept

TIMEOUT = 30.0
MAX_FAILURES = 5
COOL_DOWN = 30.0

Decorator = Callable[[HookFunction], HookFunction]

_Entry = tuple[tuple[int, int], RegisteredHook]
"""A hook with its rank among those of the same priority: the depth of its registry, and its number.

When a spell registers a hook, and when the spells around it do, is up to the event loop; so only the
numbers of one registry tell anything.
"""


class Hooks:
    """The hooks of a runtime or, with that as `outer`, of one run.

    Registration builds new tuples in the order in which hooks run, so a dispatch neither sorts nor
    sees changes: a hook that is added meanwhile is called from the next effect on.

    Attributes:
        outer: The enclosing registry: a run's is the runtime's, a child run's is its parent's.
        guard: The current work of hooks, in this run and those around it.
        seen: How often the spell has changed its hooks so far: in this run, in its parent, and so
            on.
    """

    def __init__(self, outer: Hooks | None = None, kept: Kept | None = None) -> None:
        """Create a registry; `kept` is the account of its run, if it is one's."""
        self.outer = outer
        self.guard: ReentrancyGuard = outer.guard if outer and outer.outer else ReentrancyGuard()
        self.seen: tuple[int, ...] = ()
        self._own: tuple[_Entry, ...] = ()
        self._removed: list[_Entry] = []  # removed by a spell
        self._changes = 0
        self._all: tuple[RegisteredHook, ...] | None = None
        self._numbers: count[int] = outer._numbers if outer else count()  # noqa: SLF001 - same class
        self._depth: int = outer._depth + 1 if outer else 0  # noqa: SLF001
        self._listeners: list[Callable[[], None]] = []
        self._cache = HookCache(kept)
        self._check_pattern: PatternCheck | None = outer._check_pattern if outer else None  # noqa: SLF001
        if outer:
            outer.listen(self._changed)
            self.seen = (0, *outer.seen)

    def register(
        self,
        point: str | Iterable[str],
        function: HookFunction,
        *,
        phase: Phase | None = None,
        priority: float = 0,
        id: str | None = None,  # noqa: A002 - the attribute's name
        timeout: float = TIMEOUT,
        required: bool = False,
        max_failures: int = MAX_FAILURES,
        cool_down: float = COOL_DOWN,
        owner: object = None,
        only: Callable[[Effect], bool] | None = None,
        handle: str | None = None,
    ) -> RegisteredHook:
        """Register a hook at one or several points of one phase.

        Args:
            point: What `parse_point` takes.
            function: Called with a `HookCall`; sync or async. A sync one must not block.
            phase: The phase of points that do not include it.
            priority: Higher runs first. With the same one, those of outer registries run first, and
                those of one registry in the order of registration.
            id: For messages and listings; by default the function's name.
            timeout: Seconds it may take, if it awaits anything.
            required: Whether its failure fails the effect.
            max_failures: The number of consecutive failures that opens its circuit.
            cool_down: Seconds before a call is tried again.
            owner: Identifies its own work, for which it is not called; by default the function.
            only: Selects among the effects with those names; by default all.
            handle: By which the spell that registers it can remove it; None if no spell does. A
                spell's changes are counted, so that each effect can determine which hooks existed
                when it was requested.

        Raises:
            ValueError: There is no such point, or a number is out of range.
            TypeError: The function cannot be called, or a number is none.
            UnknownEffect: No effect reaches the point; unknown before the runtime has started.
        """
        if not callable(function):
            raise TypeError(f"a hook must be a function, not {function!r}")
        if not isinstance(priority, (int, float)):
            raise TypeError(f"priority must be a number, not {priority!r}")
        if math.isnan(priority):
            raise ValueError("priority must not be NaN")
        points = [point] if isinstance(point, str) else list(point)
        parsed = [parse_point(p, phase) for p in points]
        patterns = tuple(pattern for _, names in parsed for pattern in names)
        if len({phase for phase, _ in parsed}) != 1:
            raise ValueError("the points of a hook must have the same phase")
        if self._check_pattern and parsed[0][0] != "at":
            for pattern in patterns:
                self._check_pattern(pattern)
        if not timeout > 0:
            raise ValueError("timeout must be above 0")
        number = next(self._numbers)
        hook = RegisteredHook(
            id=id or getattr(function, "__name__", None) or f"hook-{number}",
            phase=parsed[0][0],
            patterns=patterns,
            function=function,
            priority=priority,
            timeout=timeout,
            required=required,
            owner=function if owner is None else owner,
            cache=self._cache,
            circuit=CircuitBreaker(max_failures, cool_down),
            only=only,
            since=self._next_change(by_spell=handle is not None),
            handle=handle,
        )
        self._own = (*self._own, ((self._depth, number), hook))
        self._changed()
        return hook

    def add(self, hook: Hook, *, handle: str | None = None) -> list[RegisteredHook]:
        """Register the methods of a `Hook` that its class overrides; `handle` as for `register`.

        Raises:
            ValueError: As `register` does; or a method is misspelt.
            TypeError: It is not a `Hook`.
        """
        given: Any = hook
        if not isinstance(given, Hook):
            what = "a class: pass an instance" if isinstance(given, type) else "not a Hook"
            raise TypeError(f"{given!r} is {what}")
        check_methods(hook)
        register = partial(
            self.register,
            timeout=hook.timeout,
            required=hook.required,
            owner=hook,
            handle=handle,
        )
        name = hook.id or type(hook).__name__
        return [
            register(
                part.points,
                part.function,
                id=f"{name}.{part.method}",
                priority=hook.priority if part.priority is None else part.priority,
                only=part.only,
            )
            for part in hook.parts()
        ]

    def before(self, point: str, **options: Any) -> Decorator:
        """Return a decorator: `@hooks.before("tool.call", priority=10)`.

        The options are those of `register`.
        """
        return self._decorator("before", point, options)

    def after(self, point: str, **options: Any) -> Decorator:
        return self._decorator("after", point, options)

    def on_error(self, point: str, **options: Any) -> Decorator:
        return self._decorator("error", point, options)

    def at(self, point: str, **options: Any) -> Decorator:
        """Return a decorator for a point of the life cycle: `@hooks.at("run.end")`."""
        return self._decorator("at", point, options)

    def _decorator(self, phase: Phase, point: str, options: dict[str, Any]) -> Decorator:
        if callable(point):
            raise TypeError('a decorator of hooks takes a point: @hooks.before("tool.call")')

        def decorate(function: HookFunction) -> HookFunction:
            self.register(point, function, phase=phase, **options)
            return function

        return decorate

    def remove(self, hook: RegisteredHook | Hook) -> None:
        """Remove a hook, or all methods of a `Hook`; current dispatches do not call it either."""
        kept = []
        for entry in self._own:
            if entry[1] is hook or entry[1].owner is hook:
                entry[1].removed = True
                if entry[1].since:
                    entry[1].until = self._next_change(by_spell=True)
                    self._removed.append(entry)
            else:
                kept.append(entry)
        self._own = tuple(kept)
        self._changed()

    def close_points(self, check: PatternCheck) -> None:
        """Refuse hooks that no effect reaches: those registered so far, and any later one.

        Raises:
            ConfigError: No effect reaches one that is registered.
        """
        check_reach(self.own(), check)
        self._check_pattern = check

    def own(self) -> list[RegisteredHook]:
        """Return the hooks registered here, without the outer ones."""
        return [hook for _, hook in self._own]

    def all(self) -> tuple[RegisteredHook, ...]:
        """Return all hooks, including the outer ones, in the order in which they run."""
        if self._all is None:
            self._all = _ordered(self._entries())
        return self._all

    def matching(
        self, name: str, seen: tuple[int, ...] | None = None
    ) -> dict[Phase, tuple[RegisteredHook, ...]]:
        """Return the hooks of an effect or point by phase, in the order in which they run.

        Phases without hooks are omitted. `seen` selects an earlier state: the hooks that existed
        when this registry's `seen` had that value.
        """
        then = self.all() if seen in (None, self.seen) else _ordered(self._entries_at(seen))
        hooks: dict[Phase, tuple[RegisteredHook, ...]] = {}
        for hook in then:
            if hook.matches(name):
                hooks[hook.phase] = (*hooks.get(hook.phase, ()), hook)
        return hooks

    def has_changed_for(self, name: str) -> bool:
        """Return whether a spell has ever registered a hook for an effect or point with that name."""
        mine = any(hook.since and hook.matches(name) for _, hook in (*self._own, *self._removed))
        return mine or (self.outer is not None and self.outer.has_changed_for(name))

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever the result of `matching` may have changed."""
        self._listeners.append(listener)

    def unlisten(self, listener: Callable[[], None]) -> None:
        self._listeners.remove(listener)

    async def reached(self, seen: tuple[int, ...]) -> None:
        """Wait until the spells have changed their hooks as often as `seen` says."""
        changed = asyncio.Event()
        self.listen(changed.set)
        try:
            while any(now < then for now, then in zip(self.seen, seen, strict=True)):
                changed.clear()
                await changed.wait()
        finally:
            self.unlisten(changed.set)

    def close(self) -> None:
        """Stop listening to the outer registry."""
        if self.outer:
            self.outer.unlisten(self._changed)

    def drop_kept(self) -> None:
        """Drop the hooks of the run and what they cached, now that it is over."""
        self._cache.clear()
        self._removed.clear()
        self._own, self._all = (), None

    def _entries(self) -> list[_Entry]:
        outer = self.outer._entries() if self.outer else []  # noqa: SLF001
        return [*outer, *self._own]

    def _entries_at(self, seen: tuple[int, ...]) -> list[_Entry]:
        if self.outer is None:
            return self._entries()
        own = [e for e in (*self._own, *self._removed) if e[1].since <= seen[0] < e[1].until]
        return [*self.outer._entries_at(seen[1:]), *own]  # noqa: SLF001

    def _next_change(self, *, by_spell: bool) -> int:
        """Count a change, and return its number; 0 for a change that the spell does not make."""
        if by_spell:
            self._changes += 1
        return self._changes if by_spell else 0

    def _changed(self) -> None:
        self._all = None
        if self.outer:
            self.seen = (self._changes, *self.outer.seen)
        for listener in self._listeners:
            listener()


def check_reach(hooks: Iterable[RegisteredHook], check: PatternCheck) -> None:
    """Check that effects reach every hook that is not at a point of the life cycle.

    Raises:
        ConfigError: No effect reaches one; the error says where it comes from.
    """
    for hook in hooks:
        if hook.phase != "at":
            what = f"hook {hook.id!r} {hook.phase} {', '.join(hook.patterns)}"
            place = hook.owner.place if isinstance(hook.owner, Hook) else None
            check_patterns(hook.patterns, check, place=place or SettingsPlace("the runtime", what))


def _ordered(entries: list[_Entry]) -> tuple[RegisteredHook, ...]:
    """Return the hooks in the order in which they run."""
    return tuple(hook for _, hook in sorted(entries, key=lambda e: (-e[1].priority, e[0])))
