"""`llmspell metrics`: the metrics of this project."""

from __future__ import annotations

import sys

import click

from llmspell.cli.common import debug_option
from llmspell.cli.output import write_line
from llmspell.config import find_project
from llmspell.errors import LlmspellError
from llmspell.metrics.exposition import exposition
from llmspell.metrics.metrics_file import MetricsFile

_NONE = """no metrics yet; to collect them, add to llmspell.toml:

[[middleware]]
name = "metrics\""""


@click.command("metrics")
@click.option("--clear", is_flag=True, help="Reset the metrics and print nothing.")
@debug_option
def command(clear: bool) -> None:
    """Print the project's metrics in the Prometheus text format.

    The middleware `metrics` measures effects, models, hooks and events. Each run adds its figures
    when it ends.
    """
    kept = MetricsFile(find_project().metrics_file)
    try:
        if clear:
            kept.clear()
            return
        values = kept.read()
    except (OSError, ValueError) as error:
        raise LlmspellError(
            f"the metrics cannot be read: {error}", hint="reset them with: llmspell metrics --clear"
        ) from error
    if values:
        write_line(sys.stdout, exposition(values).rstrip())
    else:
        click.echo(_NONE, err=True)
