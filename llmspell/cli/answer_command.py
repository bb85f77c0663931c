"""`llmspell answer`: answer a run's question."""

from __future__ import annotations

import click

from llmspell.cli.common import debug_option
from llmspell.cli.error_report import Misuse
from llmspell.cli.pending_decision import decide_about
from llmspell.human import Question
from llmspell.journal.journal import Journal
from llmspell.journal.pending import Pending, answer


@click.command("answer")
@click.argument("place", nargs=-1, required=True, metavar="[RUN [PATH]] TEXT")
@debug_option
def command(place: tuple[str, ...]) -> None:
    """Answer a question that a run is waiting for.

    RUN and PATH, as shown by `llmspell pending`, select one if there are several.
    """
    *where, text = place
    if len(where) > len(("run", "path")):
        raise Misuse("too many arguments", hint="put the answer in quotes")
    run, path, *_ = [*where, None, None]

    def tell(journal: Journal, pending: Pending) -> None:
        try:
            answer(journal, pending, text)
        except ValueError as error:
            raise Misuse(str(error), hint="see: llmspell pending") from error

    decide_about(run, path, Question, tell)
