"""`llmspell pending`: the questions and approvals that runs wait for."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from llmspell.cli.common import debug_option, json_option, print_json
from llmspell.cli.error_report import telling_damage
from llmspell.cli.human_prompts import shown_args
from llmspell.config import find_project
from llmspell.human import Approval
from llmspell.journal.pending import Pending, pending
from llmspell.journal.reader import Reader
from llmspell.permissions import printable
from llmspell.values import legible


@click.command("pending")
@json_option()
@debug_option
def command(as_json: bool) -> None:
    """List the questions and approvals that recorded runs are waiting for.

    Respond with `llmspell answer`, `approve` or `deny`, then continue with `llmspell resume RUN`.
    """
    file = find_project().journal_file
    found: list[Pending] = []
    with telling_damage() as damaged:
        if file.exists():
            with Reader.open(file) as reader:
                found = pending(reader, damaged)
        if as_json:
            print_json([_table(one) for one in found])
        elif not found:
            print("nothing is pending")
        for one in () if as_json else found:
            _show(one)


def _show(pending: Pending) -> None:
    about = pending.about
    since = datetime.fromtimestamp(pending.effect.started).strftime("%Y-%m-%d %H:%M")  # noqa: DTZ006 - for people
    click.secho(pending.place, bold=True, nl=False)
    print(f"  {since}  {printable(pending.run.spell)}")
    if isinstance(about, Approval):
        print(f"  wants approval of {printable(about.what)}{shown_args(about.args, margin=4)}")
        return
    print(f"  asks: {printable(about.text)}")
    if about.choices:
        print(f"  choices: {', '.join(printable(choice) for choice in about.choices)}")


def _table(pending: Pending) -> dict[str, Any]:
    run, effect = pending.run, pending.effect
    kind = "approval" if isinstance(pending.about, Approval) else "question"
    place = {"run": run.id, "path": effect.path, "spell": run.spell, "kind": kind}
    return {**place, **legible(effect.args), "started": effect.started, "due": effect.due}
