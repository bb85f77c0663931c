from __future__ import annotations

import click

from llmspell.config import find_project
from llmspell.spell import read_spell, shipped_spells


@click.command("spells")
def command() -> None:
    """List the spells that can be run by name: the project's, and the shipped ones."""
    project = find_project()
    own = [path for folder in project.spell_folders for path in sorted(folder.glob("*.lua"))]
    names = {path.stem for path in own}
    shipped = [path for path in shipped_spells() if path.stem not in names]
    width = max(len(path.stem) for path in [*own, *shipped])
    for title, paths in (("project", own), ("shipped", shipped)):
        if paths:
            click.secho(title, bold=True)
        for path in paths:
            print(f"  {path.stem:<{width}}  {read_spell(path).description}")
