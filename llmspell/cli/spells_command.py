"""`llmspell spells`: list the spells that can be run by name."""

from __future__ import annotations

from pathlib import Path

import click

from llmspell.config import find_project
from llmspell.errors import LlmspellError
from llmspell.permissions import printable
from llmspell.spell_lookup import named_spells, read_spell, shipped_spells


@click.command("spells")
def command() -> None:
    """List the spells that can be run by name: the project's, and the shipped ones."""
    known = named_spells(find_project())
    ours = set(shipped_spells())
    width = max(map(len, known))
    for title, shipped in (("project", False), ("shipped", True)):
        spells = sorted((n, path) for n, path in known.items() if (path in ours) is shipped)
        if spells:
            click.secho(title, bold=True)
        for name, path in spells:
            print(f"  {printable(name):<{width}}  {printable(_description(path))}".rstrip())


def _description(path: Path) -> str:
    try:
        return read_spell(path).description
    except LlmspellError as error:
        return f"({error})"
