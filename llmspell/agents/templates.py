"""Agent templates: `agents/NAME.toml`, or `agents/NAME.lua`, which returns the same as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from llmspell.errors import InvalidArguments, UnknownEffect
from llmspell.frozen import Frozen
from llmspell.source_text import text_of
from llmspell.suggestions import similar
from llmspell.toml_parsing import parse_toml
from llmspell.values import NotPlain, Value, plain

SHIPPED = Path(__file__).with_name("shipped")
_SUFFIXES = (".toml", ".lua")


class Template(Frozen):
    """A file that describes an agent."""

    name: str
    file: Path

    @property
    def shown(self) -> str:
        """The file's name in messages."""
        return f"{self.file.parent.name}/{self.file.name}"

    @property
    def is_lua(self) -> bool:
        return self.file.suffix == ".lua"

    @property
    def source(self) -> bytes:
        return self.file.read_bytes()

    def options(self) -> dict[str, Value]:
        """Read the file's options: those of `Agent.create`, and a `description`.

        Raises:
            InvalidArguments: The file cannot be read or is malformed.
        """
        try:
            options: dict[str, Value] = plain(parse_toml(text_of(self.source)))
        except (OSError, ValueError, NotPlain) as error:
            raise InvalidArguments(self.shown, [str(error)]) from error
        return options

    @property
    def description(self) -> str:
        """What it is for, in one line: for a Lua file, its first comment."""
        if not self.is_lua:
            return str(self.options().get("description", ""))
        first = self.source.decode("utf-8", "replace").partition("\n")[0]
        return first.lstrip("-# ").strip() if first.startswith("--") else ""


class Templates:
    """The templates in some folders and llmspell's own; the first of a name takes precedence."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = [*folders, SHIPPED]

    def find(self, name: str) -> Template:
        """Return the template of that name. Raises UnknownEffect."""
        template = self.all().get(name)
        if template is None:
            raise UnknownEffect("agent template", name, similar(name, self.all()))
        return template

    def all(self) -> Mapping[str, Template]:
        """Return every template by name."""
        templates: dict[str, Template] = {}
        for folder in self._folders:
            for suffix in _SUFFIXES:
                for file in sorted(folder.glob(f"*{suffix}")):
                    # Symbolic links must not lead out of the folder.
                    if file.is_file() and file.resolve().is_relative_to(folder.resolve()):
                        templates.setdefault(file.stem, Template(file.stem, file))
        return dict(sorted(templates.items()))
