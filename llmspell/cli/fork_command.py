"""`llmspell fork`: start a new run from a step of another run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from llmspell.cli.error_report import Misuse
from llmspell.cli.options import GrantingCommand, RunOptions, run_options
from llmspell.cli.resume_command import as_then
from llmspell.cli.runner import do_work
from llmspell.errors import EffectError
from llmspell.runtime import Runtime
from llmspell.values import Value


def _fork(
    run: str,
    at: str,
    params: tuple[str, ...],
    models: tuple[str, ...],
    spell: str | None,
    **values: Any,
) -> None:
    default = [model for model in models if "=" not in model]
    options = RunOptions.of(values | {"model": default[-1] if default else None})
    changed = _pairs("--set", params)
    instead = _pairs("--model", [model for model in models if "=" in model])

    async def work(runtime: Runtime, begun: Callable[[str], None]) -> Value:
        for model in instead.values():
            _check_model(runtime, model)
        return await runtime.fork(run, at, params=changed, models=instead, spell=spell, begun=begun)

    do_work(work, as_then(run, options))


def _check_model(runtime: Runtime, model: str) -> None:
    try:
        runtime.models.check(model)
    except EffectError as error:
        raise Misuse(error.message, hint=error.hint or "see: llmspell providers") from error


def _pairs(option: str, given: tuple[str, ...] | list[str]) -> dict[str, Any]:
    pairs = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise Misuse(f"{option} {text} has no value", hint=f"write it as {option} NAME=VALUE")
        pairs[name] = value
    return pairs


command = GrantingCommand(
    "fork",
    callback=_fork,
    params=[
        click.Argument(["run"]),
        click.Option(
            ["--at"], required=True, metavar="PATH", help="Path of the effect before which to fork."
        ),
        click.Option(
            ["--set", "params"], multiple=True, metavar="PARAM=VALUE", help="Change a parameter."
        ),
        click.Option(
            ["--model", "models"],
            multiple=True,
            metavar="A=B",
            help="Replace model A with B from there on; without =, as for run.",
        ),
        click.Option(["--spell"], metavar="FILE", help="Continue with this spell instead."),
        *(option for option in run_options() if "--model" not in option.opts),
    ],
    help="Start a new run from a step of a recorded run.\n\nRUN is an id, or the beginning of one. "
    "Effects recorded before that step are not performed again.",
)
