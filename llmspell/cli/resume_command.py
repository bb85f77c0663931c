"""`llmspell resume`: a run that stopped goes on."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import click

from llmspell.cli.options import GrantingCommand, RunOptions, run_options
from llmspell.cli.report import Misuse, telling_damage
from llmspell.cli.running import do_work
from llmspell.config import find_project
from llmspell.journal.labels import shown
from llmspell.journal.locks import is_running
from llmspell.journal.reader import BegunEffect, Reader, due_runs
from llmspell.journal.recording import Judge, Verdict
from llmspell.runtime import Runtime
from llmspell.values import Value

_UNFINISHED = ("ask", "again", "skip", "fail")


def _resume(run: str | None, due: bool, unfinished: str, **values: Any) -> None:
    if due == (run is not None):
        raise Misuse("name a run, or give --due", hint="list them with: llmspell runs")
    options = RunOptions.of(values)
    if run is not None:
        resume(run, options, unfinished)
        return
    with telling_damage() as damaged:
        file = find_project().journal_file
        with Reader.open(file) as reader:
            ids = [found.id for found in due_runs(reader, damaged)]
        for id_ in ids:
            if not is_running(file, id_):
                _resume_apart(id_)


def resume(run: str, options: RunOptions, unfinished: str = "ask") -> None:
    """Go on with a run, and print what it returns."""
    somebody = os.isatty(0) and os.isatty(2)
    asking = unfinished == "ask" and somebody
    judge: Verdict | Judge = _ask if asking else "fail" if unfinished == "ask" else unfinished  # type: ignore[assignment]

    async def work(runtime: Runtime, begun: Callable[[str], None]) -> Value:
        return await runtime.resume(run, unfinished=judge, begun=begun)

    do_work(work, options)


def _resume_apart(run: str) -> None:
    """Go on with one of several runs, in a process of its own: one that fails stops no other."""
    import subprocess

    print(f"resuming {run}", file=sys.stderr)
    words = [word for word in sys.argv[1:] if word != "--due"]
    command = [sys.executable, "-P", "-m", "llmspell", *words, run]
    subprocess.run(command, check=False)  # noqa: S603 - it says itself what went wrong


async def _ask(begun: BegunEffect) -> Verdict:
    """Ask whoever is at the terminal whether an effect was done."""
    import asyncio

    question = f"{shown(begun.name, begun.args)} had begun when the run stopped. Was it done?"
    choice = click.Choice(["done", "again", "stop"])
    answers: dict[str, Verdict] = {"done": "skip", "again": "again", "stop": "fail"}
    said = await asyncio.to_thread(
        click.prompt,
        f"{question}\ndone: its result is nil; again: do it again; stop",
        type=choice,
        err=True,
    )
    return answers[said]


command = GrantingCommand(
    "resume",
    callback=_resume,
    params=[
        click.Argument(["run"], required=False),
        click.Option(["--due"], is_flag=True, help="Go on with every run whose sleep is over."),
        click.Option(
            ["--unfinished"],
            type=click.Choice(_UNFINISHED),
            default="ask",
            help="What to do about an effect that had begun, and may not simply be done again.",
        ),
        *run_options(),
    ],
    help="Go on with a run that was killed, interrupted, ended by a limit or put to sleep. Its id "
    "may be cut short. What was recorded is not done again.",
)
