"""A spell: its source, and what its front matter says of it."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path

from llmspell.errors import ConfigError
from llmspell.front_matter import read_comment, read_toml
from llmspell.frozen import Frozen
from llmspell.parameters import Parameter, bind
from llmspell.values import Value


class Spell(Frozen):
    """A spell that was found and read, not yet compiled.

    Attributes:
        name: How it is called: "hello".
        file: How it is shown, in messages and as chunk name: "spells/hello.lua".
        source: Its text; lines count as in the file, the shebang is a comment.
        folder: Where `require` looks first; None for a spell without a file.
        path: Its file, without links on the way; None for a spell without one.
        trusted: Whether it is the user's own, see trust.py; a stranger's runs apart.
        permissions: What it asks for: {"net": ["example.com"]}.
        limits: What it lowers, by the names of `Limits`.
        approve: What a person has to approve of, besides what the project says.
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
        """The parameters a run gets. Raises ConfigError with every problem."""
        bound, problems = bind(self.params, given)
        if problems:
            hint = f"see its parameters with: llmspell run {self.name} --help"
            raise ConfigError(self.name, problems, hint=hint)
        return bound

    def line_at(self, where: str | None) -> str:
        """The text of "file.lua:12", without the space around it; empty when it is elsewhere."""
        file, _, line = (where or "").rpartition(":")
        lines = self.source.splitlines() if file == self.file else []
        if not line.isdecimal() or not 0 < int(line) <= len(lines):
            return ""
        return lines[int(line) - 1].decode("utf-8", "replace").strip()


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
    """A spell from its text, and from that of its `spell.toml`, if it has one: `front`.

    Raises:
        ConfigError: When the front matter is wrong.
    """
    source = source.removeprefix(BOM_UTF8)
    if front is None:
        matter = read_comment(source, file)
    else:
        matter = read_toml(front, str(Path(file).with_name("spell.toml")))
    if source.startswith(b"#"):
        source = b"--" + source  # Lua itself takes a shebang only from a file
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
