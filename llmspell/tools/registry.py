"""The tools there are: the built-in ones, those of a runtime, those of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Self

from llmspell.registry import FIRST_VERSION, Registry
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
        versions = {f"{name}@{FIRST_VERSION}": reference for name, reference in BUILTIN.items()}
        self._own = _Loading({**BUILTIN, **versions})


class _Loading(Mapping[str, Tool]):
    """The tools of references by name, each loaded once, when it is looked at."""

    def __init__(self, references: Mapping[str, str]) -> None:
        self._references = references
        self._loaded: dict[str, Tool] = {}

    def __getitem__(self, name: str) -> Tool:
        tool = self._loaded.get(name)
        if tool is None:
            tool = self._loaded[name] = load_reference(self._references[name])
        return tool

    def __contains__(self, name: object) -> bool:
        return name in self._references

    def __iter__(self) -> Iterator[str]:
        return iter(self._references)

    def __len__(self) -> int:
        return len(self._references)
