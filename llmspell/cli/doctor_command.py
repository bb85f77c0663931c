"""`llmspell doctor`: check what spells need on this machine."""

from __future__ import annotations

import sys

import click

from llmspell.cli.common import debug_option, json_option, print_json

_COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}


@click.command("doctor")
@click.option("--offline", is_flag=True, help="Do not contact the model's server.")
@json_option()
@debug_option
def command(
    offline: bool,
    as_json: bool,
) -> None:
    """Check what spells need: settings, state, isolation, keys, the default model.

    The exit code is 1 if there is a problem. No keys are shown, only the names of their variables.
    """
    import asyncio

    from llmspell.cli.diagnosis import examine

    found = asyncio.run(examine(offline=offline))
    if as_json:
        print_json([finding._asdict() for finding in found])
    else:
        for finding in found:
            standing = click.style(f"{finding.standing:<7}", fg=_COLOURS[finding.standing])
            click.echo(f"{standing}  {finding.subject:<9}  {finding.text}")
            if finding.hint:
                click.echo(f"{'':20}hint: {finding.hint}")
    sys.stdout.flush()
    if any(finding.standing == "problem" for finding in found):
        sys.exit(1)
