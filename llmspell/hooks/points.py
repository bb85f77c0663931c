"""The points at which hooks are called, and their names."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import Literal

Phase = Literal["before", "after", "error", "at"]
"""Before an effect, after it, or when it has failed; `at` is for points of the life cycle."""

PHASES: tuple[Phase, ...] = ("before", "after", "error", "at")

LIFE_CYCLE = (
    "runtime.start",
    "runtime.stop",
    "run.start",
    "run.end",
    "config.change",
    "limit.exceeded",
    "permission.denied",
)

_WRITES = (
    "state.set",
    "state.update",
    "state.delete",
    "state.increment",
    "state.compare_and_set",
)
UNHOOKED = "human.approve"  # no hook surrounds an approval, see the middleware

_SUBJECTS: dict[str, tuple[str, ...]] = {
    "agent_init": ("agent.create",),
    "agent_execution": ("agent.run",),
    "tool_discovery": ("tool.list", "tool.get"),
    "tool_call": ("tool.call",),
    "tool_execution": ("tool.call",),
    "model_request": ("model.request",),
    "state_read": ("state.get", "state.keys"),
    "state_update": _WRITES,
    "state_write": _WRITES,
}
_PREFIXES: dict[str, Phase] = {
    "pre": "before",
    "before": "before",
    "post": "after",
    "after": "after",
    "error": "error",
    "on": "error",
}
_NAMES: dict[str, tuple[Phase, str]] = {
    "agent_error": ("error", "agent.run"),
    "tool_error": ("error", "tool.call"),
    "system_startup": ("at", "runtime.start"),
    "system_shutdown": ("at", "runtime.stop"),
    "configuration_change": ("at", "config.change"),
    "resource_limit_exceeded": ("at", "limit.exceeded"),
    "security_violation": ("at", "permission.denied"),
}


def parse_point(point: str, phase: Phase | None = None) -> tuple[Phase, tuple[str, ...]]:
    """Parse the name of a point into its phase and patterns.

    Accepts `before:tool.call`; with `phase` given, `tool.call` alone; points of the life cycle,
    such as `run.start`; and the named points `pre_tool_call`, `BeforeToolExecution`, …

    Raises:
        ValueError: The name is none of these, or its effect has no hooks.
    """
    named, patterns = read_point(point, phase)
    if UNHOOKED in patterns:
        raise ValueError(f"{UNHOOKED} has no hooks: a person answers for themselves")
    if named is None or not all(patterns) or phase not in (None, named):
        among = f" among those {phase}" if phase else ""
        raise ValueError(f"no hook point named {point!r}{among}; {_HINT}")
    alive = [any(fnmatchcase(name, pattern) for name in LIFE_CYCLE) for pattern in patterns]
    if named == "at" and not all(alive):
        raise ValueError(f"no hook point named {point!r}; available: {', '.join(LIFE_CYCLE)}")
    return named, patterns


_HINT = "write before:EFFECT, after:EFFECT, error:EFFECT, or a point of the life cycle"


def read_point(point: str, phase: Phase | None = None) -> tuple[Phase | None, tuple[str, ...]]:
    """Read the name of a point as `parse_point` does, without refusing any.

    Returns the phase, or `phase` if it names none, and its patterns: none if it has no such phase.
    """
    explicit, _, rest = point.partition(":")
    for known in PHASES:
        if explicit == known and rest:
            return known, _SUBJECTS.get(rest, (rest,))
    if ":" in point:
        return None, ()
    if point in LIFE_CYCLE:
        return "at", (point,)
    snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", point).lower()
    if snake in _NAMES:
        named, pattern = _NAMES[snake]
        return named, (pattern,)
    prefix, _, subject = snake.partition("_")
    if subject in _SUBJECTS and prefix in _PREFIXES:
        return _PREFIXES[prefix], _SUBJECTS[subject]
    return phase, _SUBJECTS.get(snake, (point,))
