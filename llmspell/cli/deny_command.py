"""`llmspell deny`: refuse an effect that a run waits with."""

from __future__ import annotations

import click

from llmspell.cli.deciding import DEBUG, decide_about, place_arguments
from llmspell.human import Approval, Decision
from llmspell.journal.pending import decide


def _deny(run: str | None, path: str | None, reason: str) -> None:
    decision = Decision(approved=False, reason=reason)
    decide_about(run, path, Approval, lambda journal, one: decide(journal, one, decision))


command = click.Command(
    "deny",
    callback=_deny,
    params=[
        *place_arguments(),
        click.Option(["--reason"], default="", help="Why, for the spell and the model."),
        DEBUG,
    ],
    help="Refuse an effect that a run waits with. RUN and PATH, as `llmspell pending` shows them, say "
    "which, where there are several.",
)
