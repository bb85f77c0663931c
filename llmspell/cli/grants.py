"""`--allow-read[=PATH,...]`, `--deny-net[=HOST,...]` and so on: the permissions the user sets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise, takewhile
from typing import Any, Literal

import click

from llmspell.cli.error_report import Misuse
from llmspell.permissions import EVERYTHING, KINDS, Grants, Kind, problems_in

Verb = Literal["allow", "deny"]

_WHAT: dict[Kind, tuple[str, str]] = {
    "read": ("PATH,...", "read these files and folders"),
    "write": ("PATH,...", "write these files and folders"),
    "net": ("HOST,...", "reach these hosts"),
    "run": ("PROGRAM,...", "run these programs"),
    "env": ("NAME,...", "see these environment variables"),
    "tool": ("NAME,...", "call these tools"),
    "llm": ("MODEL,...", "ask these models"),
}


def grant_options() -> list[click.Option]:
    """Return new instances of the options."""
    everything = click.Option(
        ["-A", "--allow-all"], is_flag=True, help="Grant all of these permissions."
    )
    no_prompt = click.Option(
        ["--no-prompt"], is_flag=True, help="Deny what is not granted, without asking."
    )
    allowing = [
        _GrantOption("allow", kind, f"Allow the spell to {what}; all if none are named.")
        for kind, (_, what) in _WHAT.items()
    ]
    denying = [
        _GrantOption("deny", kind, f"Never allow the spell to {what}; all if none are named.")
        for kind, (_, what) in _WHAT.items()
    ]
    return [*allowing, everything, *denying, no_prompt]


class _GrantOption(click.Option):
    def __init__(self, verb: Verb, kind: Kind, help: str) -> None:  # noqa: A002 - click's name
        metavar = f"[={_WHAT[kind][0]}]"
        super().__init__([f"--{verb}-{kind}"], multiple=True, metavar=metavar, help=help)

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        record = super().get_help_record(ctx)
        return record and (record[0].replace(" [", "["), record[1])


def with_values(args: Sequence[str], params: Iterable[click.Parameter]) -> list[str]:
    """Turn `--allow-read` without a value, as in Deno, into `--allow-read=*`."""
    bare = _spellings(params)
    end = args.index("--") if "--" in args else len(args)
    return [f"{a}={EVERYTHING}" if a in bare else a for a in args[:end]] + list(args[end:])


def refuse_loose_values(
    args: Sequence[str], params: Iterable[click.Parameter], arguments: Iterable[str]
) -> None:
    """Refuse `--allow-read PATH`, which would grant everything.

    Args:
        args: What was typed.
        params: The options and arguments of the command.
        arguments: What was taken for the last arguments, of which there may be any number.

    Raises:
        Misuse: One of those follows such an option.
    """
    bare, loose = _spellings(params), set(arguments)
    for option, value in pairwise(takewhile("--".__ne__, args)):
        if option in bare and value in loose:
            raise Misuse(
                f"{option} {value}: the value has to follow an =",
                hint=f"write {option}={value}, or -- {value} if it is an argument",
            )


def _spellings(params: Iterable[click.Parameter]) -> set[str]:
    return {name for param in params if isinstance(param, _GrantOption) for name in param.opts}


def grants_in(values: Mapping[str, Any], verb: Verb) -> Grants:
    """Return the grants, or denials, in the values of the options. Raises Misuse."""
    lists = {kind: list(_targets(values.get(f"{verb}_{kind}", ()))) for kind in KINDS}
    for problem in problems_in(lists):
        raise Misuse(f"--{verb}-{problem}", hint="see: llmspell run --help")
    if verb == "allow" and values.get("allow_all"):
        return Grants.all()
    return Grants.from_lists(lists)


def _targets(given: Iterable[str]) -> Iterator[str]:
    """Split values at commas; two commas in a row stand for a literal one."""
    for value in given:
        parts = [part for part in value.replace(",,", "\0").split(",") if part]
        yield from (part.replace("\0", ",") for part in parts or [""])
