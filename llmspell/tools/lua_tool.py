"""Tools that a spell defines: Lua functions with a schema."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from llmspell.effects import Effect
from llmspell.errors import EffectError, InvalidArguments, ToolError
from llmspell.schema import check_schema, schema_of, schema_problems
from llmspell.tools.tool import Tool, check_tool_name
from llmspell.values import LuaFunction, Value


class LuaTool(Tool):
    leaf = False
    declares = True  # it needs no permission itself; the effects it performs are checked

    def __init__(
        self,
        name: str,
        function: LuaFunction,
        *,
        description: str = "",
        tags: Iterable[str] = (),
        params: Value = None,
        timeout: float | None = None,
    ) -> None:
        """Create a tool from a function that takes one table; `params` is a shape or JSON Schema.

        Raises:
            InvalidArguments: The name or the schema is invalid.
        """
        self.name, self.description = check_tool_name(name), description
        self.category, self.tags, self.timeout = "spell", tuple(tags), timeout
        try:
            self._schema = schema_of({} if params is None else params)
            check_schema(self._schema)
        except ValueError as error:
            raise InvalidArguments(f"tool {name}: params", [str(error)]) from error
        if self._schema.get("type") != "object":
            raise InvalidArguments(f"tool {name}: params", ["must describe a table of fields"])
        if problems := _wrong_defaults(self._schema):
            raise InvalidArguments(f"tool {name}: params", problems)
        self.function = function.retain()

    @property
    def schema(self) -> dict[str, Any]:
        return self._schema

    def bind(self, arguments: dict[str, Value]) -> dict[str, Any]:
        filled: dict[str, Any] = _filled(self._schema, arguments)
        if problems := schema_problems(self._schema, filled):
            raise InvalidArguments(self.name, problems)
        return filled

    async def invoke(self, effect: Effect, bound: dict[str, Any]) -> Value:
        try:
            return await effect.call(self.function, bound)
        except EffectError as error:
            if error.code != EffectError.code:
                raise  # one of an effect, or with a code of the spell's own
            failed = ToolError(
                error.message, hint=error.hint, details=error.details, retryable=error.retryable
            )
            failed.where = error.where
            raise failed from error


def _wrong_defaults(schema: dict[str, Any]) -> list[str]:
    """Return the defaults of fields that the fields' own schemas refuse."""
    defaults = _filled(schema, {})
    fields = {key: part for key, part in schema.items() if key in ("properties", "$defs")}
    try:
        problems = schema_problems(fields, defaults)
    except LookupError:  # a reference to some other part; each call checks the defaults anyway
        return []
    return [f"the default of {problem}" for problem in problems]


def _filled(schema: Any, value: Any) -> Any:
    """Return the value with defaults in place of missing fields, also of tables inside it."""
    if not isinstance(schema, dict):
        return value
    if value and isinstance(value, list):
        return [_filled(schema.get("items"), item) for item in value]
    fields = schema.get("properties")
    if not fields or not (isinstance(value, dict) or value == []):
        return value
    given = dict(value)
    for name, field in fields.items():
        if name in given:
            given[name] = _filled(field, given[name])
        elif isinstance(field, dict) and "default" in field:
            given[name] = _filled(field, field["default"])
    return given or value
