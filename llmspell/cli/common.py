"""Options shared by most commands, `--json` and `--debug`, and JSON output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from llmspell.cli.reserved_stdout import release, reserve

Command = TypeVar("Command", bound=Callable[..., Any])

debug_option = click.option(
    "--debug",
    is_flag=True,
    expose_value=False,  # `llmspell.cli.main` looks for it, whatever the command
    help="Show Python tracebacks of errors.",
)


def json_option(help: str = "Print JSON.") -> Callable[[Command], Command]:  # noqa: A002 - click's name
    """Return the option `--json`, passed to the command as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, callback=reserve, help=help)


def print_json(value: Any) -> None:
    """Print a plain value as indented JSON."""
    import json

    release()
    print(json.dumps(value, indent=2, ensure_ascii=False))
