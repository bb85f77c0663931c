"""`llmspell version`: print the version."""

from __future__ import annotations

import click

import llmspell


@click.command("version")
def command() -> None:
    """Print the version."""
    print(llmspell.__version__)
