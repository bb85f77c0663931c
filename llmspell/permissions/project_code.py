"""Protects the code that later runs execute: writing it has to be granted explicitly."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Iterable
from dataclasses import field
from pathlib import Path

from llmspell.frozen import Frozen
from llmspell.permissions.paths import place_of, program_place

_PYTHON = (".py", ".pyc", ".so")  # what Python imports
_LUA = (".lua",)
_SPELL = re.compile(  # a first line that has llmspell run it, or front matter after other comments
    rb"(?:\xef\xbb\xbf)?(?:#!.*llmspell|(?:#.*\n)?(?:[ \t\r]*(?:--.*)?\n)*---[ \t]*/// spell)"
)
_BEGINNING = 16 << 10  # bytes that are looked at
_NAMES = ("spell.toml", "entry_points.txt")  # the latter tells which Python packages are plugins


class ProjectCode(Frozen):
    """The locations of a project's code.

    Attributes:
        project: The project's folder, which contains Lua, Python, `agents/` folders and spell.toml
            files.
        python: Folders of Python files that the host loads, and that may import their neighbours.
        environment: The folder of the Python environment that llmspell runs in. All of it is code:
            besides modules it contains programs and files that Python obeys when it starts.
        spell: The file of the spell that runs, whatever it is called.
    """

    project: Path
    python: tuple[Path, ...] = ()
    environment: Path = field(default_factory=lambda: Path(sys.prefix).resolve())
    spell: Path | None = None

    def covered(
        self, place: Path, targets: tuple[str, ...], programs: Iterable[str]
    ) -> tuple[str, ...]:
        """Return those writable paths that count at a resolved place.

        For code, only paths that name it, or a folder between it and the folder of all code, count.
        For one of the `programs` that may be run, only its own path counts: what could write it
        could run anything.
        """
        code_folders = self._code_folders(place)
        if any(place == _file_of(program) for program in programs):
            code_folders.append(place.parent)
        return tuple(target for target in targets if _is_below(target, code_folders))

    def _code_folders(self, place: Path) -> list[Path]:
        """Return the folders of code that a place belongs to."""
        folders = [self.project] if self._is_code(place) else []
        folders += self.python if place.suffix in _PYTHON else ()
        folders.append(self.environment)
        return [folder for folder in folders if place.is_relative_to(folder)]

    def _is_code(self, place: Path) -> bool:
        if not place.is_relative_to(self.project):
            return False
        of_an_agent = "agents" in place.relative_to(self.project).parts[:-1]
        named = place.name in _NAMES or place == self.spell
        return of_an_agent or named or place.suffix in (*_LUA, *_PYTHON) or _is_spell(place)


def _is_spell(place: Path) -> bool:
    """Return whether a file says at its beginning that it is a spell, whatever it is called."""
    try:
        # Neither a link, which would lead to another file, nor a pipe, which would block.
        file = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (OSError, ValueError):
        return False
    try:
        regular = stat.S_ISREG(os.fstat(file).st_mode)
        return regular and _SPELL.match(os.read(file, _BEGINNING)) is not None
    except OSError:
        return False
    finally:
        os.close(file)


def _file_of(program: str) -> Path | None:
    """Return the file that runs as a program, with links followed; None if there is none."""
    place = program_place(program, expand=True)
    return place and place_of(str(place))


def _is_below(target: str, folders: list[Path]) -> bool:
    """Return whether a path is neither one of the folders nor above one."""
    place = place_of(target, expand=True)
    return place is not None and not any(folder.is_relative_to(place) for folder in folders)
