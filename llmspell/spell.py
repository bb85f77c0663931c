"""A spell: its source and its front matter."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import BinaryIO

from llmspell.errors import ConfigError, SpellNotFound
from llmspell.front_matter import read_comment, read_toml
from llmspell.frozen import Frozen
from llmspell.parameters import Parameter, bind
from llmspell.values import Value

MAX_SOURCE = 16 << 20  # bytes


class Spell(Frozen):
    """A spell that was found and read, but not compiled.

    Attributes:
        name: Its name: "hello".
        file: Its display name, in messages and as chunk name: "spells/hello.lua".
        source: Its text, with the line numbers of the file; a shebang is turned into a comment.
        folder: Where `require` looks first; None for a spell without a file.
        path: Its file, with symlinks resolved; None for a spell without one.
        trusted: Whether it is the user's own, see trust.py; others run isolated.
        permissions: The permissions it requests: {"net": ["example.com"]}.
        limits: The limits it lowers, by the field names of `Limits`.
        approve: Effects that a person has to approve, besides those of the project.
    """

    name: str
    file: str
    source: bytes
    folder: Path | None = None
    path: Path | None = None
    trusted: bool = True
    description: str = ""
    params: Mapping[str, Parameter] = field(default_factory=dict)
    permissions: Mapping[str, list[str]] = field(default_factory=dict)
    limits: Mapping[str, float] = field(default_factory=dict)
    approve: tuple[str, ...] = ()

    @property
    def chunk_name(self) -> str:
        return f"@{self.file}"

    def bind(self, given: Mapping[str, Value]) -> dict[str, Value]:
        """Return the parameters of a run. Raises ConfigError with every problem."""
        bound, problems = bind(self.params, given)
        if problems:
            raise ConfigError(self.name, problems, hint=self._usage)
        return bound

    @property
    def _usage(self) -> str:
        if self.path is not None:
            return f"see its parameters with: llmspell run {self.name} --help"
        taken = [
            f"{p.name} ({p.type}{'' if p.required else ', optional'})" for p in self.params.values()
        ]
        return (
            f"takes {', '.join(taken)}" if taken else "declare it in [params] of its front matter"
        )

    def line_at(self, where: str | None) -> str:
        """Return the stripped source line at "file.lua:12"; empty if it is not in this spell."""
        file, _, line = (where or "").rpartition(":")
        lines = self.source.splitlines() if file == self.file else []
        if not line.isdecimal() or not 0 < int(line) <= len(lines):
            return ""
        return lines[int(line) - 1].decode("utf-8", "replace").strip()


def read_source(file: BinaryIO, shown: str) -> bytes:
    """Read the text of a spell, which may come from a pipe or a device.

    Raises:
        SpellNotFound: It is larger than 16 MiB.
    """
    source = file.read(MAX_SOURCE + 1)
    if len(source) > MAX_SOURCE:
        raise SpellNotFound(
            f"cannot read {shown}: it is larger than {MAX_SOURCE >> 20} MiB",
            hint="keep data in a file of its own, and read it with read_file",
        )
    return source


def parse_spell(
    source: bytes,
    *,
    name: str,
    file: str,
    folder: Path | None = None,
    path: Path | None = None,
    front: bytes | None = None,
    trusted: bool = True,
) -> Spell:
    """Create a spell from its source and `front`, the text of its `spell.toml`, if it has one.

    Raises:
        ConfigError: The front matter is invalid.
    """
    source = source.removeprefix(BOM_UTF8)
    if front is None:
        matter = read_comment(source, file)
    else:
        matter = read_toml(front, str(Path(file).with_name("spell.toml")))
    if source.startswith(b"#"):
        source = b"--" + source  # Lua accepts a shebang only in a file
    return Spell(
        name=matter.name or name,
        file=file,
        source=source,
        folder=folder,
        path=path,
        trusted=trusted,
        description=matter.description,
        params=matter.params,
        permissions=matter.permissions,
        limits=matter.limits,
        approve=matter.approve,
    )
