"""`llmspell run`: the options of every run, and the parameters of the spell as options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise, takewhile
from typing import TYPE_CHECKING, Any

import click

from llmspell.cli.error_report import Misuse
from llmspell.cli.grants import with_values
from llmspell.cli.options import GrantingCommand, RunOptions, run_options
from llmspell.cli.output import harmless
from llmspell.cli.permission_recorder import PermissionRecorder
from llmspell.cli.runner import run_spell
from llmspell.cli.spell_argument import spell_of
from llmspell.config import find_project
from llmspell.errors import ConfigError
from llmspell.parameters import WORDS, Parameter
from llmspell.spell import Spell
from llmspell.values import Value

if TYPE_CHECKING:
    from llmspell.journal.records import RecordedRun

_USAGE = "[OPTIONS] SPELL [--PARAMETER VALUE ...] [-- ARGUMENTS]"
_PREFIX = "param_"  # keeps parameters apart from options of the same name


class RunCommand(click.Command):
    """Parses in two steps, since the options depend on the spell."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        parser = self.make_parser(ctx)
        parser.allow_interspersed_args = False
        given = with_values(args, self.params)
        _, rest, _ = parser.parse_args(list(given))
        own = len(given) - len(rest)
        super().parse_args(ctx, given[:own])
        ctx.obj = args[own:]
        return []

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return [_USAGE]


def _run(**values: Any) -> None:
    rest = click.get_current_context().obj
    if not rest:
        raise Misuse(
            "no spell given",
            hint="give a file, a URL, a name (see: llmspell spells), or - for stdin",
        )
    name, *args = rest
    spell = spell_of(name)
    command = _SpellCommand(spell, as_typed=name, before=values)
    try:
        command.main(args=args, prog_name=command.name, standalone_mode=False)
    except click.UsageError as error:
        error.ctx = click.Context(command, info_name=command.name)
        raise


class _SpellCommand(GrantingCommand):
    """A command for one spell, with its parameters as options.

    Where a parameter has the name of an option, that option can only stand before the spell.
    """

    def __init__(self, spell: Spell, *, as_typed: str, before: dict[str, Any]) -> None:
        params = [_option(parameter) for parameter in spell.params.values()]
        taken = {name for param in params for name in _names(param)}
        options = [option for option in _options() if taken.isdisjoint(_names(option))]
        super().__init__(
            f"llmspell run {as_typed}",
            callback=self._call,
            params=[*params, click.Argument(["arguments"], nargs=-1), *options],
            help=harmless(spell.description) or None,
            context_settings={"help_option_names": ["-h", "--help"]},
        )
        self._spell, self._before = spell, before

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        rest = super().parse_args(ctx, args)
        self._refuse_words(args, ctx.params["arguments"])
        return rest

    def _refuse_words(self, args: Sequence[str], arguments: Sequence[str]) -> None:
        """Refuse `--loud false`, which would mean the opposite. Raises Misuse."""
        flags = {
            name: f"{option.opts[0]} or {option.secondary_opts[0]}"
            for option in self.params
            if option.secondary_opts
            for name in _names(option)
        }
        for flag, word in pairwise(takewhile("--".__ne__, args)):
            if flag in flags and word in arguments and word.lower() in WORDS:
                raise Misuse(
                    f"{flag} {word}: it takes no value",
                    hint=f"write {flags[flag]}, or -- {word} if it is an argument",
                )

    def _call(self, arguments: tuple[str, ...], **values: Any) -> None:
        context = click.get_current_context()
        params: dict[str, Value] = {}
        options = dict(self._before)
        for name, value in values.items():
            if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
                if name.startswith(_PREFIX):
                    parameter = self._spell.params[name.removeprefix(_PREFIX)]
                    given = isinstance(value, tuple)
                    params[parameter.name] = _together(parameter, value) if given else value
                else:
                    options[name] = options[name] + value if isinstance(value, tuple) else value
        try:
            bound = self._spell.bind(params)
        except ConfigError as error:
            error.hint = f"see its parameters with: {self.name} --help"
            raise
        if options.pop("resume_last"):
            _check_alone(params, arguments, options)
            _resume_last(self._spell, RunOptions.of(options))
            return
        spell = replace(self._spell, trusted=False) if options.pop("untrusted") else self._spell
        recorder = PermissionRecorder(spell) if options.pop("record_permissions") else None
        chosen = RunOptions.of(options)
        try:
            run_spell(spell, chosen, bound, arguments, observers=[recorder] if recorder else [])
        finally:
            if recorder:
                recorder.write(quiet=chosen.quiet)

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


def _check_alone(
    params: dict[str, Value], arguments: tuple[str, ...], options: dict[str, Any]
) -> None:
    """Refuse what --resume-last would ignore. Raises Misuse."""
    of_then = {"parameters": params, "arguments": arguments}
    if given := [what for what, value in of_then.items() if value]:
        raise Misuse(
            f"--resume-last uses the {' and '.join(given)} of that run",
            hint="leave them out, or run the spell without --resume-last",
        )
    for name in ("untrusted", "record_permissions"):
        if options[name]:
            flag = f"--{name.replace('_', '-')}"
            hint = f"leave {flag} out: the run goes on as it began"
            raise Misuse(f"--resume-last does not go with {flag}", hint=hint)


def _resume_last(spell: Spell, options: RunOptions) -> None:
    from llmspell.cli.resume_command import resume
    from llmspell.journal.reader import Reader

    with Reader.open(find_project().journal_file) as reader:
        runs = [run for run in reader.runs(spell=spell.name) if _is_run_of(spell, run)]
    if not runs or runs[0].status == "completed":
        last = "has completed" if runs else "was not recorded"
        raise Misuse(f"the last run of {spell.name} {last}", hint="run it without --resume-last")
    resume(runs[0].id, options)


def _is_run_of(spell: Spell, run: RecordedRun) -> bool:
    """Whether a recorded run is of this spell, rather than of another one with the same name.

    A spell without a file, such as one from an address, has only its text to tell.
    """
    if spell.path is None:
        return run.path is None and run.file == spell.file and run.source == spell.source
    return run.path == str(spell.path)


def _options() -> list[click.Option]:
    untrusted = click.Option(
        ["--untrusted"], is_flag=True, help="Treat the spell as untrusted, even if it is yours."
    )
    record = click.Option(
        ["--record-permissions"],
        is_flag=True,
        help="Write the permissions that the run used into the spell.",
    )
    last = click.Option(
        ["--resume-last"], is_flag=True, help="Resume the spell's last run, if it stopped early."
    )
    return [*run_options(), untrusted, record, last]


def _names(option: click.Parameter) -> list[str]:
    return [*option.opts, *option.secondary_opts]


def _option(parameter: Parameter) -> click.Option:
    spellings = dict.fromkeys([parameter.name.replace("_", "-"), parameter.name])
    name = f"{_PREFIX}{parameter.name}"
    notes = [f"one of {', '.join(map(str, parameter.choices))}"] if parameter.choices else []
    notes += ["required"] if parameter.required else [f"default: {_shown(parameter.default)}"]
    text = harmless(f"{parameter.help} [{'; '.join(notes)}]".strip())
    if parameter.type == "boolean":
        flags = [f"--{spelling}/--no-{spelling}" for spelling in spellings]
        return click.Option([name, *flags], default=None, help=text)
    return click.Option(
        [name, *(f"--{spelling}" for spelling in spellings)],
        metavar=parameter.type.upper(),
        help=text,
        multiple=parameter.type == "list",
    )


def _together(parameter: Parameter, texts: tuple[str, ...]) -> Value:
    """Return the list that is given in several parts."""
    items: list[Value] = []
    for text in texts:
        try:
            items += replace(parameter, choices=()).convert(text)
        except ValueError:
            return text  # to be refused with all other problems
    return items


def _shown(default: Value) -> str:
    if default and isinstance(default, str):
        return default
    if isinstance(default, (bool, int, float)):
        return str(default).lower()
    import json

    return json.dumps(default)


command = RunCommand(
    "run",
    callback=_run,
    params=[*_options()],
    help="Run a spell: a file, a name, an https:// URL, or - for standard input. "
    "`llmspell run SPELL --help` shows its parameters.",
)
