"""`llmspell export`: write a recorded run to a file, or send it as a trace."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from llmspell.cli.common import debug_option
from llmspell.cli.output import write_line
from llmspell.config import find_project
from llmspell.spending.spent import counted


@click.command("export")
@click.argument("run", default="last")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), required=False)
@click.option("--otel", is_flag=True, help="Send it as an OpenTelemetry trace instead.")
@click.option(
    "--contents", is_flag=True, help="With --otel: include prompts, answers, arguments and results."
)
@debug_option
def command(run: str, file: Path | None, otel: bool, contents: bool) -> None:
    """Write a recorded run to a file, by default RUN.run.

    Import it elsewhere with `llmspell import`. With --otel, it is sent to
    OTEL_EXPORTER_OTLP_ENDPOINT instead.
    """
    from llmspell.journal.reader import Reader
    from llmspell.journal.transfer import export_run

    journal = find_project().journal_file
    with Reader.open(journal) as reader:
        found = reader.run(run)
        if otel:
            from llmspell.journal.telemetry import over_http, send

            number = send(reader, found, over_http(), contents=contents)
            write_line(sys.stderr, f"{counted(number, 'span')} sent")
            return
        file = file or Path(f"{found.id}.run")
        export_run(journal, found, file)
        write_line(sys.stderr, f"written to {file}")
