"""Runs a spell for the command line: output, progress, Ctrl-C, the result."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from llmspell.cli.interrupt import interruptible
from llmspell.cli.options import RunOptions
from llmspell.cli.progress import Narrator, Progress
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
    options.set_up_logging()
    with interruptible():
        result = asyncio.run(_run(spell, options, params or {}, arguments))
    if options.json:
        print(json.dumps(result, ensure_ascii=False, default=_bytes_as_text))
    elif isinstance(result, bytes):
        sys.stdout.flush()
        sys.stdout.buffer.write(result + b"\n")
    elif result is not None:
        pretty = json.dumps(result, ensure_ascii=False, indent=2, default=_bytes_as_text)
        print(result if isinstance(result, str) else pretty)


async def _run(
    spell: Spell,
    options: RunOptions,
    params: Mapping[str, Value],
    arguments: Sequence[str],
) -> Value:
    progress = Progress(to=sys.stderr if options.json else sys.stdout)
    observers: list[Any] = []
    if options.verbose or options.debug:
        observers.append(Narrator())
    elif sys.stderr.isatty() and not options.quiet:
        observers.append(progress)
    with progress:
        async with Runtime(
            **options.runtime_arguments(),
            observers=observers,
            output=progress.print,
            progress=progress.download,
        ) as runtime:
            return await runtime.run(spell, params=params, arguments=arguments)


def _bytes_as_text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    raise TypeError(f"{type(value).__name__} is no JSON")
