"""`llmspell resume`: resume a run that stopped."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import click

from llmspell.cli.error_report import FAILED, Misuse, telling_damage
from llmspell.cli.options import GrantingCommand, RunOptions, run_options
from llmspell.cli.runner import do_work
from llmspell.config import find_project
from llmspell.errors import RunBusy, RunSuspended
from llmspell.journal.labels import shown
from llmspell.journal.locks import is_running
from llmspell.journal.reader import Reader, due_runs
from llmspell.journal.recording import Judge, Verdict
from llmspell.journal.records import BegunEffect, is_due
from llmspell.resume_inputs import model_then, was_in_memory
from llmspell.runtime import Runtime
from llmspell.values import Value

_UNFINISHED = ("ask", "again", "skip", "fail")


def _resume(run: str | None, due: bool, unfinished: str, **values: Any) -> None:
    if run is None and not due:
        raise Misuse("name a run, or give --due", hint="list them with: llmspell runs")
    options = RunOptions.of(values)
    if run is None:
        _resume_all_due()
    elif not due:
        resume(run, options, unfinished)
    elif _is_due(run):
        with suppress(RunBusy):  # another process has resumed it
            resume(run, options, unfinished)


def _resume_all_due() -> None:
    """Resume all due runs, each in a process of its own, so that no failure stops the others."""
    file = find_project().journal_file
    with telling_damage() as damaged:
        with Reader.open(file) as reader:
            ids = [found.id for found in due_runs(reader, damaged)]
        codes = [_resume_apart(id_) for id_ in ids if _is_due(id_)]
    if any(code not in (0, RunSuspended.exit_code) for code in codes):
        sys.exit(FAILED)


def _is_due(run: str) -> bool:
    """Whether its time has come, and no other process has resumed it."""
    file = find_project().journal_file
    with Reader.open(file) as reader:
        found = reader.run(run)
    return is_due(found) and not is_running(file, found.id)


def resume(run: str, options: RunOptions, unfinished: str = "ask") -> None:
    """Resume a run, and print its result."""
    options = as_then(run, options)
    somebody = os.isatty(0) and os.isatty(2)
    asking = unfinished == "ask" and somebody
    judge: Verdict | Judge = _ask if asking else "fail" if unfinished == "ask" else unfinished  # type: ignore[assignment]

    async def work(runtime: Runtime, begun: Callable[[str], None]) -> Value:
        return await runtime.resume(run, unfinished=judge, begun=begun)

    do_work(work, options)


def as_then(run: str, options: RunOptions) -> RunOptions:
    """Return the options with the model and the state that the run was given, unless given now.

    Raises:
        Misuse: The run is not to be recorded, although it continues from its record.
    """
    if options.record is False:
        raise Misuse(
            "a run that continues from its record is recorded further",
            hint="leave out --no-record, or run the spell from its beginning",
        )
    with Reader.open(find_project().journal_file) as reader:
        recorded = reader.run(run)
    state = options.state or ("memory" if was_in_memory(recorded) else None)
    return replace(options, model=options.model or model_then(recorded), state=state)


def _resume_apart(run: str) -> int:
    """Resume one of several runs in a process of its own; return its exit code."""
    import subprocess

    print(f"resuming {run}", file=sys.stderr)
    command = [sys.executable, "-P", "-m", "llmspell", *sys.argv[1:], run]
    return subprocess.run(command, check=False).returncode  # noqa: S603 - it reports its own errors


async def _ask(begun: BegunEffect) -> Verdict:
    """Ask the person at the terminal whether an effect was performed."""
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
        click.Option(
            ["--due"],
            is_flag=True,
            help="Resume every run whose sleep is over; with RUN, only that one, if its sleep is over.",
        ),
        click.Option(
            ["--unfinished"],
            type=click.Choice(_UNFINISHED),
            default="ask",
            help="What to do with an effect that had begun and cannot safely be repeated.",
        ),
        *run_options(),
    ],
    help="Resume a run that was killed, interrupted, ended by a limit or put to sleep.\n\nRUN is an "
    "id, or the beginning of one. Recorded effects are not performed again.",
)
