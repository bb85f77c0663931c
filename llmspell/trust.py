"""Whether a spell is trusted: the user's own, or a stranger's, which runs isolated and must ask.

The user's own spells are those that come with llmspell and those in the project's folder. Some
folders are too wide to be a project: the home folder and those above it, where downloads are kept,
and folders that everyone may write to, such as /tmp. In these, only `spells/` is trusted.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from stat import S_IWOTH

from llmspell.config import Project


def is_own(file: Path, project: Project) -> bool:
    """Whether a spell's file is the user's own. `file` must have its symlinks resolved."""
    root = project.root.resolve()
    folders = [folder.resolve() for folder in project.spell_folders] if _is_wide(root) else [root]
    return any(file.is_relative_to(folder) for folder in (*folders, shipped_folder().resolve()))


def shipped_folder() -> Path:
    """Return the folder of the spells that come with llmspell."""
    return Path(import_module("llmspell.spells").__path__[0])


def _is_wide(folder: Path) -> bool:
    try:
        home = Path.home().resolve()
    except RuntimeError:  # there is no home folder
        home = folder
    return home.is_relative_to(folder) or bool(folder.stat().st_mode & S_IWOTH)
