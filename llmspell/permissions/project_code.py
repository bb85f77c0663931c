"""Code that later runs are made of: to write it has to be granted by a name of its own."""

from __future__ import annotations

from pathlib import Path

from llmspell.frozen import Frozen
from llmspell.permissions.paths import place_of

_PYTHON = (".py", ".so")
_LUA = (".lua",)


class ProjectCode(Frozen):
    """Where the code of a project is.

    Attributes:
        project: Its folder, where Lua, Python, `agents/` and the front matter in a spell.toml are.
        python: Folders of Python that is loaded into the host, and may load what is beside it.
    """

    project: Path
    python: tuple[Path, ...] = ()

    def covered(self, place: Path, targets: tuple[str, ...]) -> tuple[str, ...]:
        """What of the paths that may be written holds at a resolved place.

        At code those hold that name it, or a folder between it and the folder of all code.
        """
        around = self._around(place)
        return tuple(target for target in targets if _is_below(target, around))

    def _around(self, place: Path) -> list[Path]:
        """The folders of code that a place is code of."""
        folders = [self.project] if self._is_code(place) else []
        folders += self.python if place.suffix in _PYTHON else ()
        return [folder for folder in folders if place.is_relative_to(folder)]

    def _is_code(self, place: Path) -> bool:
        of_an_agent = self.project / "agents" in place.parents
        return of_an_agent or place.name == "spell.toml" or place.suffix in (*_LUA, *_PYTHON)


def _is_below(target: str, folders: list[Path]) -> bool:
    """Whether a path is none of the folders, and above none."""
    place = place_of(target, expand=True)
    return place is not None and not any(folder.is_relative_to(place) for folder in folders)
