"""Lua modules: the files that `require` may load."""

from __future__ import annotations

import re
from pathlib import Path

from llmspell.errors import EffectError

_NAME = re.compile(r"\w[\w-]*(?:[./]\w[\w-]*)*", re.ASCII)
_LONGEST_NAME = 200  # file systems allow 255 bytes
_NO_FOLDER = "a stranger's spell finds only what is beside its file; it has none"


class ModuleNotFound(EffectError):
    """`require` found no module of that name."""

    code = "module_not_found"


class Modules:
    """The modules of a run: `x.lua` or `x/init.lua` in one of its folders, and nothing else."""

    def __init__(self, folders: list[Path]) -> None:
        self.folders = folders

    def load(self, name: str) -> dict[str, str | bytes]:
        """Return the source and the display name of a module; `a.b` and `a/b` both name `a/b.lua`.

        Raises:
            ModuleNotFound: There is none; the hint lists the files tried.
        """
        if len(name) > _LONGEST_NAME or not _NAME.fullmatch(name):
            raise ModuleNotFound(
                f"{name!r} is not a module name", hint='write it as require "name" or "folder.name"'
            )
        relative = name.replace(".", "/")
        tried = []
        for folder in self.folders:
            for file in (folder / f"{relative}.lua", folder / relative / "init.lua"):
                # A symlink may lead to another file in the folder, but not out of it.
                if file.is_file() and file.resolve().is_relative_to(folder.resolve()):
                    shown = f"{folder.name}/{file.relative_to(folder)}"
                    return {"source": file.read_bytes(), "file": shown}
                tried.append(str(file))
        hint = f"looked for {', '.join(tried)}" if tried else _NO_FOLDER
        raise ModuleNotFound(f"no module {name!r}", hint=hint)
