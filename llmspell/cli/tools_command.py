from __future__ import annotations

import json

import click

from llmspell.cli.report import Misuse
from llmspell.errors import UnknownEffect
from llmspell.runtime import Runtime
from llmspell.tools.loading import load_module
from llmspell.tools.tool import Tool


@click.command("tools")
@click.argument("name", required=False)
@click.option("--tools", "modules", multiple=True, metavar="FILE.py", help="More tools.")
@click.option("--category", help="Only those of a category.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, with schemas.")
@click.option("--debug", is_flag=True, help="Python tracebacks of errors.")
def command(
    name: str | None,
    modules: tuple[str, ...],
    category: str | None,
    as_json: bool,
    debug: bool,  # noqa: ARG001 - whoever reports errors looks at it
) -> None:
    """List the tools spells can call, or show one of them."""
    runtime = Runtime(tools=[tool for module in modules for tool in load_module(module)])
    chosen = [_find(runtime, name)] if name else _of_category(runtime, category)
    if as_json:
        print(json.dumps([_as_json(tool) for tool in chosen], indent=2, ensure_ascii=False))
    elif name:
        _show(chosen[0])
    else:
        _list(chosen)


def _find(runtime: Runtime, name: str) -> Tool:
    try:
        return runtime.tools.find(name)
    except UnknownEffect as error:
        hint = error.hint or "list them with: llmspell tools"
        raise Misuse(error.message, hint=hint) from error


def _of_category(runtime: Runtime, category: str | None) -> list[Tool]:
    tools = list(runtime.tools.values())
    chosen = [tool for tool in tools if category in (None, tool.category)]
    if not chosen:
        known = sorted({tool.category for tool in tools})
        raise Misuse(f"no tools of category {category!r}", hint=f"there are {', '.join(known)}")
    return chosen


def _as_json(tool: Tool) -> dict[str, object]:
    return {
        "name": tool.name,
        "category": tool.category,
        "description": tool.description,
        "touches": _touches(tool),
        "schema": tool.schema,
    }


def _touches(tool: Tool) -> dict[str, list[str]] | None:
    """Kinds of permission, each with the parameters that hold the targets; None if not declared."""
    touches: dict[str, list[str]] = {}
    for kind, parameter in tool.touches:
        touches.setdefault(kind, []).append(parameter)
    return touches if tool.declares else None


_VERBS = {
    "read": "reads",
    "write": "writes",
    "net": "reaches",
    "run": "runs",
    "env": "reads the variable",
}


def _in_words(tool: Tool) -> str:
    """What it touches, such as "reads source, writes target"."""
    touches = _touches(tool)
    if touches is None:
        return "trusted code"
    said = [f"{_VERBS[kind]} {' and '.join(names)}" for kind, names in touches.items()]
    return ", ".join(said) or "touches nothing"


def _list(tools: list[Tool]) -> None:
    names = max(len(tool.name) for tool in tools)
    touches = max(len(_in_words(tool)) for tool in tools)
    for category in sorted({tool.category for tool in tools}):
        click.secho(category, bold=True)
        for tool in tools:
            if tool.category == category:
                summary = tool.description.split("\n\n")[0].replace("\n", " ")
                line = f"  {tool.name:<{names}}  {_in_words(tool):<{touches}}  {summary}"
                print(line.rstrip())


def _show(tool: Tool) -> None:
    click.secho(tool.name, bold=True)
    print(tool.description, end="\n\n")
    print(_in_words(tool), end="\n\n" if tool.declares else ": not judged by grants\n\n")
    required = tool.schema.get("required", [])
    for name, field in tool.schema.get("properties", {}).items():
        kind = field.get("type", "any")
        note = "required" if name in required else f"default: {field.get('default', 'nil')}"
        print(f"  {name}  {kind}, {note}")
        if text := field.get("description"):
            print(f"      {text}")
