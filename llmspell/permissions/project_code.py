"""Protects the code that later runs execute: writing it has to be granted explicitly."""

from __future__ import annotations

import sys
from dataclasses import field
from pathlib import Path

from llmspell.frozen import Frozen
from llmspell.permissions.paths import place_of

_PYTHON = (".py", ".pyc", ".so")  # what Python imports
_LUA = (".lua",)


class ProjectCode(Frozen):
    """The locations of a project's code.

    Attributes:
        project: The project's folder, which contains Lua, Python, `agents/` and spell.toml files.
        python: Folders of Python files that the host loads, and that may import their neighbours.
        environment: The folder of the Python environment that llmspell runs in. All of it is code:
            besides modules it contains programs and files that Python obeys when it starts.
    """

    project: Path
    python: tuple[Path, ...] = ()
    environment: Path = field(default_factory=lambda: Path(sys.prefix).resolve())

    def covered(self, place: Path, targets: tuple[str, ...]) -> tuple[str, ...]:
        """Return those writable paths that count at a resolved place.

        For code, only paths that name it, or a folder between it and the folder of all code, count.
        """
        code_folders = self._code_folders(place)
        return tuple(target for target in targets if _is_below(target, code_folders))

    def _code_folders(self, place: Path) -> list[Path]:
        """Return the folders of code that a place belongs to."""
        folders = [self.project] if self._is_code(place) else []
        folders += self.python if place.suffix in _PYTHON else ()
        folders.append(self.environment)
        return [folder for folder in folders if place.is_relative_to(folder)]

    def _is_code(self, place: Path) -> bool:
        of_an_agent = self.project / "agents" in place.parents
        return of_an_agent or place.name == "spell.toml" or place.suffix in (*_LUA, *_PYTHON)


def _is_below(target: str, folders: list[Path]) -> bool:
    """Return whether a path is neither one of the folders nor above one."""
    place = place_of(target, expand=True)
    return place is not None and not any(folder.is_relative_to(place) for folder in folders)
