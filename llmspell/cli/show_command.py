"""`llmspell show`: the contents of a recorded run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from llmspell.cli.common import debug_option, json_option, print_json, refuse_together
from llmspell.cli.error_report import Misuse
from llmspell.cli.output import harmless, write_line
from llmspell.config import find_project

if TYPE_CHECKING:
    from rich.tree import Tree

    from llmspell.journal.reader import Reader
    from llmspell.journal.records import RecordedRun
    from llmspell.journal.spans import Span


_WIDEST = 10_000  # characters of a line when the output is not a terminal


@click.command("show")
@click.argument("run", default="last")
@click.option("--effect", metavar="PATH", help="Show one effect with its arguments and outcome.")
@click.option(
    "--conversation",
    metavar="AGENT",
    help="Show an agent's conversation; give its name, or the path of a prompt.",
)
@click.option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write an HTML page with a waterfall chart to this file.",
)
@json_option("Print everything as JSON.")
@debug_option
def command(
    run: str,
    effect: str | None,
    conversation: str | None,
    html: Path | None,
    as_json: bool,
) -> None:
    """Show a recorded run: its tasks, agents and effects with times, tokens and cost.

    RUN is an id, the beginning of one, or `last`.
    """
    from llmspell.journal.reader import Reader

    refuse_together(html=html, effect=effect, conversation=conversation, json=as_json)
    with Reader.open(find_project().journal_file) as reader:
        found = reader.run(run)
        if html is not None:
            from llmspell.journal.html_page import page_of

            html.parent.mkdir(parents=True, exist_ok=True)
            html.write_text(page_of(reader, found), "utf-8")
            write_line(sys.stderr, f"written to {html}")
        elif effect is not None:
            _show_effect(reader, found, effect)
        elif conversation is not None:
            _show_conversation(reader, found, conversation)
        elif as_json:
            print_json(_as_json(reader, found))
        else:
            _show_tree(reader, found)


def _show_tree(reader: Reader, run: RecordedRun) -> None:
    from rich.console import Console
    from rich.text import Text
    from rich.tree import Tree

    from llmspell.journal.spans import spans_of
    from llmspell.journal.totals import Totals

    root = spans_of(reader, run)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDEST)
    console.print(Text.assemble((harmless(run.spell), "bold"), f"  run {run.id}"))
    facts = "  ".join(f"{name} {value}" for name, value in Totals.of(reader, run).facts(run))
    console.print(Text(facts, "dim"))
    if run.error:
        where = f"{run.error['where']}: " if run.error.get("where") else ""
        console.print(Text(harmless(f"{where}{run.error['message']}"), "red"))
    tree = Tree(_line(root), guide_style="dim")
    _grow(tree, root)
    console.print(tree)


def _grow(tree: Tree, span: Span) -> None:
    for child in span.children:
        _grow(tree.add(_line(child)), child)


def _line(span: Span) -> Any:
    from rich.text import Text

    from llmspell.journal.totals import duration

    style = {"error": "red", "cancelled": "yellow", "unfinished": "yellow"}.get(span.outcome, "")
    line = Text.assemble((f"{harmless(span.path)}  ", "dim"), (harmless(span.name), style))
    if span.label:
        line.append(f" {harmless(span.label)}")
    line.append(f"  {duration(span.seconds)}", "dim")
    if span.effect is not None and span.effect.usage:
        line.append(f"  {_usage(span.effect.usage)}", "dim")
    if span.resumed:
        line.append("  interrupted, and done again", "dim")
    if span.outcome != "ok":
        line.append(f"  {harmless(_came_to(span))}", style)
    return line


def _usage(usage: dict[str, Any]) -> str:
    said = f"{usage.get('input_tokens', 0)} in, {usage.get('output_tokens', 0)} out"
    if usage.get("unanswered"):
        said = f"at most {said}"
    if usage.get("cached_tokens"):
        said += f", {usage['cached_tokens']} cached"
    if isinstance(usage.get("usd"), (int, float)):
        said += f", ${usage['usd']:.4f}"
    return said


def _came_to(span: Span) -> str:
    if span.outcome == "error" and span.effect is not None:
        outcome = span.effect.outcome
        return f"{outcome['code']}: {outcome['message']}" if isinstance(outcome, dict) else "error"
    return span.outcome


def _show_effect(reader: Reader, run: RecordedRun, path: str) -> None:
    from llmspell.journal.html_page import shown
    from llmspell.journal.totals import duration

    effect = next((e for e in reader.effects(run) if e.path == path), None)
    if effect is None:
        begun = next((b for b in reader.begun(run) if b.path == path), None)
        if begun is None:
            raise _not_recorded(reader, run, path)
        click.secho(f"{harmless(begun.name)} at {path}, unfinished", bold=True)
        print(f"\narguments\n{harmless(shown(begun.args))}")
        return
    name = harmless(effect.name)
    click.secho(f"{name} at {path}, {effect.kind}, {duration(effect.seconds)}", bold=True)
    print(f"\narguments\n{harmless(shown(effect.args))}")
    if effect.kind != "cancelled":
        print(
            f"\n{'error' if effect.kind == 'error' else 'result'}\n{harmless(shown(effect.outcome))}"
        )
    if effect.usage:
        print(f"\nusage\n{_usage(effect.usage)}")


def _not_recorded(reader: Reader, run: RecordedRun, path: str) -> Misuse:
    """Return the error for a path at which no effect with its arguments is recorded."""
    from llmspell.journal.spans import spans_of

    see = f"llmspell show {run.id}"
    span = next((span for _, span in spans_of(reader, run).walk() if span.path == path), None)
    if span is None:
        hint = f"see the paths with: {see}"
        return Misuse(f"the run has no recorded effect at {path}", hint=hint)
    part = next((s.path for _, s in span.walk() if s.kind in ("leaf", "unfinished")), None)
    return Misuse(
        f"the {span.name} at {path} is recorded without arguments and result",
        hint=f"show a part of it: {see} --effect {part}"
        if part
        else "they are recorded of what is done outside the spell",
    )


def _show_conversation(reader: Reader, run: RecordedRun, agent: str) -> None:
    from llmspell.journal.conversations import conversations_of, lines_of

    found = conversations_of(reader, run)
    chosen = [one for one in found if agent in (one.agent, one.path)]
    if not chosen:
        names = ", ".join(dict.fromkeys(one.agent for one in found)) or "none"
        raise Misuse(f"the run has no agent {agent}", hint=f"its agents: {names}")
    for number, one in enumerate(chosen):
        if number:
            print()
        click.secho(harmless(f"{one.agent} at {one.path}, {one.model}"), bold=True)
        for who, what in lines_of(one):
            click.secho(f"{who}:", fg="cyan", nl=False)
            print(f" {harmless(what)}")


def _as_json(reader: Reader, run: RecordedRun) -> dict[str, Any]:
    from llmspell.journal.spans import spans_of
    from llmspell.values import legible

    root = spans_of(reader, run)
    return {
        "run": run.id,
        "spell": run.spell,
        "status": run.status,
        "started": run.started,
        "ended": run.ended,
        "params": legible(run.params),
        "result": legible(run.result),
        "error": legible(run.error),
        "spans": [_span_as_json(span) for _, span in root.walk()],
    }


def _span_as_json(span: Span) -> dict[str, Any]:
    from llmspell.values import legible

    made = {
        "path": span.path,
        "name": span.name,
        "label": span.label,
        "kind": span.kind,
        "outcome": span.outcome,
        "started": span.started,
        "seconds": span.seconds,
        "resumed": span.resumed,
    }
    if span.effect is not None:
        made |= {"args": legible(span.effect.args), "result": legible(span.effect.outcome)}
        made |= {"usage": span.effect.usage} if span.effect.usage else {}
    return made
