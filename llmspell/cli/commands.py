"""The top-level command: dispatches to subcommands, and runs spells given by file name."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import click

COMMANDS = {
    "run": "Run a spell.",
    "resume": "Resume a run that stopped.",
    "replay": "Replay a recorded run, without side effects.",
    "runs": "List recorded runs, or delete old ones.",
    "pending": "List the questions and approvals that runs are waiting for.",
    "approve": "Approve an effect that a run is waiting to perform.",
    "deny": "Deny an effect that a run is waiting to perform.",
    "answer": "Answer a question that a run is waiting for.",
    "exec": "Run Lua code given on the command line.",
    "check": "Check spells without running them.",
    "test": "Run the tests of spells.",
    "tools": "List the tools that spells can call, or show one.",
    "providers": "List model providers, or check one.",
    "models": "List, pull and remove local models.",
    "agents": "List agent templates, or show one.",
    "spells": "List the spells that can be run by name.",
    "fork": "Start a new run from a step of a recorded run.",
    "show": "Show a recorded run.",
    "diff": "Compare two recorded runs.",
    "export": "Export a recorded run to a file, or as a trace.",
    "import": "Import exported runs.",
    "state": "Read, change, export and import the project's state.",
    "metrics": "Print the project's metrics in Prometheus format.",
    "plugins": "List plugins, or show one.",
    "config": "Show the settings, or their JSON Schema.",
    "doctor": "Check that this machine is ready to run spells.",
    "version": "Print the version.",
}
_OPTIONS = ("-h", "--help", "--version")


class Commands(click.Group):
    """Imports each command from its own module.

    An argument that is not a command is a spell to run, with or without options before it, so
    `#!/usr/bin/env -S llmspell --allow-net` works as a first line.
    """

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
        if args and args[0] not in (*COMMANDS, *_OPTIONS):
            if args[0].startswith("-") or _is_spell(args[0]):
                args = ["run", *args]
            else:
                raise _unknown(args[0])
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            name = ctx.invoked_subcommand or ""
            if error.ctx is None and (found := self.get_command(ctx, name)):
                # Of an option without its value, click does not tell the command.
                error.ctx = click.Context(found, info_name=name, parent=ctx)
            raise


def _is_spell(name: str) -> bool:
    return name.endswith(".lua") or "/" in name or Path(name).exists()


def _unknown(name: str) -> click.UsageError:
    from llmspell.cli.error_report import Misuse
    from llmspell.config import find_project
    from llmspell.spell_lookup import named_spells
    from llmspell.suggestions import similar

    spells = named_spells(find_project())
    if Path(f"{name}.lua").exists():
        hint = f"did you mean {name}.lua?"
    elif name in spells:
        hint = f"run the spell of that name with: llmspell run {name}"
    elif found := similar(name, [*COMMANDS, *spells], most=1):
        hint = f"did you mean {found[0] if found[0] in COMMANDS else f'run {found[0]}'}?"
    else:
        hint = "see: llmspell --help"
    return Misuse(f"no command or file named {name}", hint=hint)


def _print_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        import llmspell

        print(llmspell.__version__)
        ctx.exit()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version.",
)
def command() -> None:
    """Run Lua spells that orchestrate LLM work.

    `llmspell FILE` is short for `llmspell run FILE`.
    """
