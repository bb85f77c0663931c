"""`llmspell config`: show the settings, or their JSON Schema."""

from __future__ import annotations

import click

from llmspell.cli.common import debug_option, json_option, print_json
from llmspell.config import find_project


@click.group("config")
def command() -> None:
    """Show the project's settings, or their JSON Schema."""


@command.command("show")
@json_option()
@debug_option
def show(as_json: bool) -> None:
    """Show the effective settings, with defaults, as TOML. Possible secrets are hidden."""
    from llmspell.cli.settings_view import as_toml, shown

    project = find_project()
    settings = shown(project)
    if as_json:
        print_json(settings)
        return
    print(f"# {project.file or f'{project.root}, without a settings file'}")
    print(as_toml(settings), end="")


@command.command("schema")
@debug_option
def schema() -> None:
    """Print the JSON Schema of the settings, including those of plugins."""
    from llmspell.plugins.discovery import known_plugins
    from llmspell.plugins.schema import settings_schema

    plugins = {one.name: one.found for one in known_plugins(find_project()) if one.found}
    print_json(settings_schema(plugins))
