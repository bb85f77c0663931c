"""`--limit NAME=VALUE`: limits that the user sets for a run."""

from __future__ import annotations

import click

from llmspell.cli.report import Misuse
from llmspell.limits import units


def limit_option() -> click.Option:
    """The option; its value is a tuple of names and numbers."""
    return click.Option(
        ["--limit", "limits"],
        multiple=True,
        callback=_read,
        metavar="NAME=VALUE",
        help="Set a limit, such as memory=128MiB or time=5s.",
    )


def _read(
    context: click.Context, option: click.Parameter, given: tuple[str, ...]
) -> tuple[tuple[str, float], ...]:
    return tuple(_limit(context, option, entry) for entry in given)


def _limit(context: click.Context, option: click.Parameter, entry: str) -> tuple[str, float]:
    name, sign, value = entry.partition("=")
    unit = units().get(name)
    if unit is None:
        raise Misuse(f"no limit named {name!r}", hint=_instead_of(name))
    if not sign:
        problem = f"{name} has no value; write for example {name}={unit.example}"
        raise click.BadParameter(problem, context, option)
    try:
        return name, unit.read(value)
    except ValueError as error:
        raise click.BadParameter(f"{name} {error}", context, option) from error


def _instead_of(name: str) -> str:
    import difflib

    similar = difflib.get_close_matches(name, units(), n=1)
    return f"did you mean {similar[0]}?" if similar else f"limits are {', '.join(units())}"
