"""`llmspell check`: problems in spells and the permissions they request, without running them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import click

from llmspell.approvals import check_rules
from llmspell.cli.common import debug_option, json_option, print_json
from llmspell.cli.error_report import Misuse, describe, exit_code
from llmspell.cli.interrupt import interruptible
from llmspell.cli.spell_argument import spell_of
from llmspell.components import all_bridges
from llmspell.config import Project, find_project
from llmspell.errors import ConfigError, LlmspellError, SpellSyntaxError
from llmspell.isolation.choice import Isolation
from llmspell.limits import units
from llmspell.parameters import Parameter
from llmspell.permissions import NOTHING, Grants, flags, in_words, printable
from llmspell.spell import Spell, parse_spell
from llmspell.spell_download import is_address
from llmspell.spell_lookup import find_file, named_spells, shipped_spells


@dataclass
class _Checked:
    """The findings about one spell; `spell` is None when it could not be read."""

    name: str
    spell: Spell | None = None
    grants: Grants = NOTHING
    problems: list[LlmspellError] = field(default_factory=list)


@click.command("check")
@click.argument("spells", nargs=-1)
@json_option()
@debug_option
def command(
    spells: tuple[str, ...],
    as_json: bool,
) -> None:
    """Check spells without running them: those given, or all of the project.

    Shows problems, the parameters of each spell, and the permissions they ask for. The exit
    code is that of the first problem.
    """
    project = find_project()
    with interruptible():  # Lua's compiler may take long
        checked = [_check(name, project) for name in spells or _of(project)]
    if as_json:
        shown = [_as_json(one, project) for one in checked]
        print_json(shown)
    else:
        for one in checked:
            _show(one, project)
    sys.stdout.flush()
    if problems := [problem for one in checked for problem in one.problems]:
        sys.exit(exit_code(problems[0]))


def _of(project: Project) -> list[str]:
    """Return the files of the project's own named spells."""
    shipped = shipped_spells()
    own = [str(path) for path in named_spells(project).values() if path not in shipped]
    if not own:
        raise Misuse("no spell given, and the project has none in spells/", hint="name a file")
    return sorted(own)


def _check(name: str, project: Project) -> _Checked:
    checked = _Checked(name)
    try:
        spell = checked.spell = spell_of(name)
        checked.grants = Grants.from_lists(spell.permissions)
    except ConfigError as error:  # in the front matter; the Lua can still be checked
        checked.problems.append(error)
        if name == "-" or is_address(name):
            return checked
        file = find_file(name, project)
        spell = parse_spell(file.read_bytes(), name=name, file=str(file), front=b"")
    except LlmspellError as error:
        checked.problems.append(error)
        return checked
    checked.problems += [*_wrong_rules(spell, project), *_syntax_errors(spell, project)]
    return checked


def _wrong_rules(spell: Spell, project: Project) -> list[ConfigError]:
    if not spell.approve or project.settings.plugins:  # which may bring effects once they start
        return []
    try:
        check_rules(spell.approve, all_bridges(()), spell.file)
    except ConfigError as error:
        return [error]
    return []


def _syntax_errors(spell: Spell, project: Project) -> list[SpellSyntaxError]:
    from llmspell.lua.failures import syntax_error
    from llmspell.lua.image import syntax_problem

    memory = project.settings.limits.memory
    problem = syntax_problem(spell.source, spell.chunk_name, memory=memory)
    if problem is None:
        return []
    error = syntax_error(problem)
    error.where = error.where or spell.file
    error.source_line = spell.line_at(error.where)
    return [error]


def _show(checked: _Checked, project: Project) -> None:
    spell = checked.spell
    if spell is not None:
        click.secho(spell.file, bold=True)
        for line in _about(spell, checked.grants, project):
            print(f"  {printable(line)}")  # the text may be a stranger's
    sys.stdout.flush()
    for problem in checked.problems:
        for line in describe(problem).split("\n"):
            print(printable(line), file=sys.stderr)


def _about(spell: Spell, grants: Grants, project: Project) -> Iterator[str]:
    yield from spell.description.splitlines()
    owner = "yours" if spell.trusted else "a stranger's"
    isolated = Isolation(project.settings.isolate).covers(spell)
    place = "in a separate process" if isolated else "in this process"
    yield f"{owner}, run {place}"
    if spell.params:
        yield "parameters:"
        width = max(map(len, spell.params))
        for parameter in spell.params.values():
            yield f"  {parameter.name:<{width}}  {_parameter(parameter)}"
    if grants:
        yield "asks to:"
        yield from (f"  {words}" for words in in_words(grants))
        yield f"granted with: {' '.join(flags(grants))}"
    else:
        yield "asks for no permission"
    for name, value in spell.limits.items():
        yield f"limits {name} to {units()[name].shown(value)}"


def _parameter(parameter: Parameter) -> str:
    notes = [
        parameter.type,
        "required" if parameter.required else f"default: {parameter.default!r}",
    ]
    if parameter.choices:
        notes.append(f"one of {', '.join(map(str, parameter.choices))}")
    return f"{', '.join(notes)}  {parameter.help}".rstrip()


def _as_json(checked: _Checked, project: Project) -> dict[str, Any]:
    spell = checked.spell
    shown: dict[str, Any] = {"spell": checked.name, "ok": not checked.problems}
    if spell is not None:
        shown |= {
            "name": spell.name,
            "file": spell.file,
            "description": spell.description,
            "own": spell.trusted,
            "isolated": Isolation(project.settings.isolate).covers(spell),
            "params": {name: _param_as_json(param) for name, param in spell.params.items()},
            "permissions": checked.grants.as_lists(),
            "flags": flags(checked.grants),
            "limits": dict(spell.limits),
        }
    shown["problems"] = [
        {"code": p.code, "message": p.message, "where": p.where, "hint": p.hint}
        for p in checked.problems
    ]
    return shown


def _param_as_json(parameter: Parameter) -> dict[str, Any]:
    shown = {"type": parameter.type, "help": parameter.help, "required": parameter.required}
    if not parameter.required:
        shown["default"] = parameter.default
    if parameter.choices:
        shown["choices"] = list(parameter.choices)
    return shown
