"""Runs a spell for the command line: output, progress, Ctrl-C, the result."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Mapping, Sequence

from llmspell.cli.interrupt import interruptible
from llmspell.cli.logs import Narrator, set_up_logging
from llmspell.cli.options import RunOptions
from llmspell.cli.output import for_people, for_programs, write_line
from llmspell.cli.progress import Progress
from llmspell.middleware.trace import Observer
from llmspell.runtime import Runtime
from llmspell.spell import Spell
from llmspell.values import Value


def run_spell(
    spell: Spell,
    options: RunOptions,
    params: Mapping[str, Value] | None = None,
    arguments: Sequence[str] = (),
) -> None:
    """Run it and print what it returns."""
    gc.freeze()
    gc.enable()
    with interruptible():
        result = asyncio.run(_run(spell, options, params or {}, arguments))
    if options.json:
        write_line(sys.stdout, for_programs(result))
    elif result is not None:
        write_line(sys.stdout, for_people(result))


async def _run(
    spell: Spell,
    options: RunOptions,
    params: Mapping[str, Value],
    arguments: Sequence[str],
) -> Value:
    to = sys.stderr if options.json else sys.stdout
    progress = Progress(shown=sys.stderr.isatty() and not options.narrated)
    set_up_logging(options.log_level, debug=options.debug, aside=progress.aside)
    observers: list[Observer] = [Narrator()] if options.narrated else []
    if progress.shown and not options.quiet:
        observers.append(progress)

    def output(line: str | bytes) -> None:
        with progress.aside():
            write_line(to, line)

    with progress:
        async with Runtime(
            **options.runtime_arguments(),
            observers=observers,
            output=output,
            progress=None if options.quiet else progress.download,
        ) as runtime:
            return await runtime.run(spell, params=params, arguments=arguments)
