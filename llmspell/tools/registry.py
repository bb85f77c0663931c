"""Registries of tools: the built-in ones, those of a runtime, and those of a run."""

from __future__ import annotations

from typing import Self

from llmspell.errors import PluginError
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
        """Create a registry that has the built-in tools, and to which more can be added."""
        return cls(BuiltInTools())

    def add(self, tool: Tool) -> None:
        """Register a tool by its name and version.

        Raises:
            ValueError: They are taken.
            PluginError: Nobody could call it, as a type of its parameters does not exist, say.
        """
        try:
            tool.check()
        except TypeError as error:
            raise PluginError(
                f"the tool {error}", hint="change the function's parameters"
            ) from error
        self.register(tool.name, tool, version=tool.version)

    def drop_kept(self) -> None:
        """Drop the tools of the run, now that it is over."""
        self._own = {}


class BuiltInTools(Tools):
    """The built-in tools; a tool's module is imported when the tool is first used."""

    def __init__(self) -> None:
        super().__init__()
        self._own = Loading(BUILTIN, load_reference)
