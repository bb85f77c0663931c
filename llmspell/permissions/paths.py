from __future__ import annotations

from collections.abc import Callable
from errno import ELOOP
from pathlib import Path

SETTINGS_FILES = ("llmspell.toml", "llmspell.yaml", "llmspell.yml", "llmspell.json")
"""The possible names of the settings file; a project has one."""

DECISIVE_FOLDERS = frozenset({".llmspell", "__pycache__"})

_LEADS_NOWHERE = (OSError, RuntimeError, ValueError)
"""Raised for a loop of links, an unknown home directory, and an invalid path."""


def place_of(path: str, *, expand: bool = False) -> Path | None:
    """Resolve a path; return None for a loop of links and for an invalid path."""
    try:
        return _resolved(_as_path(path, expand=expand))
    except _LEADS_NOWHERE:
        return None


def path_matcher(path: str) -> Callable[[str], bool]:
    """Return a function that tells whether a granted path is this one, or a folder above it."""
    place = place_of(path)

    def matches(granted: str) -> bool:
        above = place_of(granted, expand=True)
        return place is not None and above is not None and place.is_relative_to(above)

    return matches


def is_decisive(place: Path) -> bool:
    """Return whether a file decides what later runs do, in this project or another.

    These are settings, llmspell's own files in a project, and compiled Python. The place is a
    resolved path.
    """
    return place.name in SETTINGS_FILES or not DECISIVE_FOLDERS.isdisjoint(place.parts)


def program_matcher(program: str) -> Callable[[str], bool]:
    """Return a function that tells whether a granted program, by name or path, is this one."""
    place = program_place(program)

    def matches(granted: str) -> bool:
        if granted == program and "/" not in program:
            return True
        return place is not None and place == program_place(granted, expand=True)

    return matches


def program_place(program: str, *, expand: bool = False) -> Path | None:
    """Return the path of a program, or None if there is no program with that name.

    The program itself may be a link, which is not followed: some programs behave according to their
    name.
    """
    from shutil import which

    location = program if "/" in program else which(program)
    if not location:
        return None
    try:
        path = _as_path(location, expand=expand)
        return _resolved(path.parent) / path.name
    except _LEADS_NOWHERE:
        return None


def _as_path(path: str, *, expand: bool) -> Path:
    # Path("./~a") drops the "./", and would then expand to a home directory.
    return Path(path).expanduser() if expand and path[:1] == "~" else Path(path)


def _resolved(path: Path) -> Path:
    """Resolve a path, which need not exist. Raises OSError or RuntimeError for a loop of links."""
    place = path.resolve()
    try:
        place.stat()  # since Python 3.13, `resolve` returns loops as they are
    except OSError as error:
        if error.errno == ELOOP:
            raise
    return place
