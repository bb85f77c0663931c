"""Front matter: TOML in a spell's first comment, or in a `spell.toml` beside `main.lua`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from llmspell.errors import ConfigError
from llmspell.frozen import Frozen
from llmspell.limits import read_limits, units
from llmspell.parameters import TYPES, Parameter, read_parameter, type_of
from llmspell.permissions import KINDS, problems_in
from llmspell.source_text import text_of
from llmspell.toml_parsing import parse_toml

_OPENING = re.compile(rb"^---[ \t]*/// spell[ \t]*\r?\n", re.MULTILINE)
_NEARLY = re.compile(rb"^-{2,}[ \t]*///[ \t]*spell[ \t]*\r?$", re.MULTILINE | re.IGNORECASE)
_CLOSING = re.compile(rb"^---[ \t]*///[ \t]*\r?$", re.MULTILINE)

# Comments and strings of Lua: a string may hold another spell, with front matter of its own.
_TOKENS = re.compile(
    rb"""\A(?:\xef\xbb\xbf)?\#[^\n]*"""
    rb"""|(?:--)?\[(=*)\[(?:.*?\]\1\]|.*)"""
    rb"""|--[^\n]*"""
    rb"""|"(?:\\z\s*+|\\.|[^"\\\n])*+"?|'(?:\\z\s*+|\\.|[^'\\\n])*+'?""",
    re.DOTALL,
)


class FrontMatter(Frozen):
    """Validated front matter.

    Attributes:
        permissions: The permissions the spell requests: {"net": ["example.com"]}.
        limits: The limits it lowers, by the field names of `Limits`.
        approve: Effects that a person has to approve, see `llmspell.approvals`.
    """

    name: str | None = None
    description: str = ""
    params: Mapping[str, Parameter] = field(default_factory=dict)
    permissions: Mapping[str, list[str]] = field(default_factory=dict)
    limits: Mapping[str, float] = field(default_factory=dict)
    approve: tuple[str, ...] = ()


_KEYS = {
    "name": str,
    "description": str,
    "params": dict,
    "permissions": dict,
    "limits": dict,
    "approve": dict,
}


def block_of(source: bytes) -> slice | None:
    """Return the position of the TOML lines in a spell's source, or None without front matter.

    Raises:
        ValueError: The closing line is missing, or the opening line is misspelled.
    """
    opening = _comment(_OPENING, source)
    if not opening:
        if _comment(_NEARLY, source):
            raise ValueError("the line that begins it has to be `--- /// spell`")
        return None
    closing = _CLOSING.search(source, opening.end())
    if not closing:
        raise ValueError("the line `--- ///` that ends it is missing")
    return slice(opening.end(), closing.start())


def _comment(pattern: re.Pattern[bytes], source: bytes) -> re.Match[bytes] | None:
    """Return the first line that matches and is a comment, not part of a string."""
    if not pattern.search(source):
        return None
    starts = (pattern.match(source, token.start()) for token in _TOKENS.finditer(source))
    return next(filter(None, starts), None)


def read_comment(source: bytes, file: str) -> FrontMatter:
    """Read the front matter in a spell's source. Raises ConfigError with every problem."""
    try:
        block = block_of(source)
    except ValueError as error:
        raise ConfigError(file, [f"front matter: {error}"]) from error
    if block is None:
        return FrontMatter()
    lines = [re.sub(rb"^---? ?", b"", line) for line in source[block].splitlines()]
    first = source[: block.start].count(b"\n")  # to keep the line numbers of the file
    return read_toml(b"\n".join([b""] * first + lines) + b"\n", file)


def read_toml(text: bytes, file: str) -> FrontMatter:
    """Read the front matter in a TOML file. Raises ConfigError with every problem."""
    try:
        table = parse_toml(text_of(text))
    except ValueError as error:
        refused = ConfigError(
            file, [f"front matter: {error}"], hint="the format is TOML: https://toml.io"
        )
        if line := re.search(r"at line (\d+)", str(error)):
            refused.where = f"{file}:{line[1]}"
        raise refused from error
    return _checked(table, file)


def _checked(table: dict[str, Any], file: str) -> FrontMatter:
    tables = {key: entries for key, entries in table.items() if isinstance(entries, dict)}
    params, wrong_params = _params(tables.get("params", {}))
    limits, wrong_limits = read_limits(tables.get("limits", {}))
    approve = tables.get("approve", {})
    found = (
        (_wrong_keys(table), f"its keys are {', '.join(_KEYS)}"),
        (
            wrong_params,
            f"types are {', '.join(TYPES)}; keys are type, help, default, choices",
        ),
        (_wrong_permissions(tables.get("permissions", {})), f"kinds are {', '.join(KINDS)}"),
        (wrong_limits, f"limits are {', '.join(units())}"),
        (_wrong_approve(approve), 'write effects = ["tool.call:NAME"]'),
    )
    if problems := [f"front matter: {problem}" for wrong, _ in found for problem in wrong]:
        raise ConfigError(file, problems, hint="; ".join(hint for wrong, hint in found if wrong))
    approved = tuple(approve.get("effects", ()))
    return FrontMatter(**table | {"params": params, "limits": limits, "approve": approved})


def _wrong_keys(table: dict[str, Any]) -> list[str]:
    problems = [f"unknown key {key!r}" for key in sorted(table.keys() - _KEYS.keys())]
    for key, kind in _KEYS.items():
        if not isinstance(table.get(key, kind()), kind):
            problems.append(f"{key} must be a {type_of(kind())}")
    if not str(table.get("name", "")).isprintable():
        problems.append("name must be one line without control characters")
    return problems


def _params(entries: dict[str, Any]) -> tuple[dict[str, Parameter], list[str]]:
    params, problems = {}, []
    for name, entry in entries.items():
        try:
            params[name] = read_parameter(name, entry)
        except (ValueError, OverflowError) as error:
            problems.append(f"params.{name}: {error}")
    for name in params:
        yes = params.get(name.removeprefix("no_"))
        if yes and name != yes.name and yes.type == "boolean":
            problems.append(f"params.{name}: --no-{yes.name} is an option of {yes.name} already")
    return params, problems


def _wrong_approve(entries: dict[str, Any]) -> list[str]:
    problems = [f"approve.{key}: unknown key" for key in entries if key != "effects"]
    effects = entries.get("effects", [])
    if not isinstance(effects, list) or not all(isinstance(e, str) for e in effects):
        problems.append("approve.effects: must be a list of strings")
    return problems


def _wrong_permissions(entries: dict[str, Any]) -> list[str]:
    problems = []
    for kind, targets in entries.items():
        if kind not in KINDS:
            problems.append(f"permissions.{kind}: unknown kind")
        elif not isinstance(targets, list) or not all(isinstance(t, str) for t in targets):
            problems.append(f"permissions.{kind}: must be a list of strings")
        else:
            problems += [f"permissions.{problem}" for problem in problems_in({kind: targets})]
    return problems
