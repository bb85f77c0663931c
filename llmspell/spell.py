"""A spell: its source, and what its front matter says of it."""

from __future__ import annotations

import re
import sys
from codecs import BOM_UTF8
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from os.path import exists, isdir
from pathlib import Path
from typing import Any

from llmspell.errors import ConfigError, SpellNotFound
from llmspell.values import NotPlain, Value, plain

_OPENING = re.compile(rb"^---[ \t]*/// spell[ \t]*\r?\n", re.MULTILINE)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CLOSING = re.compile(rb"^---[ \t]*///[ \t]*\r?$", re.MULTILINE)


@dataclass(frozen=True)
class Parameter:
    """One `[params]` entry: `name = {type, help, default, choices}`, or just a default value.

    One without a default is required. Types: string, integer, number, boolean, list, table.
    """

    name: str
    type: str
    help: str = ""
    default: Value = None
    required: bool = True
    choices: tuple[Value, ...] = ()

    def convert(self, given: Value) -> Value:
        """The value in the parameter's type; text as typed on a command line is read.

        Raises:
            ValueError: With what is wrong, in a few words.
        """
        try:
            value: Any = _read(given, self.type) if isinstance(given, str) else plain(given)
        except NotPlain as error:
            raise ValueError(str(error)) from error
        accepted = _TYPES[self.type]
        if type(value) not in accepted:
            article = "an" if self.type == "integer" else "a"
            raise ValueError(f"must be {article} {self.type}, not {given!r}")
        if self.choices and value not in self.choices:
            raise ValueError(f"must be one of {', '.join(map(str, self.choices))}, not {given!r}")
        return float(value) if self.type == "number" else value


_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "list": (list,),
    "table": (dict,),
}
_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def _read(text: str, kind: str) -> Value:
    if kind in ("integer", "number"):
        try:
            return int(text) if kind == "integer" else float(text)
        except ValueError:
            return text
    if kind == "boolean":
        return _WORDS.get(text.lower(), text)
    if kind in ("list", "table"):
        import json

        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text.split(",") if kind == "list" else text
    return text


@dataclass(frozen=True)
class Spell:
    """A spell that was found and read, not yet compiled.

    Attributes:
        name: How it is called: "hello".
        file: How it is shown, in messages and as chunk name: "spells/hello.lua".
        source: Its text; lines count as in the file, the shebang is a comment.
        folder: Where `require` looks first; None for a spell without a file.
        permissions: What it asks for: {"net": ["example.com"]}.
        limits: What it sets, by the names of `Limits`.
    """

    name: str
    file: str
    source: bytes
    folder: Path | None = None
    description: str = ""
    params: Mapping[str, Parameter] = field(default_factory=dict)
    permissions: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, Any] = field(default_factory=dict)

    @property
    def chunk_name(self) -> str:
        return f"@{self.file}"

    def bind(self, given: Mapping[str, Value]) -> dict[str, Value]:
        """The parameters a run gets. Raises ConfigError with every problem."""
        problems = [f"no parameter named {n!r}" for n in given if n not in self.params]
        bound: dict[str, Value] = {}
        for name, parameter in self.params.items():
            if name not in given:
                if parameter.required:
                    problems.append(f"--{name} is required")
                bound[name] = parameter.default
                continue
            try:
                bound[name] = parameter.convert(given[name])
            except (ValueError, OverflowError) as error:
                problems.append(f"--{name} {error}")
        if problems:
            raise ConfigError(
                self.name,
                problems,
                hint=f"see its parameters with: llmspell run {self.name} --help",
            )
        return bound


def find_spell(name: str, folders: list[Path] | None = None) -> Spell:
    """The spell of a path, of a folder with `main.lua`, or of a name.

    A name is looked for in the `spells/` folder of the project and then among the shipped ones.
    `-` reads standard input.

    Raises:
        SpellNotFound: With similar names.
        ConfigError: When its front matter is wrong.
    """
    if name == "-":
        return parse_spell(sys.stdin.buffer.read(), name="stdin", file="stdin")
    path = Path(name)
    for file in (path, path / "main.lua"):
        if _is_file(file):
            return read_spell(file)
    if path.suffix != ".lua" and len(path.parts) == 1:
        found = named_spells(folders or [Path("spells")]).get(name)
        if found is not None:
            return read_spell(found, name=name)
    raise _not_found(name, folders or [Path("spells")])


def read_spell(path: Path, *, name: str | None = None) -> Spell:
    """The spell in a file. Raises SpellNotFound, and ConfigError when its front matter is wrong."""
    settings = path.with_name("spell.toml")
    try:
        source = path.read_bytes()
        front = settings.read_bytes() if path.name == "main.lua" and settings.is_file() else None
    except OSError as error:
        raise SpellNotFound(
            f"cannot read {error.filename or path}: {error.strerror}", hint="check who may read it"
        ) from error
    folder = path.resolve().parent
    named = name or _name_of(path.resolve())
    return parse_spell(source, name=named, file=_display(path), folder=folder, front=front)


def _is_file(path: Path) -> bool:
    # A pipe will do: llmspell run <(…). A Path would raise for a name too long to be one.
    return exists(path) and not isdir(path)  # noqa: PTH110, PTH112


def shipped_spells() -> list[Path]:
    """The spells that come with llmspell."""
    return _spells_in(Path(import_module("llmspell.spells").__path__[0]))


def named_spells(folders: list[Path]) -> dict[str, Path]:
    """Every spell that has a name; those of earlier folders hide later ones and the shipped."""
    shipped = {_name_of(path): path for path in shipped_spells()}
    own = {_name_of(path): path for folder in reversed(folders) for path in _spells_in(folder)}
    return shipped | own


def _spells_in(folder: Path) -> list[Path]:
    """`NAME/main.lua`, and the `NAME.lua` which hide them."""
    return [*sorted(folder.glob("*/main.lua")), *sorted(folder.glob("*.lua"))]


def _name_of(path: Path) -> str:
    return path.parent.name if path.name == "main.lua" else path.stem


def _not_found(name: str, folders: list[Path]) -> SpellNotFound:
    import difflib

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
    if path.suffix == ".lua":
        return SpellNotFound(f"no file {name}", hint=f"looked in {Path.cwd()}")
    if isdir(name):  # noqa: PTH112 - see _is_file
        return SpellNotFound(f"the folder {name} has no main.lua", hint="name a file in it")
    similar = difflib.get_close_matches(name, named_spells(folders))
    hint = f"did you mean {' or '.join(similar)}?" if similar else "list them with: llmspell spells"
    return SpellNotFound(f"no spell named {name}", hint=hint)


def _display(path: Path) -> str:
    """Relative to the current folder where it is below it."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path) if len(str(path)) < 48 else path.name  # noqa: PLR2004 - Lua cuts at 60


def parse_spell(
    source: bytes,
    *,
    name: str,
    file: str,
    folder: Path | None = None,
    front: bytes | None = None,
) -> Spell:
    """A spell from its text. Raises ConfigError when the front matter is wrong."""
    source = source.removeprefix(BOM_UTF8)
    place = file if front is None else str(Path(file).with_name("spell.toml"))
    table = _front_matter(source, place) if front is None else _toml(front, place)
    if source.startswith(b"#"):
        source = b"--" + source  # Lua itself takes a shebang only from a file
    problems = [f"unknown key {key!r}" for key in sorted(table.keys() - _KEYS.keys())]
    for key, kind in _KEYS.items():
        if not isinstance(table.get(key, kind()), kind):
            problems.append(f"{key} must be a {_type_of(kind())}")
    if problems:
        hint = f"its keys are {', '.join(_KEYS)}"
        raise ConfigError(place, [f"front matter: {problem}" for problem in problems], hint=hint)
    params = {key: _parameter(place, key, value) for key, value in table.get("params", {}).items()}
    return Spell(
        name=table.get("name", name),
        file=file,
        source=source,
        folder=folder,
        description=table.get("description", ""),
        params=params,
        permissions=table.get("permissions", {}),
        limits=table.get("limits", {}),
    )


_KEYS = {"name": str, "description": str, "params": dict, "permissions": dict, "limits": dict}


def _front_matter(source: bytes, file: str) -> dict[str, Any]:
    opening = _OPENING.search(source)
    if not opening:
        return {}
    closing = _CLOSING.search(source, opening.end())
    if not closing:
        raise ConfigError(file, ["front matter: the line `--- ///` that ends it is missing"])
    block = source[opening.end() : closing.start()]
    lines = [re.sub(rb"^---? ?", b"", line) for line in block.splitlines()]
    first = source[: opening.end()].count(b"\n")
    return _toml(b"\n".join([b""] * first + lines) + b"\n", file)


def _toml(text: bytes, file: str) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        refused = ConfigError(file, [f"front matter: {error}"], hint="it is TOML: https://toml.io")
        if line := re.search(r"at line (\d+)", str(error)):
            refused.where = f"{file}:{line[1]}"
        raise refused from error


def _parameter(file: str, name: str, entry: Any) -> Parameter:
    if not isinstance(entry, dict):
        entry = {"default": entry}
    try:
        return _read_parameter(name, entry)
    except (ValueError, OverflowError) as error:
        raise ConfigError(
            file,
            [f"front matter: params.{name}: {error}"],
            hint=f"types are {', '.join(_TYPES)}; keys are type, help, default, choices",
        ) from error


def _read_parameter(name: str, entry: dict[str, Any]) -> Parameter:
    if not _NAME.fullmatch(name):
        raise ValueError("its name must be made of letters, digits and _")
    if unknown := entry.keys() - {"type", "help", "default", "choices"}:
        raise ValueError(f"unknown key {min(unknown)!r}")
    kind = entry.get("type", _type_of(entry.get("default", "")))
    if not isinstance(kind, str) or kind not in _TYPES:
        raise ValueError(f"unknown type {kind!r}")
    text, choices = entry.get("help", ""), entry.get("choices", [])
    if not isinstance(text, str) or not isinstance(choices, list):
        raise ValueError("help must be a string, and choices a list")  # noqa: TRY004 - it is a setting
    parameter = Parameter(name, kind, text)
    parameter = replace(parameter, choices=tuple(map(parameter.convert, choices)))
    if "default" not in entry:
        return parameter
    try:
        default = parameter.convert(entry["default"])
    except ValueError as error:
        raise ValueError(f"its default {error}") from error
    return replace(parameter, default=default, required=False)


def _type_of(value: Any) -> str:
    for kind, accepted in _TYPES.items():
        if type(value) in accepted:
            return kind
    return "string"
