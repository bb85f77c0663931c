"""`llmspell runs`: list and prune recorded runs."""

from __future__ import annotations

import time
from datetime import datetime

import click

from llmspell.cli.common import debug_option, is_for_subcommand, json_option, print_json
from llmspell.cli.error_report import Misuse, telling_damage
from llmspell.cli.output import harmless
from llmspell.config import find_project
from llmspell.durations import seconds_in
from llmspell.journal.pruning import prune
from llmspell.journal.reader import Reader
from llmspell.journal.records import RecordedRun
from llmspell.spending.spent import counted

_SHOWN = 20
_NUMBER = click.IntRange(0, 1_000_000_000)


@click.group("runs", invoke_without_command=True)
@click.option("--spell", metavar="NAME", help="List only runs of this spell.")
@click.option(
    "-n",
    "--limit",
    metavar="N",
    type=_NUMBER,
    default=_SHOWN,
    show_default=True,
    help="Maximum number of runs to list.",
)
@json_option("Print JSON.")
@debug_option
@click.pass_context
def command(ctx: click.Context, spell: str | None, limit: int, as_json: bool) -> None:
    """List recorded runs, newest first."""
    if is_for_subcommand(ctx):
        return
    file = find_project().journal_file
    if not file.exists():
        print("[]" if as_json else "no runs have been recorded here")
        return
    with Reader.open(file) as reader, telling_damage() as damaged:
        runs = reader.runs(limit=limit, spell=spell, damaged=damaged)
        if as_json:
            print_json([_table(run) for run in runs])
            return
        for run in runs:
            print(_line(run))


@command.command("prune")
@click.option(
    "--older", metavar="DURATION", help="Delete runs that ended longer ago, such as 30d or 12h."
)
@click.option("--keep", metavar="N", type=_NUMBER, help="Delete all but the newest N runs.")
@debug_option
def prune_command(older: str | None, keep: int | None) -> None:
    """Delete old runs, and the data that only they use.

    Without options, the retention setting of [journal] applies.

    Runs in progress are kept. A run that has not ended is as old as its start, one that
    sleeps as old as the time at which it is to continue.
    """
    project = find_project()
    settings = project.settings.journal
    if older is None and keep is None:
        older = settings.retention
    try:
        before = None if older is None else time.time() - seconds_in(older)
    except ValueError as error:
        raise Misuse(f"--older: {error}", hint="write it as 30d, 12h or 45m") from error
    deleted = prune(project.journal_file, before=before, keep=keep)
    print(f"deleted {counted(deleted, 'run')}")


def _line(run: RecordedRun) -> str:
    began = datetime.fromtimestamp(run.started).strftime("%Y-%m-%d %H:%M:%S")  # noqa: DTZ006 - for people
    return f"{run.id}  {began}  {run.status:<9}  {harmless(run.spell)}"


def _table(run: RecordedRun) -> dict[str, object]:
    return {
        "id": run.id,
        "spell": run.spell,
        "status": run.status,
        "reason": run.reason,
        "started": run.started,
        "ended": run.ended,
        "due": run.due,
        "error": run.error,
    }
