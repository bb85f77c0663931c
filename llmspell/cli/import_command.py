"""`llmspell import`: import recorded runs."""

from __future__ import annotations

from pathlib import Path

import click

from llmspell.cli.common import debug_option
from llmspell.config import find_project


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@debug_option
def command(file: Path) -> None:
    """Import what `llmspell export` wrote, all of it or nothing, and print the ids of the runs."""
    from llmspell.journal.transfer import import_runs

    for run in import_runs(file, find_project().journal_file):
        print(run)
