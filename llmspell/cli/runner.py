"""Runs a spell for the command line: output, progress, Ctrl-C, the result."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING

from llmspell.cli.cost_summary import CostSummary
from llmspell.cli.interrupt import interruptible, keep_line_if, set_way_back
from llmspell.cli.logs import Narrator, set_up_logging
from llmspell.cli.options import RunOptions
from llmspell.cli.output import for_people, for_programs, write_line
from llmspell.cli.progress import Progress
from llmspell.cli.reserved_stdout import reserved_stdout
from llmspell.cli.screen import Screen
from llmspell.errors import LlmspellError
from llmspell.middleware.trace import Observer
from llmspell.runtime import Runtime
from llmspell.spell import Spell
from llmspell.values import Value

if TYPE_CHECKING:
    from llmspell.human import Person

Work = Callable[[Runtime, Callable[[str], None]], Awaitable[Value]]
"""Runs, resumes or replays a spell in a runtime, and reports the run's id."""


def run_spell(
    spell: Spell,
    options: RunOptions,
    params: Mapping[str, Value] | None = None,
    arguments: Sequence[str] = (),
    *,
    observers: Sequence[Observer] = (),
) -> None:
    """Run a spell, with additional observers, and print its result."""
    # Whoever piped or typed in the spell cannot answer questions on the same input.
    typed = spell.file == "stdin" and spell.folder is None

    async def work(runtime: Runtime, begun: Callable[[str], None]) -> Value:
        return await runtime.run(spell, params=params, arguments=arguments, begun=begun)

    do_work(work, options, typed=typed, observers=observers)


def do_work(
    work: Work, options: RunOptions, *, typed: bool = False, observers: Sequence[Observer] = ()
) -> None:
    """Set up output, progress and interrupts around the work, and print its result."""
    gc.freeze()
    gc.enable()
    bill = CostSummary(shown=not options.quiet)
    printing = reserved_stdout() if options.json else nullcontext()
    with interruptible(), bill, printing:
        try:
            result = asyncio.run(_do(work, options, observers, bill, typed=typed))
        except asyncio.CancelledError as error:  # Ctrl-C ends in KeyboardInterrupt
            hint = "was it a tool, hook or plugin in Python? --debug shows where"
            raise LlmspellError("the run was cancelled from within", hint=hint) from error
    if options.json:
        write_line(sys.stdout, for_programs(result))
    elif result is not None:
        write_line(sys.stdout, for_people(result))
    bill.show()


async def _do(
    work: Work,
    options: RunOptions,
    more_observers: Sequence[Observer],
    bill: CostSummary,
    *,
    typed: bool,
) -> Value:
    to = sys.stderr if options.json else sys.stdout
    progress = Progress(shown=sys.stderr.isatty() and not options.narrated)
    keep_line_if(lambda: progress.midline)
    screen = Screen(to, progress)
    set_up_logging(options.log_level, debug=options.debug, writer=screen.write_line)
    observers: list[Observer] = [*more_observers, *([Narrator()] if options.narrated else [])]
    if progress.shown and not options.quiet:
        observers.append(progress)

    somebody = not typed and os.isatty(0) and os.isatty(2)
    with progress, screen:
        async with Runtime(
            **options.runtime_arguments(),
            observers=observers,
            output=screen,
            console=screen.console,
            ask=screen.questions if somebody and not options.no_prompt else None,
            person=_person(screen) if somebody else None,
            progress=None if options.quiet else progress.download,
        ) as runtime:
            bill.of(runtime.spent, runtime.spent_before)
            result = await work(runtime, partial(_begun, recorded=runtime.records))
            set_way_back(None)  # the run has ended; only the closing is left
            return result


def _person(screen: Screen) -> Person:
    from llmspell.cli.human_prompts import TerminalPerson

    return TerminalPerson(screen.console, screen.questions)


def _begun(run: str, *, recorded: bool) -> None:
    if recorded:
        set_way_back(f"llmspell resume {run}")
