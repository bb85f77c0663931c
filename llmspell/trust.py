"""Whose a spell is: the user's own, or a stranger's, which is kept apart and asks each time.

Own are the spells that come with llmspell and those in the project's folder. Some folders are too
wide to be anyone's project, whatever is in them: the home folder and those above it, where
downloads are kept, and one that everybody may write to, such as /tmp. Of these only `spells/` is
own.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from stat import S_IWOTH

from llmspell.config import Project


def is_own(file: Path, project: Project) -> bool:
    """Whether a spell's file is the user's own. `file` has no links in it any more."""
    root = project.root.resolve()
    folders = [folder.resolve() for folder in project.spell_folders] if _is_wide(root) else [root]
    return any(file.is_relative_to(folder) for folder in (*folders, shipped_folder().resolve()))


def shipped_folder() -> Path:
    """Where the spells are that come with llmspell."""
    return Path(import_module("llmspell.spells").__path__[0])


def _is_wide(folder: Path) -> bool:
    try:
        home = Path.home().resolve()
    except RuntimeError:  # nobody knows
        home = folder
    return home.is_relative_to(folder) or bool(folder.stat().st_mode & S_IWOTH)
