"""Options shared by most commands, `--json` and `--debug`, and JSON output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from llmspell.cli.error_report import Misuse
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


def is_for_subcommand(context: click.Context) -> bool:
    """Whether a group that can also do something by itself is followed by a subcommand.

    Raises:
        Misuse: An option stands before the subcommand, which would ignore it.
    """
    name = context.invoked_subcommand
    for param in context.command.params if name else ():
        source = param.expose_value and context.get_parameter_source(param.name or "")
        if source is click.core.ParameterSource.COMMANDLINE:
            raise Misuse(
                f"{param.opts[-1]} stands before {name}, which it does not apply to",
                hint=f"see: {context.command_path} {name} --help",
            )
    return name is not None


def refuse_together(**given: object) -> None:
    """Refuse more than one of some options, by their names. Raises Misuse."""
    names = [f"--{name}" for name, value in given.items() if value not in (None, False)]
    if len(names) > 1:
        raise Misuse(f"{' and '.join(names)} do not go together", hint="give one of them")


def print_json(value: Any) -> None:
    """Print a plain value as indented JSON."""
    import json

    release()
    print(json.dumps(value, indent=2, ensure_ascii=False))
