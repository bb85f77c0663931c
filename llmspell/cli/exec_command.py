"""`llmspell exec`: run Lua given on the command line."""

from __future__ import annotations

from typing import Any

import click

from llmspell.cli.options import GrantingCommand, RunOptions, run_options
from llmspell.cli.runner import run_spell
from llmspell.errors import LlmspellError
from llmspell.spell import parse_spell


def _exec(lua: str, arguments: tuple[str, ...], **values: Any) -> None:
    source = lua.encode("utf-8", "surrogateescape")
    spell = parse_spell(source, name="exec", file="exec")
    try:
        run_spell(spell, RunOptions.of(values), {}, arguments)
    except LlmspellError as error:
        error.source_line = ""  # it stands in the command
        raise


command = GrantingCommand(
    "exec",
    callback=_exec,
    params=[
        click.Argument(["lua"]),
        click.Argument(["arguments"], nargs=-1),
        *run_options(),
    ],
    help="Run Lua code given on the command line, and print what it returns: "
    "llmspell exec 'return 1 + 1'.",
)
