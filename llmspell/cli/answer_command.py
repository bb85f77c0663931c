"""`llmspell answer`: say what a run asks."""

from __future__ import annotations

import click

from llmspell.cli.deciding import DEBUG, decide_about
from llmspell.cli.report import Misuse
from llmspell.human import Question
from llmspell.journal.journal import Journal
from llmspell.journal.pending import Pending, answer


def _answer(place: tuple[str, ...]) -> None:
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


command = click.Command(
    "answer",
    callback=_answer,
    params=[
        click.Argument(["place"], nargs=-1, required=True, metavar="[RUN [PATH]] TEXT"),
        DEBUG,
    ],
    help="Answer a question that a run waits with. RUN and PATH, as `llmspell pending` shows them, say "
    "which, where there are several.",
)
