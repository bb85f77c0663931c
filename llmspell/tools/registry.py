"""The tools there are: the built-in ones, those of a runtime, those of a run."""

from __future__ import annotations

from typing import Self

from llmspell.registry import Loading, Registry
from llmspell.tools.catalogue import BUILTIN
from llmspell.tools.loading import load_reference
from llmspell.tools.tool import Tool


class Tools(Registry[Tool]):
    """The tools of a runtime or, with that as parent, of one run."""

    def __init__(self, parent: Tools | None = None) -> None:
        super().__init__("tool", parent)

    @classmethod
    def with_builtin_tools(cls) -> Self:
        """Those that are always there, to which more can be added."""
        return cls(BuiltInTools())

    def add(self, tool: Tool) -> None:
        """Register a tool by its own name and version. Raises ValueError when they are taken."""
        self.register(tool.name, tool, version=tool.version)


class BuiltInTools(Tools):
    """The built-in tools; a tool's module is imported when the tool is looked at."""

    def __init__(self) -> None:
        super().__init__()
        self._own = Loading(BUILTIN, load_reference)
