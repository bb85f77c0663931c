"""The command line. Each command is a file of its own, imported when it runs."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import click

COMMANDS = {
    "run": "Run a spell.",
    "exec": "Run Lua given on the command line.",
    "tools": "List the tools spells can call.",
    "spells": "List the spells that can be run by name.",
    "version": "Print the version.",
}


class Commands(click.Group):
    """Finds a command in its own module; `llmspell FILE` is short for `llmspell run FILE`."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        found: click.Command = import_module(f"llmspell.cli.{cmd_name}_command").command
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in COMMANDS and (args[0] == "-" or _is_spell_file(args[0])):
            args = ["run", *args]
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib

            similar = difflib.get_close_matches(args[0], list(COMMANDS), n=1)
            meant = f"did you mean {similar[0]!r}?" if similar else "see llmspell --help"
            raise click.UsageError(f"no command or file named {args[0]!r}; {meant}", ctx) from error


def _is_spell_file(name: str) -> bool:
    return name.endswith(".lua") or Path(name).exists()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Run Lua spells that orchestrate LLM work.

    `llmspell FILE` is short for `llmspell run FILE`.
    """


def main() -> None:
    """The console script."""
    from llmspell.cli.report import reporting

    arguments = sys.argv[1:]
    with reporting(debug="--debug" in arguments):
        sys.exit(command.main(args=arguments, prog_name="llmspell", standalone_mode=False))
