"""`llmspell deny`: refuse an effect that a run waits to perform."""

from __future__ import annotations

import click

from llmspell.cli.common import debug_option
from llmspell.cli.pending_decision import decide_about, place_arguments
from llmspell.human import Approval, Decision
from llmspell.journal.pending import decide


@click.command("deny")
@place_arguments
@click.option("--reason", default="", help="The reason, for the spell and the model.")
@debug_option
def command(run: str | None, path: str | None, reason: str) -> None:
    """Deny an effect that a run is waiting to perform.

    RUN and PATH, as shown by `llmspell pending`, select one if there are several.
    """
    decision = Decision(approved=False, reason=reason)
    decide_about(run, path, Approval, lambda journal, one: decide(journal, one, decision))
