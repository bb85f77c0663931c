"""`--allow-read[=PATHS]`, `--deny-net[=HOSTS]` and so on: the permissions the user sets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import click

from llmspell.permissions import EVERYTHING, KINDS, Grants, Kind

Verb = Literal["allow", "deny"]

_WHAT: dict[Kind, tuple[str, str]] = {
    "read": ("PATHS", "read these folders and files"),
    "write": ("PATHS", "write these folders and files"),
    "net": ("HOSTS", "reach these hosts"),
    "run": ("PROGRAMS", "run these programs"),
    "env": ("NAMES", "see these environment variables"),
    "tool": ("NAMES", "call these tools"),
    "llm": ("MODELS", "ask these models"),
}


def grant_options() -> list[click.Option]:
    """Return new instances of the options."""
    everything = click.Option(
        ["-A", "--allow-all"], is_flag=True, help="Let the spell do all of that."
    )
    no_prompt = click.Option(
        ["--no-prompt"], is_flag=True, help="Never ask for what is not granted: refuse it."
    )
    allowing = [
        _GrantOption("allow", kind, f"Let the spell {what}; several with commas, or all of them.")
        for kind, (_, what) in _WHAT.items()
    ]
    denying = [
        _GrantOption("deny", kind, f"Do not let it {what}, whatever else grants them.")
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


def with_values(args: Sequence[str]) -> list[str]:
    """Turn `--allow-read` without a value, as in Deno, into `--allow-read=*`."""
    bare = {f"--{verb}-{kind}" for verb in ("allow", "deny") for kind in KINDS}
    end = args.index("--") if "--" in args else len(args)
    return [f"{a}={EVERYTHING}" if a in bare else a for a in args[:end]] + list(args[end:])


def grants_in(values: Mapping[str, Any], verb: Verb) -> Grants:
    """Return the grants, or denials, in the values of the options."""
    if verb == "allow" and values.get("allow_all"):
        return Grants.all()
    lists = {kind: _targets(values.get(f"{verb}_{kind}", ())) for kind in KINDS}
    return Grants.from_lists(lists)


def _targets(given: Iterable[str]) -> Iterator[str]:
    """Split values at commas; two commas in a row stand for a literal one."""
    for value in given:
        for part in value.replace(",,", "\0").split(","):
            if part:
                yield part.replace("\0", ",")
