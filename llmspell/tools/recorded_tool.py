"""Placeholders for the tools of a recorded run, to replay it where they are not installed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from llmspell.effects import Effect
from llmspell.errors import InvalidArguments, ToolError
from llmspell.schema import schema_problems
from llmspell.tools.tool import Tool
from llmspell.values import Value


class RecordedTool(Tool):
    """A tool known only by its recorded description. A replay answers its calls."""

    def __init__(self, described: Mapping[str, Any]) -> None:
        """Create it from `described`, the recorded result of `Tool.describe`."""
        self.name, self.description = described["name"], described["description"]
        self.category, self.tags = described["category"], tuple(described["tags"])
        self.version = described["version"]
        self.declares = described["touches"] is not None
        self._schema = dict(described["schema"])

    @property
    def schema(self) -> dict[str, Any]:
        return self._schema

    def bind(self, arguments: dict[str, Value]) -> dict[str, Any]:
        if problems := schema_problems(self._schema, arguments):
            raise InvalidArguments(self.name, problems)
        return arguments

    async def invoke(self, effect: Effect, bound: dict[str, Any]) -> NoReturn:  # noqa: ARG002
        raise ToolError(f"{self.name} is known only from a record, and cannot be called")
