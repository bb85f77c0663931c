"""`llmspell providers`: list model providers, or check one."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import click

from llmspell.cli.common import debug_option, is_for_subcommand, json_option, print_json
from llmspell.cli.provider_check import ProviderCheck, check
from llmspell.config import Project, find_project
from llmspell.errors import ConfigError
from llmspell.providers.catalogue import CATALOGUE
from llmspell.providers.default_model import EMBEDDED
from llmspell.providers.endpoints import endpoint
from llmspell.spending.spent import amount

_HEADINGS = ("provider", "protocol", "base URL", "key", "default model")


@click.group("providers", invoke_without_command=True)
@json_option()
@debug_option
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """List model providers: their URLs, and whether their keys are set."""
    if is_for_subcommand(context):
        return
    found = providers(find_project())
    if as_json:
        print_json(found)
        return
    rows = [_row(one) for one in found]
    widths = [max(len(row[n]) for row in [_HEADINGS, *rows]) for n in range(len(_HEADINGS))]
    for row in [_HEADINGS, *rows]:
        cells = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)]
        click.secho("  ".join(cells).rstrip(), bold=row is _HEADINGS)


@command.command("check")
@click.argument("name")
@click.option("--model", metavar="NAME", help="The model to ask; by default, the provider's own.")
@json_option()
@debug_option
def check_provider(name: str, model: str | None, as_json: bool) -> None:
    """Make one small, real request, and report the outcome."""
    found = asyncio.run(check(name, model))
    if as_json:
        print_json(found._asdict())
    else:
        _show(found)


def providers(project: Project) -> list[dict[str, Any]]:
    """Return the providers in the settings, the catalogue and this machine, without their keys."""
    import os

    settings = project.settings.providers
    found = []
    for name in dict.fromkeys([*settings, *CATALOGUE]):
        listed = CATALOGUE.get(name)
        about: dict[str, Any] = {
            "name": name,
            "default_model": listed.default_model if listed else None,
            "in_settings": name in settings,
        }
        try:
            place = endpoint(name, settings, os.environ)
        except ConfigError as error:
            about |= {"protocol": listed and listed.kind, "configured": False}
            about |= {"base_url": None, "key": None, "key_set": False, "problem": error.problems[0]}
        else:
            ready = place.key is not None or place.key_env is None
            about |= {"protocol": place.kind, "configured": ready, "base_url": place.base_url}
            about |= {"key": place.key_env, "key_set": place.key is not None, "problem": None}
        found.append(about)
    return [*found, _embedded()]


def _embedded() -> dict[str, Any]:
    from importlib.util import find_spec

    here = find_spec("xllamacpp") is not None
    return {
        "name": "local",
        "default_model": EMBEDDED.partition("/")[2],
        "in_settings": False,
        "protocol": "openai",
        "configured": here,
        "base_url": None,
        "key": None,
        "key_set": False,
        "problem": None if here else "needs the extra llmspell[local]",
    }


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    key = "not needed"
    if one["problem"]:
        key = one["problem"]
    elif one["key"]:
        key = f"{one['key']}, {'set' if one['key_set'] else 'not set'}"
    where = one["base_url"] or ("this machine" if one["name"] == "local" else "-")
    return one["name"], one["protocol"] or "-", where, key, one["default_model"] or "-"


def _show(found: ProviderCheck) -> None:
    usage = found.usage
    cost = "unknown" if usage.get("usd") is None else amount(usage["usd"])
    click.secho(f"{found.model} answered in {found.seconds:.2f} s", bold=True)
    print(f"  said    {json.dumps(found.text, ensure_ascii=False)}, {found.finish_reason}")
    print(f"  tokens  {usage['input_tokens']:,} in, {usage['output_tokens']:,} out")
    print(f"  cost    {cost}")
