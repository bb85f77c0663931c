"""Shared parts of `llmspell approve`, `deny` and `answer`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import click

from llmspell.cli.common import Command
from llmspell.config import find_project
from llmspell.journal.journal import Journal
from llmspell.journal.pending import Pending, find
from llmspell.journal.reader import Reader
from llmspell.project_journal import open_journal

Tell = Callable[[Journal, Pending], None]


def decide_about(run: str | None, path: str | None, kind: type, tell: Tell) -> None:
    """Find the selected effect, record the decision about it, and print how to resume its run."""
    project = find_project()
    with Reader.open(project.journal_file) as reader:
        found = find(reader, run, path, kind)
    with closing(open_journal(project)) as journal:
        tell(journal, found)
    print(f"continue with: llmspell resume {found.run.id}")


def place_arguments(command: Command) -> Command:
    """Add the arguments that select an effect."""
    path = click.argument("path", required=False)
    return click.argument("run", required=False)(path(command))
