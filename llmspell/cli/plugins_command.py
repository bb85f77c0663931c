"""`llmspell plugins`: list plugins, or show one."""

from __future__ import annotations

import json
from typing import Any

import click

from llmspell.cli.common import debug_option, json_option, print_json
from llmspell.cli.error_report import Misuse
from llmspell.config import find_project
from llmspell.plugins.discovery import PluginInfo, known_plugins
from llmspell.plugins.schema import settings_of
from llmspell.suggestions import did_you_mean


@click.group("plugins")
def command() -> None:
    """List plugins, or show one."""


@command.command("list")
@json_option()
@debug_option
def list_plugins(as_json: bool) -> None:
    """List the project's plugins in start order, then installed ones."""
    found = known_plugins(find_project())
    if as_json:
        print_json([_as_json(one) for one in found])
        return
    width = max((len(one.name) for one in found), default=0)
    for one in found:
        said = one.error.message if one.error else _summary(one)
        print(f"{one.name:<{width}}  {one.standing:<10}  {said}".rstrip())


@command.command("info")
@click.argument("name")
@json_option("Print JSON, with the schema of the settings.")
@debug_option
def info(name: str, as_json: bool) -> None:
    """Show a plugin: what it contributes, and its settings."""
    known = {one.name: one for one in known_plugins(find_project())}
    if name not in known:
        raise _unknown(name, list(known))
    one = known[name]
    if as_json:
        schema = {"schema": settings_of(one.found)} if one.found else {}
        print_json(_as_json(one) | schema)
        return
    click.secho(one.name, bold=True)
    if one.description:
        print(one.description, end="\n\n")
    for what, said in _facts(one):
        print(f"{what + ':':<9} {said}")
    if one.found and (rows := list(_rows(settings_of(one.found)))):
        print("\nsettings")
        for row in rows:
            print(f"  {row}")


def _unknown(name: str, known: list[str]) -> Misuse:
    hint = did_you_mean(name, known, otherwise="list them with: llmspell plugins list")
    return Misuse(f"no plugin named {name!r}", hint=hint)


def _as_json(one: PluginInfo) -> dict[str, Any]:
    package, version = one.package or (None, None)
    return {
        "name": one.name,
        "standing": one.standing,
        "priority": one.entry.priority,
        "required": one.entry.required,
        "module": one.entry.module,
        "package": package,
        "version": version,
        "brings": one.brings,
        "description": one.description,
        "error": one.error.message if one.error else None,
    }


def _facts(one: PluginInfo) -> list[tuple[str, str]]:
    facts: list[tuple[str, str]] = [("standing", one.standing)]
    if one.error:
        facts.append(("problem", one.error.message))
        if one.error.hint:
            facts.append(("hint", one.error.hint))
    if one.listed:
        required = ", required" if one.entry.required else ""
        facts.append(("priority", f"{one.entry.priority}{required}"))
    facts.append(("from", " ".join(one.package or (one.entry.module or "nowhere",))))
    facts.append(("brings", ", ".join(one.brings) or "nothing"))
    return facts


def _summary(one: PluginInfo) -> str:
    return one.description.split("\n\n")[0].replace("\n", " ")


def _rows(schema: dict[str, Any]) -> list[str]:
    rows = []
    for name, field in schema.get("properties", {}).items():
        kind = field.get("type", "any")
        default = f"default: {json.dumps(field.get('default'))}"
        note = "required" if name in schema.get("required", ()) else default
        rows.append(f"{name}  {kind}, {note}  {field.get('description', '')}".rstrip())
    return rows
