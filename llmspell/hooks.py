"""Hooks: functions that see an effect before it is done, after it, or when it failed."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import count
from typing import Any, Literal

from llmspell.effects import Effect
from llmspell.errors import EffectError
from llmspell.values import Value

Phase = Literal["before", "after", "error"]
PHASES: tuple[Phase, ...] = ("before", "after", "error")

DEFAULT_TIMEOUT = 30.0


@dataclass(frozen=True, slots=True)
class Modify:
    """Go on with other arguments (before), or with another result (after)."""

    value: Value


@dataclass(frozen=True, slots=True)
class Replace:
    """The result of the effect: before, the handler is not called; on error, it is forgiven."""

    result: Value


@dataclass(frozen=True, slots=True)
class Halt:
    """The effect fails with `hook_halted`; later hooks do not run."""

    reason: str


HookResult = Modify | Replace | Halt | None
"""None: continue."""


@dataclass(slots=True)
class HookCall:
    """What a hook is given. `result` is set after, `error` on error."""

    phase: Phase
    effect: Effect
    result: Value = None
    error: EffectError | None = None


HookFunction = Callable[[HookCall], "HookResult | Awaitable[HookResult]"]


@dataclass(eq=False)
class Hook:
    """A registered function.

    Attributes:
        id: For messages and listings.
        phase: When it runs.
        patterns: Effect names, with `*` for any part: `tool.call`, `agent.*`.
        priority: Higher runs first; ties run in the order of registration.
        timeout: Seconds it may take.
        required: Its failure fails the effect; otherwise it is reported and passed over.
        failures: How often it raised or took too long.
        active: Paths of the effects it is looking at; effects it performs itself pass it by.
    """

    id: str
    phase: Phase
    patterns: tuple[str, ...]
    function: HookFunction
    priority: int = 0
    timeout: float = DEFAULT_TIMEOUT
    required: bool = False
    failures: int = 0
    active: set[str] = field(default_factory=set)

    def matches(self, effect: str) -> bool:
        return any(fnmatchcase(effect, pattern) for pattern in self.patterns)

    def is_own(self, path: str) -> bool:
        """Whether the effect of that path came from this hook's own work."""
        return any(path.startswith((f"{p}/", f"{p}.")) for p in self.active)


_SUBJECTS = {
    "agent_execution": ("agent.run",),
    "tool_call": ("tool.call",),
    "tool_execution": ("tool.call",),
    "state_update": ("state.set", "state.update", "state.delete"),
    "model_request": ("model.request",),
}
_PREFIXES: dict[str, Phase] = {
    "pre": "before",
    "before": "before",
    "post": "after",
    "after": "after",
    "error": "error",
    "on": "error",
}


def parse_point(point: str, phase: Phase | None = None) -> tuple[Phase, tuple[str, ...]]:
    """The phase and effect patterns a point's name stands for.

    Accepts `before:tool.call`; with `phase` given, `tool.call` alone; and the named points
    `pre_tool_call`, `post_agent_execution`, `BeforeToolExecution`, …

    Raises:
        ValueError: For anything else.
    """
    before, _, rest = point.partition(":")
    if before in PHASES and rest and phase in (None, before):
        return before, _SUBJECTS.get(rest, (rest,))
    if ":" in point:
        raise ValueError(f"no hook point named {point!r}{f' among those {phase}' if phase else ''}")
    snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", point).lower()
    prefix, _, subject = snake.partition("_")
    if subject in _SUBJECTS and prefix in _PREFIXES:
        return _PREFIXES[prefix], _SUBJECTS[subject]
    if phase is not None and snake in _SUBJECTS:
        return phase, _SUBJECTS[snake]
    if phase is not None and point:
        return phase, (point,)
    raise ValueError(
        f"no hook point named {point!r}; write before:EFFECT, after:EFFECT or error:EFFECT"
    )


class Hooks:
    """The hooks of a runtime or, with that as `parent`, of one run.

    Registration makes new tuples, so a dispatch in progress is never disturbed.
    """

    def __init__(self, parent: Hooks | None = None) -> None:
        self._parent = parent
        self._own: tuple[tuple[int, Hook], ...] = ()
        self._numbers: count[int] = parent._numbers if parent else count()  # noqa: SLF001 - its own kind
        self._listeners: list[Callable[[], None]] = []
        if parent:
            parent.listen(self._changed)

    def register(
        self,
        point: str | Iterable[str],
        function: HookFunction,
        *,
        phase: Phase | None = None,
        priority: int = 0,
        id: str | None = None,  # noqa: A002 - it is the id
        timeout: float = DEFAULT_TIMEOUT,
        required: bool = False,
    ) -> Hook:
        """Add a hook at one or several points of one phase."""
        points = [point] if isinstance(point, str) else list(point)
        parsed = [parse_point(p, phase) for p in points]
        if len({phase for phase, _ in parsed}) != 1:
            raise ValueError("the points of one hook have one phase")
        patterns = tuple(pattern for _, found in parsed for pattern in found)
        number = next(self._numbers)
        name = id or getattr(function, "__name__", None) or f"hook-{number}"
        hook = Hook(name, parsed[0][0], patterns, function, priority, timeout, required)
        self._own = (*self._own, (number, hook))
        self._changed()
        return hook

    def before(self, point: str, **options: Any) -> Callable[[HookFunction], HookFunction]:
        """Decorator: `@hooks.before("tool.call", priority=10)`."""
        return self._decorator("before", point, options)

    def after(self, point: str, **options: Any) -> Callable[[HookFunction], HookFunction]:
        return self._decorator("after", point, options)

    def on_error(self, point: str, **options: Any) -> Callable[[HookFunction], HookFunction]:
        return self._decorator("error", point, options)

    def _decorator(
        self, phase: Phase, point: str, options: dict[str, Any]
    ) -> Callable[[HookFunction], HookFunction]:
        def decorate(function: HookFunction) -> HookFunction:
            self.register(point, function, phase=phase, **options)
            return function

        return decorate

    def remove(self, hook: Hook) -> None:
        self._own = tuple(entry for entry in self._own if entry[1] is not hook)
        self._changed()

    def own(self) -> list[Hook]:
        """Those registered here, not with the parent."""
        return [hook for _, hook in self._own]

    def all(self) -> list[Hook]:
        """Every hook, in the order in which they run."""
        ordered = sorted(self._entries(), key=lambda entry: (-entry[1].priority, entry[0]))
        return [hook for _, hook in ordered]

    def matching(self, effect: str) -> dict[Phase, tuple[Hook, ...]]:
        """The hooks of an effect by phase, in the order in which they run; no empty phases."""
        found: dict[Phase, tuple[Hook, ...]] = {}
        for hook in self.all():
            if hook.matches(effect):
                found[hook.phase] = (*found.get(hook.phase, ()), hook)
        return found

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever `matching` may answer differently."""
        self._listeners.append(listener)

    def unlisten(self, listener: Callable[[], None]) -> None:
        self._listeners.remove(listener)

    def close(self) -> None:
        """Stop following the parent."""
        if self._parent:
            self._parent.unlisten(self._changed)

    def _entries(self) -> list[tuple[int, Hook]]:
        inherited = self._parent._entries() if self._parent else []  # noqa: SLF001
        return [*inherited, *self._own]

    def _changed(self) -> None:
        for listener in self._listeners:
            listener()
