"""`llmspell approve`: approve an effect that a run waits to perform."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from llmspell.cli.common import debug_option
from llmspell.cli.error_report import Misuse
from llmspell.cli.human_prompts import typed_value
from llmspell.cli.pending_decision import decide_about, place_arguments
from llmspell.components import all_bridges
from llmspell.errors import UnknownEffect
from llmspell.human import Approval, Decision
from llmspell.journal.journal import Journal
from llmspell.journal.pending import Pending, decide
from llmspell.suggestions import did_you_mean


@click.command("approve")
@place_arguments
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="NAME=VALUE",
    help="Change an argument; the value is JSON, or else text.",
)
@debug_option
def command(run: str | None, path: str | None, changes: tuple[str, ...]) -> None:
    """Approve an effect that a run is waiting to perform.

    RUN and PATH, as shown by `llmspell pending`, select one if there are several.
    """
    decide_about(run, path, Approval, partial(_decide, changes=changes))


def _decide(journal: Journal, pending: Pending, changes: tuple[str, ...]) -> None:
    args: dict[str, Any] | None = None
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals:
            raise Misuse(f"--set {change}: the value is missing", hint="write it as name=value")
        assert isinstance(pending.about, Approval)  # noqa: S101 - `decide_about` found one
        args = pending.about.args if args is None else args
        taken = _taken_by(pending.about)
        if name not in taken:  # the run would fail with it, and could not be told anything else
            hint = did_you_mean(name, taken, otherwise=f"it has {', '.join(taken) or 'none'}")
            raise Misuse(f"{pending.about.what} has no argument {name!r} to change", hint=hint)
        args = {**args, name: typed_value(value)}
    decide(journal, pending, Decision(approved=True, args=args))


def _taken_by(approval: Approval) -> list[str]:
    """Return the arguments that an effect has, and those it may have as far as they are known."""
    names = set(approval.args)
    try:
        handler = all_bridges(()).handler(approval.what.partition(":")[0])
    except UnknownEffect:  # of a plugin that only the run has
        return sorted(names)
    if handler.bind is None:
        names |= {parameter.name for parameter in handler.signature.parameters}
    return sorted(names)
