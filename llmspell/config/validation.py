"""Validates settings, and suggests what an unknown key may have meant."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from llmspell.config.settings import Settings
from llmspell.errors import ConfigError
from llmspell.permissions import KINDS, Grants, problems_in, targets_in
from llmspell.suggestions import similar

G = TypeVar("G", bound=Grants)

# Error types of pydantic: for an unknown key, and for what is no table.
_UNKNOWN, _NO_TABLE = "unexpected_keyword_argument", "dataclass_type"


def check_settings(table: dict[str, Any], source: str) -> Settings:
    """Validate a plain table of settings; `source` names it in errors. Raises ConfigError."""
    from pydantic import TypeAdapter, ValidationError

    try:
        settings = TypeAdapter(Settings).validate_python(table)
    except ValidationError as error:
        errors = [(_place(e["loc"], table), e["type"], e["msg"]) for e in error.errors()]
        unknown = [e["loc"] for e in error.errors() if e["type"] == _UNKNOWN]
        # Suppress pydantic's error: it quotes the input, which may contain an API key.
        problems = [_problem(*parts) for parts in errors]
        raise ConfigError(source, problems, hint=_hint(unknown)) from None
    permissions = settings.permissions
    granted = _targets_read(permissions, "permissions", source)
    denied = _targets_read(permissions.deny, "permissions.deny", source)
    return replace(settings, permissions=replace(granted, deny=denied))


def _targets_read(grants: G, place: str, source: str) -> G:
    lists = {kind: grants[kind] or () for kind in KINDS}
    if problems := problems_in(lists):
        raise ConfigError(source, [f"{place}.{problem}" for problem in problems])
    return replace(grants, **{kind: targets_in(kind, lists[kind]) for kind in KINDS})


def _place(location: tuple[int | str, ...], table: Any) -> str:
    """Return a dotted key, such as `state.backend`, with named list entries by their name."""
    names = []
    for part in location:
        try:
            table = table[part]
        except (LookupError, TypeError):
            table = None
        name = table.get("name") if isinstance(part, int) and isinstance(table, dict) else None
        names.append(str(name or part))
    return ".".join(names)


def _problem(place: str, kind: str, message: str) -> str:
    if kind == _UNKNOWN:
        return f"{place} is not a setting"
    if kind == _NO_TABLE:
        return f"{place}: input should be a table"
    message = message.removeprefix("Value error, ").replace("valid tuple", "valid list")
    return f"{place}: {message[0].lower()}{message[1:]}"


def _hint(unknown: list[tuple[int | str, ...]]) -> str | None:
    """Suggest keys that resemble the unknown ones, or else list the keys of that table."""
    if not unknown:
        return None
    guesses = []
    for *table, name in sorted(unknown, key=len):
        keys = _keys_at(table)
        inner = [] if table else [f"{key}.{k}" for key in keys for k in _keys_at([key])]
        guesses += [
            _named([*table, guess]) for guess in similar(str(name), [*keys, *inner], most=1)
        ]
    if guesses:
        return f"did you mean {' and '.join(dict.fromkeys(guesses))}?"
    table = list(unknown[0][:-1])
    of = f" of {_named(table)}" if table else ""
    return f"settings{of} are {', '.join(_keys_at(table))}"


def _named(location: Sequence[int | str]) -> str:
    """Return a key in the form the docs use, without list indices."""
    return ".".join(part for part in location if isinstance(part, str))


def _keys_at(location: Sequence[int | str]) -> list[str]:
    """Return the keys of a table of settings, or of a list's entries; none if any is allowed."""
    kind: Any = Settings
    for part in location:
        if dataclasses.is_dataclass(kind):
            kind = get_type_hints(kind)[str(part)]
        else:  # a mapping or a list of settings
            kind = next((of for of in get_args(kind) if dataclasses.is_dataclass(of)), None)
    if get_origin(kind) is tuple:
        kind = get_args(kind)[0]
    return [key.name for key in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else []
