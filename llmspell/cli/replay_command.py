"""`llmspell replay`: replay a run from its record."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import click

from llmspell.cli.options import RunOptions, output_options
from llmspell.cli.runner import do_work
from llmspell.config import find_project
from llmspell.effects import Effect
from llmspell.errors import RunSuspended
from llmspell.journal.labels import shown
from llmspell.journal.reader import Reader
from llmspell.journal.records import RecordedEffect
from llmspell.runtime import Runtime
from llmspell.values import Value, legible

_WIDEST = 200


class _Steps:
    """An observer that prints each recorded effect when it is reached."""

    def __init__(self, effects: list[RecordedEffect]) -> None:
        self._effects = {effect.path: effect for effect in effects}

    def started(self, effect: Effect) -> None:
        """Do nothing; only outcomes are shown."""

    def finished(self, effect: Effect, seconds: float, error: BaseException | None) -> None:  # noqa: ARG002
        recorded = self._effects.get(effect.path)
        if recorded is None or isinstance(error, RunSuspended):  # it stopped before this one
            return
        came = json.dumps(legible(recorded.outcome), ensure_ascii=False)
        came = came if len(came) <= _WIDEST else f"{came[:_WIDEST]}…"
        line = f"{effect.path} {shown(effect.name, effect.args)} → {recorded.kind} {came}"
        print(line, file=sys.stderr)


def _replay(run: str, until: str | None, show: bool, **values: Any) -> None:
    options = RunOptions.of(values)
    with Reader.open(find_project().journal_file) as reader:
        found = reader.run(run)
        steps = [_Steps(reader.effects(found))] if show else []

        async def work(runtime: Runtime, begun: Callable[[str], None]) -> Value:  # noqa: ARG001
            return await runtime.replay(found.id, until=until)

        try:
            do_work(work, options, observers=steps)
        except RunSuspended as error:
            if error.reason != "until":
                raise
            print(error.message, file=sys.stderr)


command = click.Command(
    "replay",
    callback=_replay,
    params=[
        click.Argument(["run"]),
        click.Option(["--until"], metavar="PATH", help="Stop before the effect at this path."),
        click.Option(["--show"], is_flag=True, help="Show each effect and its outcome."),
        click.Option(
            ["--tools"],
            multiple=True,
            metavar="FILE.py",
            help="Python file or module with more tools; recorded ones need not be named.",
        ),
        *output_options(),
    ],
    help="Replay a run from its record: the same output and result, without side effects.\n\n"
    "RUN is an id, or the beginning of one.",
)
