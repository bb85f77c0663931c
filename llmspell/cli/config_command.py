from __future__ import annotations

import json

import click

from llmspell.config import find_project


@click.group("config")
def command() -> None:
    """The settings of the project, and what can be set."""


@command.command("show")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.option("--debug", is_flag=True, help="Python tracebacks of errors.")
def show(as_json: bool, debug: bool) -> None:  # noqa: ARG001 - whoever reports errors looks at it
    """Show the settings that hold here, with defaults, as TOML. What may be a secret is hidden."""
    from llmspell.cli.shown_settings import as_toml, shown

    project = find_project()
    settings = shown(project)
    if as_json:
        print(json.dumps(settings, indent=2, ensure_ascii=False))
        return
    print(f"# {project.file or f'{project.root}, without a file of settings'}")
    print(as_toml(settings), end="")


@command.command("schema")
@click.option("--debug", is_flag=True, help="Python tracebacks of errors.")
def schema(debug: bool) -> None:  # noqa: ARG001 - whoever reports errors looks at it
    """Print the JSON Schema of the settings, with those of every plugin that is known here."""
    from llmspell.plugins.known import known_plugins
    from llmspell.plugins.schema import settings_schema

    plugins = {one.name: one.found for one in known_plugins(find_project()) if one.found}
    print(json.dumps(settings_schema(plugins), indent=2, ensure_ascii=False))
