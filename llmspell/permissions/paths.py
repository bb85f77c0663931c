from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

SETTINGS_FILES = ("llmspell.toml", "llmspell.yaml", "llmspell.yml", "llmspell.json")
"""What the settings' file may be called; a project has one."""

DECISIVE_FOLDERS = frozenset({".llmspell", "__pycache__"})

_LEADS_NOWHERE = (OSError, RuntimeError, ValueError)
"""What is raised for a circle of links, an unknown home, and what can be no path."""


def place_of(path: str, *, expand: bool = False) -> Path | None:
    """Where a path leads; None for a circle of links and for what can be no path."""
    try:
        return _as_path(path, expand=expand).resolve()
    except _LEADS_NOWHERE:
        return None


def path_matcher(path: str) -> Callable[[str], bool]:
    """Whether what is granted is where a path leads, or a folder above that."""
    place = place_of(path)

    def matches(granted: str) -> bool:
        above = place_of(granted, expand=True)
        return place is not None and above is not None and place.is_relative_to(above)

    return matches


def decides(place: Path) -> bool:
    """Whether what is at a place would decide on later runs, of this project or of another one.

    Settings, what llmspell keeps of a project, and Python that was compiled. A place is resolved.
    """
    return place.name in SETTINGS_FILES or not DECISIVE_FOLDERS.isdisjoint(place.parts)


def program_matcher(program: str) -> Callable[[str], bool]:
    """Whether a program that is granted, by name or path, is the one that would be run."""
    place = program_place(program)

    def matches(granted: str) -> bool:
        if granted == program and "/" not in program:
            return True
        return place is not None and place == program_place(granted, expand=True)

    return matches


def program_place(program: str, *, expand: bool = False) -> Path | None:
    """Where a program is; None for a name that is not found.

    A link to a program is a program of its own: some do by their name what they do.
    """
    from shutil import which

    found = program if "/" in program else which(program)
    if not found:
        return None
    try:
        path = _as_path(found, expand=expand)
        return path.parent.resolve() / path.name
    except _LEADS_NOWHERE:
        return None


def _as_path(path: str, *, expand: bool) -> Path:
    # A Path of "./~a" has forgotten its first two letters, and would expand to a home.
    return Path(path).expanduser() if expand and path[:1] == "~" else Path(path)
