"""`llmspell diff`: where two recorded runs differ, and what each cost."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from llmspell.cli.common import debug_option, json_option, print_json
from llmspell.cli.output import harmless
from llmspell.config import find_project
from llmspell.spending.spent import counted

if TYPE_CHECKING:
    from llmspell.journal.diff import Difference
    from llmspell.journal.records import RecordedEffect

_WIDEST = 100


@click.command("diff")
@click.argument("left")
@click.argument("right")
@json_option()
@debug_option
def command(left: str, right: str, as_json: bool) -> None:
    """Show where two recorded runs differ, and what each of them cost."""
    from llmspell.journal.diff import differences
    from llmspell.journal.reader import Reader
    from llmspell.journal.totals import Totals

    with Reader.open(find_project().journal_file) as reader:
        runs = reader.run(left), reader.run(right)
        same, found = differences(reader, *runs)
        if as_json:
            rows = [_as_json(difference) for difference in found]
            print_json({"same": same, "differences": rows})
            return
        for sign, run in zip("-+", runs, strict=True):
            facts = Totals.of(reader, run).facts(run)
            said = "  ".join(f"{name} {value}" for name, value in facts)
            _paint(f"{sign} {run.id}  {run.spell}  {said}")
        print(f"{counted(same, 'effect')} the same, {len(found):,} different")
        for difference in found:
            _show(difference)


def _show(difference: Difference) -> None:
    effect = difference.left or difference.right
    name = harmless(effect.name) if effect else ""
    print(f"\n{harmless(difference.path)}  {name}  {_WORDS[difference.what]}")
    for sign, one in (("-", difference.left), ("+", difference.right)):
        if one is not None:
            _paint(f"{sign} {_said(one, difference.what)}")


_WORDS = {
    "effect": "another effect",
    "arguments": "other arguments",
    "outcome": "another outcome",
    "only": "in one run only",
}


def _said(effect: RecordedEffect, what: str) -> str:
    from llmspell.values import legible

    told: Any = effect.outcome if what == "outcome" else effect.args
    text = json.dumps(legible(told), ensure_ascii=False)
    shown = text if len(text) <= _WIDEST else f"{text[:_WIDEST]} …"
    return f"{effect.name} {shown}" if what in ("effect", "only") else shown


def _paint(line: str) -> None:
    click.secho(harmless(line), fg="red" if line.startswith("-") else "green")


def _as_json(difference: Difference) -> dict[str, Any]:
    from llmspell.values import legible

    def told(effect: RecordedEffect | None) -> dict[str, Any] | None:
        if effect is None:
            return None
        kept = {"args": legible(effect.args), "result": legible(effect.outcome)}
        return {"name": effect.name, "kind": effect.kind, **kept}

    sides = {"left": told(difference.left), "right": told(difference.right)}
    return {"path": difference.path, "what": difference.what, **sides}
