"""Validates a value against a JSON Schema (draft 2020-12) with bounded work.

A spell chooses both the schema and the value, and the host does the checking. So the work is
counted in steps with a limit: however schemas branch and refer to each other, nothing here takes
longer than its steps, and nothing is fetched. Patterns match in linear time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple
from urllib.parse import unquote

from llmspell.stack_room import with_room
from llmspell.values import Value

MAX_STEPS = 5_000_000
"""The limit for one value: about a second."""
_FEW_STEPS = 10_000
"""A check that takes more is worth making room for."""

MAX_PROBLEMS = 20
MAX_PATTERNS = 32
"""The limit in one schema. As many stay compiled, at up to two megabytes each."""

_SHOWN_ITEMS, _SHOWN_CHARACTERS, _SHOWN_DEPTH, _LONGEST_PROBLEM = 20, 100, 3, 500


class Problem(NamedTuple):
    """A problem with a part of a value, and the path of that part."""

    path: tuple[str | int, ...]
    message: str

    def __str__(self) -> str:
        text = f"{'.'.join(map(str, self.path))}: {self.message}" if self.path else self.message
        return text if len(text) <= _LONGEST_PROBLEM else text[: _LONGEST_PROBLEM - 1] + "…"


class _OutOfSteps(Exception):
    pass


def problems(schema: Any, value: Value) -> list[str]:
    """Return why a value does not match a checked schema, one line per problem."""
    check = _Check(schema, _FEW_STEPS)
    texts = check.problems(value)
    if check.is_out_of_steps:
        check = _Check(schema, MAX_STEPS)
        texts = with_room(lambda: check.problems(value))
    return texts if len(texts) <= MAX_PROBLEMS else [*texts[:MAX_PROBLEMS], "and more"]


def target(root: Any, reference: str) -> Any:
    """Resolve a `$ref` within a schema. Raises LookupError when it leads nowhere."""
    pointer, part = unquote(reference), root
    if pointer != "#" and not pointer.startswith("#/"):
        raise LookupError(reference)
    for step in pointer.split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(part, list):
            part = part[int(key)] if key.isdecimal() and int(key) < len(part) else None
        else:
            part = part.get(key) if isinstance(part, dict) else None
        if part is None:
            raise LookupError(reference)
    return part


@lru_cache(MAX_PATTERNS)
def matcher(pattern: str) -> Callable[[str], bool]:
    """Return a function that searches a text for a pattern, in linear time.

    Python's `re` may take exponential time.

    Raises:
        ValueError: The pattern is invalid, or uses look-around or back-references.
    """
    from pydantic_core import SchemaError, SchemaValidator
    from pydantic_core.core_schema import str_schema

    try:
        return SchemaValidator(
            str_schema(pattern=pattern, regex_engine="rust-regex")
        ).isinstance_python
    except SchemaError as error:
        reason = str(error).rstrip().splitlines()[-1].removeprefix("error: ")
        raise ValueError(f"the pattern {pattern!r} cannot be used: {reason}") from error


_Path = tuple[str | int, ...]
_Found = Iterable[Problem]


class _Check:
    """The check of one value."""

    def __init__(self, root: Any, most_steps: int) -> None:
        self._root = root
        self._steps, self._most = 0, most_steps
        self._entered: set[tuple[int, int]] = set()
        self._constants: dict[int, frozenset[Any]] = {}

    def problems(self, value: Value) -> list[str]:
        """Return the first problems, at most one more than are shown, that the steps suffice to find."""
        texts: list[str] = []
        try:
            texts.extend(map(str, islice(self.look(self._root, value, ()), MAX_PROBLEMS + 1)))
        except _OutOfSteps:
            texts.append(f"checking it would take more than {self._most:,} steps")
        except RecursionError:
            texts.append("it is nested too deeply")
        return texts

    @property
    def is_out_of_steps(self) -> bool:
        return self._steps > self._most

    def look(self, schema: Any, value: Value, path: _Path) -> Iterator[Problem]:
        """Yield why a part of the value does not match a part of the schema."""
        self._pay(5)
        if schema is True:
            return
        if schema is False:
            yield self._problem(path, value, "is not allowed")
            return
        for keyword, wanted in schema.items():
            if check := _KEYWORDS.get(keyword):
                self._pay(1)
                yield from check(self, wanted, value, path, schema)

    def _pay(self, steps: int) -> None:
        self._steps += steps
        if self._steps > self._most:
            raise _OutOfSteps

    def _fits(self, schema: Any, value: Value, path: _Path) -> bool:
        return next(self.look(schema, value, path), None) is None

    def _problem(self, path: _Path, value: Value, problem: str) -> Problem:
        self._pay(50)
        return Problem(path, f"{_shown(value)} {problem}")

    # Keywords: each method receives the keyword's value in the schema, and the enclosing schema.

    def type(self, wanted: str | list[str], value: Value, path: _Path, _: Any) -> _Found:
        kinds = [wanted] if isinstance(wanted, str) else wanted
        if not any(_TYPES[kind](value) for kind in kinds):
            yield self._problem(path, value, f"is not of type {', '.join(map(repr, kinds))}")

    def enum(self, wanted: list[Value], value: Value, path: _Path, _: Any) -> _Found:
        if self._frozen(value) not in self._frozen_once(wanted):
            yield self._problem(path, value, f"is not one of {_shown(wanted)}")

    def const(self, wanted: Value, value: Value, path: _Path, _: Any) -> _Found:
        self._pay(5)
        if self._frozen(value) != self._frozen(wanted):
            yield self._problem(path, value, f"is not {_shown(wanted)}")

    def reference(self, wanted: str, value: Value, path: _Path, _: Any) -> _Found:
        self._pay(len(wanted) // 10)
        schema = target(self._root, wanted)
        entered = id(schema), id(value)
        if entered in self._entered:
            yield Problem(path, "the schema is circular")
            return
        self._entered.add(entered)
        try:
            yield from self.look(schema, value, path)
        finally:
            self._entered.discard(entered)

    def all_of(self, wanted: list[Any], value: Value, path: _Path, _: Any) -> _Found:
        for schema in wanted:
            yield from self.look(schema, value, path)

    def any_of(self, wanted: list[Any], value: Value, path: _Path, _: Any) -> _Found:
        if not any(self._fits(schema, value, path) for schema in wanted):
            yield self._problem(path, value, "is not valid under any of the given schemas")

    def one_of(self, wanted: list[Any], value: Value, path: _Path, _: Any) -> _Found:
        fitting = sum(self._fits(schema, value, path) for schema in wanted)
        if fitting != 1:
            number = "any" if fitting == 0 else "exactly one"
            yield self._problem(path, value, f"is not valid under {number} of the given schemas")

    # Of tables

    def properties(self, wanted: dict[str, Any], value: Value, path: _Path, _: Any) -> _Found:
        if isinstance(value, dict):
            self._pay(len(wanted) // 10)
            for name, schema in wanted.items():
                if name in value:
                    yield from self.look(schema, value[name], (*path, name))

    def required(self, wanted: list[str], value: Value, path: _Path, _: Any) -> _Found:
        if _is_object(value):
            self._pay(len(wanted) // 10)
            for name in wanted:
                if name not in value:
                    self._pay(50)
                    yield Problem(path, f"{_shown(name)} is a required property")

    def additional(self, wanted: Any, value: Value, path: _Path, schema: Any) -> _Found:
        if not isinstance(value, dict):
            return
        self._pay(len(value) // 10)
        known = schema.get("properties", {})
        others = [name for name in value if name not in known]
        if wanted is False and others:
            self._pay(50)
            names = ", ".join(repr(_cut(name)) for name in others[:_SHOWN_ITEMS])
            yield Problem(path, f"it has fields that are not allowed: {names}")
        elif wanted is not False:
            for name in others:
                yield from self.look(wanted, value[name], (*path, name))

    # Of lists

    def items(self, wanted: Any, value: Value, path: _Path, schema: Any) -> _Found:
        if isinstance(value, list):
            for index in range(len(schema.get("prefixItems", ())), len(value)):
                yield from self.look(wanted, value[index], (*path, index))

    def first_items(self, wanted: list[Any], value: Value, path: _Path, _: Any) -> _Found:
        if isinstance(value, list):
            for index, (schema, item) in enumerate(zip(wanted, value, strict=False)):
                yield from self.look(schema, item, (*path, index))

    def unique(self, wanted: bool, value: Value, path: _Path, _: Any) -> _Found:
        if wanted and isinstance(value, list) and len(set(self._frozen(value))) < len(value):
            yield self._problem(path, value, "has items that are equal")

    # Of strings and numbers

    def pattern(self, wanted: str, value: Value, path: _Path, _: Any) -> _Found:
        if isinstance(value, str):
            self._pay(20 * len(value))  # the cost of the slowest patterns
            if not matcher(wanted)(value):
                yield self._problem(path, value, f"does not match {_shown(wanted)}")

    def multiple_of(self, wanted: float, value: Value, path: _Path, _: Any) -> _Found:
        if _is_number(value) and not _is_multiple(value, wanted):
            yield self._problem(path, value, f"is not a multiple of {wanted}")

    # Values in a hashable form: two are equal when JSON Schema says that the values are. Numbers become
    # texts, since any number of them may be chosen to have the same hash.

    def _frozen(self, value: Value) -> Any:
        self._pay(1)
        if isinstance(value, bool):
            return bool, value
        if isinstance(value, (int, float)):
            return int, f"{int(value):x}" if value % 1 == 0 else float(value).hex()
        if isinstance(value, list):
            return tuple(map(self._frozen, value))
        if isinstance(value, dict):
            return frozenset((k, self._frozen(v)) for k, v in value.items()) if value else ()
        return value

    def _frozen_once(self, constants: list[Value]) -> frozenset[Any]:
        if id(constants) not in self._constants:
            self._constants[id(constants)] = frozenset(map(self._frozen, constants))
        return self._constants[id(constants)]


def _bound(
    measure: Callable[[Value], float | None], fits: Callable[[float, float], bool], comparison: str
) -> Callable[..., _Found]:
    """Return a keyword that compares its number with a measure of values of one kind."""

    def check(self: _Check, wanted: float, value: Value, path: _Path, _: Any) -> _Found:
        measured = measure(value)
        if measured is not None and not fits(measured, wanted):
            yield self._problem(path, value, f"{comparison} {wanted}")

    return check


def _number(value: Value) -> float | None:
    return value if _is_number(value) else None


def _length(value: Value) -> int | None:
    return len(value) if isinstance(value, (str, bytes)) else None


def _count(value: Value) -> int | None:
    return len(value) if isinstance(value, list) else None


def _is_number(value: Value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_integer(value: Value) -> bool:
    return _is_number(value) and (isinstance(value, int) or value.is_integer())


def _is_object(value: Value) -> bool:
    return isinstance(value, dict) or value == []


def _is_multiple(value: float, of: float) -> bool:
    if isinstance(value, int) and isinstance(of, int):
        return value % of == 0
    try:
        quotient = value / of
        return quotient == int(quotient)
    except ValueError:  # NaN
        return False
    except OverflowError:  # a quotient beyond the range of floats
        return _is_finite(value) and (Fraction(value) / Fraction(of)).denominator == 1


def _is_finite(value: float) -> bool:
    return isinstance(value, int) or math.isfinite(value)


_TYPES: dict[str, Callable[[Value], bool]] = {
    "array": lambda value: isinstance(value, list),
    "boolean": lambda value: isinstance(value, bool),
    "integer": _is_integer,
    "null": lambda value: value is None,
    "number": _is_number,
    "object": _is_object,
    "string": lambda value: isinstance(value, (str, bytes)),
}

_KEYWORDS: dict[str, Callable[..., _Found]] = {
    "$ref": _Check.reference,
    "additionalProperties": _Check.additional,
    "allOf": _Check.all_of,
    "anyOf": _Check.any_of,
    "const": _Check.const,
    "enum": _Check.enum,
    "exclusiveMaximum": _bound(_number, lambda n, most: n < most, "is not less than"),
    "exclusiveMinimum": _bound(_number, lambda n, least: n > least, "is not greater than"),
    "items": _Check.items,
    "maxItems": _bound(_count, lambda n, most: n <= most, "has more items than"),
    "maxLength": _bound(_length, lambda n, most: n <= most, "is longer than"),
    "maximum": _bound(_number, lambda n, most: n <= most, "is greater than the maximum of"),
    "minItems": _bound(_count, lambda n, least: n >= least, "has fewer items than"),
    "minLength": _bound(_length, lambda n, least: n >= least, "is shorter than"),
    "minimum": _bound(_number, lambda n, least: n >= least, "is less than the minimum of"),
    "multipleOf": _Check.multiple_of,
    "oneOf": _Check.one_of,
    "pattern": _Check.pattern,
    "prefixItems": _Check.first_items,
    "properties": _Check.properties,
    "required": _Check.required,
    "type": _Check.type,
    "uniqueItems": _Check.unique,
}


def _shown(value: Value) -> str:
    return repr(_cut(value))


def _cut(value: Value, depth: int = 0) -> Value:
    """Shorten a value for display."""
    if isinstance(value, str):
        return value if len(value) <= _SHOWN_CHARACTERS else value[:_SHOWN_CHARACTERS] + "…"
    if isinstance(value, bytes):
        return value[:_SHOWN_CHARACTERS]
    if isinstance(value, (dict, list)) and value and depth == _SHOWN_DEPTH:
        return "…"
    most = _SHOWN_ITEMS >> depth
    if isinstance(value, list):
        return [_cut(item, depth + 1) for item in value[:most]] + ["…"] * (len(value) > most)
    if isinstance(value, dict):
        return {_cut(k): _cut(v, depth + 1) for k, v in islice(value.items(), most)}
    return value
