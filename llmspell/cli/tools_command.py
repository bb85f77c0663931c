"""`llmspell tools`: list the tools that spells can call, or show one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection

import click

from llmspell.cli.common import debug_option, json_option, print_json
from llmspell.cli.error_report import Misuse
from llmspell.errors import UnknownEffect
from llmspell.runtime import Runtime
from llmspell.signature import type_in_words
from llmspell.tools.loading import load_module
from llmspell.tools.registry import Tools
from llmspell.tools.tool import Tool
from llmspell.values import Value


@click.command("tools")
@click.argument("name", required=False)
@click.option(
    "--tools",
    "modules",
    multiple=True,
    metavar="FILE.py",
    help="Python file or module with more tools.",
)
@click.option("--category", metavar="NAME", help="List only tools of this category.")
@click.option("--tag", metavar="NAME", help="List only tools with this tag.")
@click.option(
    "--search", metavar="TEXT", help="List only tools that contain every word; best matches first."
)
@json_option("Print JSON, with schemas.")
@debug_option
def command(
    name: str | None,
    modules: tuple[str, ...],
    category: str | None,
    tag: str | None,
    search: str | None,
    as_json: bool,
) -> None:
    """List the tools that spells can call, or show one."""
    tools = asyncio.run(_tools([tool for module in modules for tool in load_module(module)]))
    chosen = [_find(tools, name)] if name else _choose(tools, category, tag, search)
    if as_json:
        print_json([tool.describe() for tool in chosen])
    elif name:
        _show(chosen[0], tools.versions(chosen[0].name))
    else:
        _list(chosen if search else sorted(chosen, key=lambda tool: tool.category))


async def _tools(more: list[Tool]) -> Tools:
    """Return all tools; those of plugins are registered once the plugins have started."""
    async with Runtime(tools=more) as runtime:
        return runtime.tools


def _find(tools: Tools, name: str) -> Tool:
    try:
        return tools.find(name)
    except UnknownEffect as error:
        hint = error.hint or "list them with: llmspell tools"
        raise Misuse(error.message, hint=hint) from error


def _choose(tools: Tools, category: str | None, tag: str | None, search: str | None) -> list[Tool]:
    _check_known("category", category, tools.by_category())
    _check_known("tag", tag, tools.by_tag())
    chosen = tools.search(search or "", category=category, tag=tag)
    if not chosen:
        raise Misuse("no tool matches all of these options", hint="list them with: llmspell tools")
    return chosen


def _check_known(what: str, wanted: str | None, known: Collection[str]) -> None:
    if wanted is not None and wanted not in known:
        hint = f"available: {', '.join(known)}" if known else f"no tool has a {what}"
        raise Misuse(f"no tool has the {what} {wanted!r}", hint=hint)


_VERBS = {
    "read": "reads",
    "write": "writes",
    "net": "reaches",
    "run": "runs",
    "env": "reads the variable",
}


def _in_words(tool: Tool) -> str:
    """Describe what a tool touches, such as "reads source, writes target"."""
    touches = tool.summary()["touches"]
    if touches is None:
        return "trusted code"
    said = [f"{_VERBS[kind]} {' and '.join(names)}" for kind, names in touches.items()]
    return ", ".join(said) or "touches nothing"


def _list(tools: list[Tool]) -> None:
    names = max(len(tool.name) for tool in tools)
    touches = max(len(_in_words(tool)) for tool in tools)
    for category in dict.fromkeys(tool.category for tool in tools):
        click.secho(category, bold=True)
        for tool in tools:
            if tool.category == category:
                summary = tool.description.split("\n\n")[0].replace("\n", " ")
                line = f"  {tool.name:<{names}}  {_in_words(tool):<{touches}}  {summary}"
                print(line.rstrip())


def _show(tool: Tool, versions: list[str]) -> None:
    click.secho(tool.name, bold=True)
    print(tool.description, end="\n\n")
    if len(versions) > 1:
        print(f"version {tool.version} of {', '.join(versions)}", end="\n\n")
    if tool.tags:
        print(f"tags: {', '.join(tool.tags)}", end="\n\n")
    print(_in_words(tool), end="\n\n" if tool.declares else ": not limited by grants\n\n")
    required = tool.schema.get("required", [])
    for name, field in tool.schema.get("properties", {}).items():
        kind = type_in_words(field, tool.schema.get("$defs", {}))
        note = "required" if name in required else f"default: {_in_lua(field.get('default'))}"
        print(f"  {name}  {kind}, {note}")
        if text := field.get("description"):
            print(f"      {text}")


def _in_lua(default: Value) -> str:
    return "nil" if default is None else json.dumps(default, ensure_ascii=False)
