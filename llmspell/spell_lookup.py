"""Finds spells by path or name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from os.path import abspath, exists, isdir
from pathlib import Path
from typing import Any

from llmspell.config import Project, find_project
from llmspell.errors import SpellNotFound
from llmspell.spell import Spell, parse_spell, read_source
from llmspell.suggestions import did_you_mean, similar
from llmspell.trust import is_own, shipped_folder


def find_spell(name: str, project: Project | None = None) -> Spell:
    """Return the spell of a path, of a folder with `main.lua`, or of a name.

    A name is looked up in the `spells/` folder of the project, then among the shipped spells. The
    project defaults to the one that contains the current folder.

    Raises:
        SpellNotFound: There is none; the hint suggests similar names.
        ConfigError: Its front matter is invalid.
    """
    project = project or find_project()
    return read_spell(find_file(name, project), project)


def named_parts(name: str, project: Project) -> dict[str, Any]:
    """Return the parts, for `spell_from`, of the spell of a name, never of a path.

    Raises as `find_spell` does.
    """
    spell_file = named_spells(project).get(name)
    if spell_file is None:
        raise _not_found(name, project)
    return parts_of(spell_file, project)


def find_file(name: str, project: Project) -> Path:
    """Return the file of a spell. Raises SpellNotFound."""
    path = Path(name)
    for file in (path, path / "main.lua"):
        if _is_file(file):
            return file
    if path.suffix != ".lua" and len(path.parts) == 1:
        spell_file = named_spells(project).get(name)
        if spell_file is not None:
            return spell_file
    raise _not_found(name, project)


def read_spell(path: Path, project: Project | None = None) -> Spell:
    """Read the spell in a file. Raises SpellNotFound, and ConfigError for invalid front matter."""
    return spell_from(parts_of(path, project or find_project()))


def spell_from(parts: Mapping[str, Any]) -> Spell:
    """Create a spell from what `parts_of` returned. Raises ConfigError for invalid front matter."""
    folder, path = (parts[key] and Path(parts[key]) for key in ("folder", "path"))
    texts = {key: _bytes(parts[key]) for key in ("source", "front")}
    return parse_spell(**{**parts, **texts, "folder": folder, "path": path})


def _bytes(text: str | bytes | None) -> bytes | None:
    """Return the bytes of a source that, as a plain value, is text if it is UTF-8."""
    return text.encode() if isinstance(text, str) else text


def parts_of(path: Path, project: Project) -> dict[str, Any]:
    """Return what makes up the spell in a file, as plain values. Raises SpellNotFound."""
    try:
        file = path.resolve()
        str(file).encode()
    except UnicodeEncodeError as error:
        shown = repr(os.fsencode(path))[1:]
        hint = "rename it, or the folder that it is in"
        raise SpellNotFound(f"cannot read {shown}: its name is not UTF-8", hint=hint) from error
    try:
        if file.is_fifo():  # nobody may write to it; a shell's <(…) has a writer, but no name
            hint = f"read it with: llmspell run - < {_display(path)}"
            raise SpellNotFound(f"{_display(path)} is a named pipe, not a file", hint=hint)
        settings = path.with_name("spell.toml")
        with (file if file.exists() else path).open("rb") as opened:  # a pipe resolves to no file
            source = read_source(opened, _display(path))
        front = settings.read_bytes() if path.name == "main.lua" and settings.is_file() else None
    except OSError as error:
        unread = _display(Path(error.filename or path))
        raise SpellNotFound(
            f"cannot read {unread}: {error.strerror}", hint="check who may read it"
        ) from error
    return {
        "source": source,
        "name": _name_of(Path(abspath(path))),  # noqa: PTH100 - keeps a symlink's own name
        "file": _display(path),
        "folder": str(file.parent),
        "path": str(file) if file.is_file() else None,
        "front": front,
        "trusted": is_own(file, project),
    }


def shipped_spells() -> list[Path]:
    """Return the files of the spells that come with llmspell."""
    return _spells_in(shipped_folder())


def named_spells(project: Project) -> dict[str, Path]:
    """Return every spell that has a name; those of the project hide the shipped ones."""
    own = [path for folder in reversed(project.spell_folders) for path in _spells_in(folder)]
    return {_name_of(path): path for path in (*shipped_spells(), *own)}


def _is_file(path: Path) -> bool:
    # Pipes are allowed: llmspell run <(…). A Path would raise for a too long name.
    return exists(path) and not isdir(path)  # noqa: PTH110, PTH112


def _spells_in(folder: Path) -> list[Path]:
    """Return `NAME/main.lua` files, then the `NAME.lua` files that hide them.

    Pipes are left out: to list the spells is to read them, and nobody may write to a pipe.
    """
    found = [*sorted(folder.glob("*/main.lua")), *sorted(folder.glob("*.lua"))]
    return [path for path in found if not path.is_fifo()]


def _name_of(path: Path) -> str:
    return path.parent.name if path.name == "main.lua" else path.stem


def _not_found(name: str, project: Project) -> SpellNotFound:
    path = Path(name)
    for file in (path, path / "main.lua"):
        try:
            file.stat()
        except PermissionError as error:
            return SpellNotFound(
                f"cannot read {file}: {error.strerror}", hint="check who may read its folder"
            )
        except (OSError, ValueError):
            continue
    if "://" in name:
        return SpellNotFound(f"no file {name}", hint="URLs work with: llmspell run")
    if path.suffix == ".lua":
        meant = similar(path.stem, (file.stem for file in path.parent.glob("*.lua")), most=1)
        hint = f"did you mean {path.with_stem(meant[0])}?" if meant else f"looked in {Path.cwd()}"
        return SpellNotFound(f"no file {name}", hint=hint)
    if isdir(name):  # noqa: PTH112 - see _is_file
        return SpellNotFound(f"the folder {name} has no main.lua", hint="name a file in it")
    if exists(f"{name}.lua"):  # noqa: PTH110 - see _is_file
        return SpellNotFound(f"no spell named {name}", hint=f"did you mean {name}.lua?")
    known = named_spells(project)
    hint = did_you_mean(name, known, most=3, otherwise="list them with: llmspell spells")
    shown = name or "''"
    return SpellNotFound(f"no spell named {shown}", hint=hint)


def _display(path: Path) -> str:
    """Return the path relative to the current folder if it is inside it."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path) if len(str(path)) < 48 else path.name  # noqa: PLR2004 - Lua cuts at 60
