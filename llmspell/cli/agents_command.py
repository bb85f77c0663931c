"""`llmspell agents`: list agent templates, or show one."""

from __future__ import annotations

import click

from llmspell.agents.templates import SHIPPED, Template, Templates
from llmspell.cli.common import debug_option, json_option, print_json
from llmspell.cli.error_report import Misuse
from llmspell.config import find_project
from llmspell.errors import LlmspellError, UnknownEffect
from llmspell.permissions import printable


@click.command("agents")
@click.argument("name", required=False)
@json_option()
@debug_option
def command(
    name: str | None,
    as_json: bool,
) -> None:
    """List agent templates, the project's and the shipped ones, or show one.

    A spell creates an agent from a template with Agent.from("NAME").
    """
    templates = Templates([find_project().root / "agents"])
    if name is not None:
        _show(_find(templates, name), as_json)
    elif as_json:
        print_json([_about(t) for t in templates.all().values()])
    else:
        _list(templates)


def _find(templates: Templates, name: str) -> Template:
    try:
        return templates.find(name)
    except UnknownEffect as error:
        hint = error.hint or "list them with: llmspell agents"
        raise Misuse(error.message, hint=hint) from error


def _list(templates: Templates) -> None:
    known = templates.all()
    width = max(map(len, known))
    for title, shipped in (("project", False), ("shipped", True)):
        found = [t for t in known.values() if (t.file.parent == SHIPPED) is shipped]
        if found:
            click.secho(title, bold=True)
        for template in found:
            name, description = printable(template.name), printable(_description(template))
            print(f"  {name:<{width}}  {description}".rstrip())


def _description(template: Template) -> str:
    try:
        return template.description
    except LlmspellError as error:
        return f"({error})"


def _about(template: Template) -> dict[str, str]:
    return {
        "name": template.name,
        "file": str(template.file),
        "description": _description(template),
    }


def _show(template: Template, as_json: bool) -> None:
    if as_json:
        options = {} if template.is_lua else {"options": template.options()}
        print_json(_about(template) | options)
    else:
        print(template.source.decode("utf-8", "replace"), end="")
