"""`llmspell run`: its options are those of every run, and the parameters of the spell."""

from __future__ import annotations

from typing import Any

import click

from llmspell.cli.options import RunOptions, run_options, with_values
from llmspell.cli.running import run_spell
from llmspell.config import find_project
from llmspell.spell import Parameter, Spell, find_spell

_USAGE = "[OPTIONS] SPELL [--PARAMETER VALUE ...] [-- ARGUMENTS]"


class RunCommand(click.Command):
    """Parses in two steps, since which options there are depends on the spell."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        parser = self.make_parser(ctx)
        parser.allow_interspersed_args = False
        given = with_values(args)
        _, rest, _ = parser.parse_args(list(given))
        if not rest:
            return super().parse_args(ctx, args or ["--help"])
        super().parse_args(ctx, given[: len(given) - len(rest)])
        ctx.obj = rest
        return []

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return [_USAGE]


def _run(**values: Any) -> None:
    context = click.get_current_context()
    if not context.obj:
        raise click.UsageError("missing SPELL: a file, a name (see llmspell spells), or -")
    name, *rest = context.obj
    spell = find_spell(name, find_project().spell_folders)
    command = _spell_command(spell, values)
    command.main(args=rest, prog_name=f"llmspell run {name}", standalone_mode=False)


def _spell_command(spell: Spell, before: dict[str, Any]) -> click.Command:
    """A command for that very spell. Where a parameter has an option's name, the option can only
    stand before the spell's name.
    """
    params = [_option(parameter) for parameter in spell.params.values()]
    taken = {option for param in params for option in param.opts}
    options = [option for option in run_options() if not taken.intersection(option.opts)]

    def run(arguments: tuple[str, ...], **values: Any) -> None:
        context = click.get_current_context()
        given = {
            name: value
            for name, value in values.items()
            if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
        }
        prefix = len(_PREFIX)
        bound = {n[prefix:]: v for n, v in given.items() if n.startswith(_PREFIX)}
        chosen = {n: v for n, v in given.items() if not n.startswith(_PREFIX)}
        run_spell(spell, RunOptions(**(before | chosen)), bound, arguments)

    return _SpellCommand(
        spell.name,
        callback=run,
        params=[*params, click.Argument(["arguments"], nargs=-1), *options],
        help=spell.description or None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


class _SpellCommand(click.Command):
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, with_values(args))

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        own: list[tuple[str, str]] = []
        common: list[tuple[str, str]] = []
        for param in self.get_params(ctx):
            if isinstance(param, click.Argument):
                continue
            if (record := param.get_help_record(ctx)) is not None:
                (own if (param.name or "").startswith(_PREFIX) else common).append(record)
        for title, records in (("Parameters", own), ("Options", common)):
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


_PREFIX = "param_"  # keeps parameters and options of one name apart


def _option(parameter: Parameter) -> click.Option:
    dashed = parameter.name.replace("_", "-")
    name = f"{_PREFIX}{parameter.name}"
    notes = [f"one of {', '.join(map(str, parameter.choices))}"] if parameter.choices else []
    notes += ["required"] if parameter.required else [f"default: {parameter.default}"]
    text = f"{parameter.help} [{'; '.join(notes)}]".strip()
    if parameter.type == "boolean":
        return click.Option([name, f"--{dashed}/--no-{dashed}"], default=None, help=text)
    spellings = dict.fromkeys([f"--{dashed}", f"--{parameter.name}"])
    return click.Option([name, *spellings], metavar=parameter.type.upper(), help=text)


command = RunCommand(
    "run",
    callback=_run,
    params=[*run_options()],
    help="Run a spell: a file, a name, or - for standard input. "
    "`llmspell run SPELL --help` shows its parameters.",
)
