"""Checks the arguments of a `Runtime`, so that a mistake is told where it was made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from llmspell.config import Project
from llmspell.errors import ConfigError
from llmspell.permissions import Grants
from llmspell.stores import STORE_METHODS


def check_arguments(given: Mapping[str, Any]) -> None:
    """Check what was passed to a `Runtime`, by the names of its parameters; None if not passed.

    Limits, budgets and the items of lists are checked by those who use them.

    Raises:
        ConfigError: Something is of a type that it cannot have; the error lists every such argument.
    """
    problems = []
    for name, (fits, wanted) in _EXPECTED.items():
        value = given[name]
        if value is not None and not fits(value):
            problems.append(f"{name}: pass {wanted}, not {value!r:.80}")
    if problems:
        raise ConfigError("Runtime", problems)


Check = tuple[Callable[[Any], bool], str]


def _is(kind: type, wanted: str) -> Check:
    return lambda value: isinstance(value, kind), wanted


def _has(methods: Iterable[str], wanted: str) -> Check:
    methods = tuple(methods)
    return lambda value: all(callable(getattr(value, name, None)) for name in methods), wanted


def _is_list(value: object) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping, type))


def _is_output(value: object) -> bool:
    return callable(value) or callable(getattr(value, "write", None))


def _is_duration(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0


_LIST: Check = _is_list, "a list"
_EXPECTED: dict[str, Check] = {
    "tools": _LIST,
    "project": _is(Project, "a Project, such as find_project(Path(…))"),
    "model": _is(str, "a name such as 'openai/gpt-5.4-mini'"),
    "grants": _is(Grants, "Grants(…)"),
    "denied": _is(Grants, "Grants(…)"),
    "ask": (callable, "an async function"),
    "person": _has(("answer", "decide"), "an object with the methods of Person"),
    "approved": _LIST,
    "isolate": _is(bool, "a boolean"),
    "store": _has(STORE_METHODS, "a store, such as SqliteStore(path)"),
    "providers": _LIST,
    "bridges": _LIST,
    "middleware": _LIST,
    "plugins": _LIST,
    "hooks": _LIST,
    "capabilities": _LIST,
    "observers": _LIST,
    "record": _is(bool, "a boolean"),
    "park": (_is_duration, "a number of seconds"),
    "output": (_is_output, "a function, or an object with a method write"),
    "console": _has(("read_line",), "a Console"),
    "progress": (callable, "a function"),
}
