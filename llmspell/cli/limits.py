"""`--limit NAME=VALUE` and `--budget NAME=VALUE`: the resources and spending of a run."""

from __future__ import annotations

import click

from llmspell.cli.error_report import Misuse
from llmspell.limits import Budget, Limits, units
from llmspell.suggestions import did_you_mean


def read_seconds(
    context: click.Context, option: click.Parameter, given: str | None
) -> float | None:
    """Parse the value of an option that takes a duration; a click callback."""
    try:
        return None if given is None else units(Budget)["seconds"].read(given)
    except ValueError as error:
        raise click.BadParameter(str(error), context, option) from error


def limit_option() -> click.Option:
    """Return the option for limits; its value is a tuple of names and numbers."""
    return _option("limit", Limits, "NAME=VALUE", "Set a limit, such as memory=128MiB or time=5s.")


def budget_option() -> click.Option:
    """Return the option for budgets; a number without a name is in US dollars."""
    what = "Limit spending on models: US dollars, or tokens=, calls= or seconds=."
    return _option("budget", Budget, "0.50|NAME=VALUE", what)


def _option(name: str, kind: type, metavar: str, what: str) -> click.Option:
    def read(
        context: click.Context, option: click.Parameter, given: tuple[str, ...]
    ) -> tuple[tuple[str, float], ...]:
        entries = [f"usd={e}" if kind is Budget and _is_number(e) else e for e in given]
        return tuple(_read(name, kind, context, option, entry) for entry in entries)

    names = [f"--{name}", f"{name}s"]
    return click.Option(names, multiple=True, callback=read, metavar=metavar, help=what)


def _is_number(entry: str) -> bool:
    return "=" not in entry and entry[:1] in "0123456789.-$"


def _read(
    what: str, kind: type, context: click.Context, option: click.Parameter, entry: str
) -> tuple[str, float]:
    name, sign, value = entry.partition("=")
    unit = units(kind).get(name)
    if unit is None:
        raise Misuse(f"no {what} named {name!r}", hint=_instead_of(name, kind))
    if not sign:
        problem = f"{name} has no value; write, for example, {name}={unit.example}"
        raise click.BadParameter(problem, context, option)
    try:
        return name, unit.read(value.removeprefix("$"))
    except ValueError as error:
        raise click.BadParameter(f"{name} {error}", context, option) from error


def _instead_of(name: str, kind: type) -> str:
    known = units(kind)
    what = "limits are" if kind is Limits else "a budget has"
    return did_you_mean(name, known, otherwise=f"{what} {', '.join(known)}")
