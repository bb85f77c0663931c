"""The parameters of a spell: their declarations in front matter, and the values for a run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from llmspell.frozen import Frozen
from llmspell.values import NotPlain, Value, plain

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Parameter(Frozen):
    """One `[params]` entry: `name = {type, help, default, choices}`, or just a default value.

    One without a default is required. Types: string, integer, number, boolean, list, table.
    """

    name: str
    type: str
    help: str = ""
    default: Value = None
    required: bool = True
    choices: tuple[Value, ...] = ()

    def convert(self, given: Value) -> Value:
        """Convert a value to the parameter's type, parsing text from a command line.

        Raises:
            ValueError: The value is invalid; the message says why.
        """
        try:
            value: Any = _read(given, self.type) if isinstance(given, str) else plain(given)
        except NotPlain as error:
            raise ValueError(f"cannot be used: {error}") from error
        accepted = TYPES[self.type]
        if type(value) not in accepted:
            article = "an" if self.type == "integer" else "a"
            raise ValueError(f"must be {article} {self.type}, not {given!r}")
        if self.type == "integer" and not -(2**63) <= value < 2**63:
            raise ValueError(f"must be an integer of 64 bits, not {given!r}")
        if self.choices and value not in self.choices:
            raise ValueError(f"must be one of {', '.join(map(str, self.choices))}, not {given!r}")
        return float(value) if self.type == "number" else value


TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "list": (list,),
    "table": (dict,),
}
WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
"""What a text means as a boolean."""


def _read(text: str, kind: str) -> Value:
    if kind in ("integer", "number"):
        try:
            return int(text) if kind == "integer" else float(text)
        except ValueError:
            return text
    if kind == "boolean":
        return WORDS.get(text.lower(), text)
    if kind in ("list", "table"):
        import json

        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = text
        if kind == "table" or isinstance(value, (list, dict)):
            return value
        if text.lstrip().startswith("["):
            raise ValueError(f"must be a list: {text!r} begins with [, but is not valid JSON")
        # One item without a comma may happen to be JSON, such as 5 or true.
        return text.split(",") if text else []
    return text


def bind(
    parameters: Mapping[str, Parameter], given: Mapping[str, Value]
) -> tuple[dict[str, Value], list[str]]:
    """Return the value of every parameter, and a list of problems with the given ones."""
    problems = [f"no parameter named {name!r}" for name in given if name not in parameters]
    bound: dict[str, Value] = {}
    for name, parameter in parameters.items():
        if name not in given:
            if parameter.required:
                problems.append(f"--{name} is required")
            bound[name] = parameter.default
            continue
        try:
            bound[name] = parameter.convert(given[name])
        except (ValueError, OverflowError) as error:
            problems.append(f"--{name} {error}")
    return bound, problems


def read_parameter(name: str, entry: Any) -> Parameter:
    """Parse one entry of `[params]`.

    Raises:
        ValueError, OverflowError: The entry is invalid; the message says why.
    """
    if not isinstance(entry, dict):
        entry = {"default": entry}
    if not _NAME.fullmatch(name):
        raise ValueError("its name must consist of letters, digits and _")
    if name == "help":
        raise ValueError("--help shows the parameters: give it another name")
    if unknown := entry.keys() - {"type", "help", "default", "choices"}:
        raise ValueError(f"unknown key {min(unknown)!r}")
    kind = entry.get("type", type_of(entry.get("default", "")))
    if not isinstance(kind, str) or kind not in TYPES:
        raise ValueError(f"unknown type {kind!r}")
    text, choices = entry.get("help", ""), entry.get("choices", [])
    if not isinstance(text, str) or not isinstance(choices, list):
        raise ValueError("help must be a string, and choices a list")  # noqa: TRY004 - it is a setting
    parameter = Parameter(name, kind, text)
    parameter = replace(parameter, choices=tuple(map(parameter.convert, choices)))
    if "default" not in entry:
        return parameter
    try:
        default = parameter.convert(entry["default"])
    except ValueError as error:
        raise ValueError(f"its default {error}") from error
    return replace(parameter, default=default, required=False)


def type_of(value: Any) -> str:
    """Return the parameter type of a value."""
    for kind, accepted in TYPES.items():
        if type(value) in accepted:
            return kind
    return "string"
