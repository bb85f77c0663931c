"""Runs a spell for the command line: output, progress, Ctrl-C, the result."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from llmspell.cli.asking import Asking
from llmspell.cli.bill import Bill
from llmspell.cli.interrupt import interruptible
from llmspell.cli.logs import Narrator, set_up_logging
from llmspell.cli.options import RunOptions
from llmspell.cli.output import for_people, for_programs, write_line
from llmspell.cli.progress import Progress
from llmspell.cli.questions import Questions
from llmspell.console import Console
from llmspell.middleware.trace import Observer
from llmspell.runtime import Runtime
from llmspell.spell import Spell
from llmspell.values import Value


def run_spell(
    spell: Spell,
    options: RunOptions,
    params: Mapping[str, Value] | None = None,
    arguments: Sequence[str] = (),
    *,
    observers: Sequence[Observer] = (),
) -> None:
    """Run it, with observers besides those that log or show progress, and print what it returns."""
    gc.freeze()
    gc.enable()
    bill = Bill(shown=not options.quiet)
    with interruptible(), bill:
        result = asyncio.run(_run(spell, options, params or {}, arguments, observers, bill))
    if options.json:
        write_line(sys.stdout, for_programs(result))
    elif result is not None:
        write_line(sys.stdout, for_people(result))
    bill.show()


async def _run(
    spell: Spell,
    options: RunOptions,
    params: Mapping[str, Value],
    arguments: Sequence[str],
    more_observers: Sequence[Observer],
    bill: Bill,
) -> Value:
    to = sys.stderr if options.json else sys.stdout
    progress = Progress(shown=sys.stderr.isatty() and not options.narrated)
    console = Console()
    questions = Questions(console, progress.paused)

    def write(line: Callable[[], None]) -> None:
        def beside_progress() -> None:
            with progress.aside():
                line()

        questions.after(beside_progress)

    set_up_logging(options.log_level, debug=options.debug, writer=write)
    observers: list[Observer] = [*more_observers, *([Narrator()] if options.narrated else [])]
    if progress.shown and not options.quiet:
        observers.append(progress)

    with progress:
        async with Runtime(
            **options.runtime_arguments(),
            observers=observers,
            output=lambda line: write(partial(write_line, to, line)),
            console=console,
            ask=questions if _may_ask(spell, options) else None,
            person=Asking(console, questions) if _somebody_is_there(spell) else None,
            progress=None if options.quiet else progress.download,
        ) as runtime:
            bill.of(runtime.spent)
            return await runtime.run(spell, params=params, arguments=arguments)


def _may_ask(spell: Spell, options: RunOptions) -> bool:
    """Whether what is not granted may be asked for."""
    return not options.no_prompt and _somebody_is_there(spell)


def _somebody_is_there(spell: Spell) -> bool:
    """Whether somebody can answer; not one who has just typed or piped in the spell."""
    typed = spell.file == "stdin" and spell.folder is None
    return not typed and os.isatty(0) and os.isatty(2)
