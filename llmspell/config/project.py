"""Projects: the folder whose settings apply to the spells run in it."""

from __future__ import annotations

import os
from dataclasses import field, replace
from pathlib import Path
from typing import TypeVar

from llmspell.config.file_owners import refuse_others
from llmspell.config.settings import Settings, ToolSettings
from llmspell.errors import ConfigError
from llmspell.formats import read_table
from llmspell.frozen import Frozen
from llmspell.permissions import Grants
from llmspell.permissions.paths import SETTINGS_FILES

G = TypeVar("G", bound=Grants)


class Project(Frozen):
    """A folder with settings.

    Attributes:
        root: The folder, which contains `.llmspell/`.
        file: The settings file, or None.
    """

    root: Path
    settings: Settings = field(default_factory=Settings)
    file: Path | None = None

    @property
    def state_file(self) -> Path:
        return self.root / ".llmspell" / "state.db"

    @property
    def metrics_file(self) -> Path:
        return self.root / ".llmspell" / "metrics.prom"

    @property
    def journal_file(self) -> Path:
        return self.root / ".llmspell" / "runs.db"

    @property
    def spell_folders(self) -> list[Path]:
        return [self.root / "spells"]


def find_project(start: Path | None = None) -> Project:
    """Return the project of a folder: the nearest with a settings file or `.llmspell/`, or itself.

    Raises:
        ConfigError: The settings file is invalid, with every wrong key, or another user's.
    """
    try:
        start = (start or Path.cwd()).resolve()
    except FileNotFoundError:
        raise ConfigError("the current folder", ["it no longer exists"]) from None
    for folder in (start, *start.parents):
        refuse_others((folder / name for name in (*SETTINGS_FILES, ".llmspell")), start)
        # A dangling symlink counts, since the missing file may deny something.
        if files := [f for name in SETTINGS_FILES if os.path.lexists(f := folder / name)]:
            return Project(folder, read_settings(_only(files)), files[0])
        if (folder / ".llmspell").is_dir():
            return Project(folder)
    return Project(start)


def _only(files: list[Path]) -> Path:
    if len(files) > 1:
        there = " and ".join(file.name for file in files)
        raise ConfigError(
            str(files[0].parent), [f"{there} both exist"], hint="keep the settings in one file"
        )
    if not files[0].is_file():
        problem = "it is not a file, or a link to one"
        raise ConfigError(str(files[0]), [problem], hint="replace it with a file, or remove it")
    return files[0]


def read_settings(file: Path) -> Settings:
    """Read the settings in a file; relative paths are resolved against its folder.

    Raises ConfigError.
    """
    from llmspell.config.validation import check_settings

    return _relative_to(file.parent, check_settings(read_table(file), str(file)))


def _relative_to(folder: Path, settings: Settings) -> Settings:
    def placed(module: str | None) -> str | None:
        """Return a module or `module:name`, with a relative file resolved against the folder."""
        file = (module or "").partition(":")[0]
        return str(folder / module) if module and file.endswith(".py") else module

    granted = _below(folder, settings.permissions)
    granted = replace(granted, deny=_below(folder, granted.deny))
    return replace(
        settings,
        permissions=granted,
        tools=ToolSettings(tuple(str(placed(module)) for module in settings.tools.modules)),
        hooks=tuple(replace(h, module=placed(h.module)) for h in settings.hooks),
        middleware=tuple(replace(m, module=placed(m.module)) for m in settings.middleware),
        plugins=tuple(replace(p, module=placed(p.module)) for p in settings.plugins),
    )


def _below(folder: Path, grants: G) -> G:
    def resolved(path: str) -> str:
        return str(folder / (Path(path).expanduser() if path[:1] == "~" else path))

    return replace(
        grants,
        read=grants.read and tuple(map(resolved, grants.read)),
        write=grants.write and tuple(map(resolved, grants.write)),
        run=grants.run and tuple(resolved(p) if "/" in p else p for p in grants.run),
    )
