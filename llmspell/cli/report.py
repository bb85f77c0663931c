"""How errors reach the person at the terminal, and with which exit code the process ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from llmspell.errors import LlmspellError, SpellRuntimeError, SpellSyntaxError

INTERRUPTED = 130


@contextmanager
def reporting(*, debug: bool) -> Iterator[None]:
    """Show errors as text on stderr and exit; Python's own tracebacks only with `debug`."""
    try:
        yield
    except LlmspellError as error:
        if debug:
            raise
        print(describe(error), file=sys.stderr)
        sys.exit(exit_code(error))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has gone; there is nobody to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if debug:
            raise
        print(f"error: {type(error).__name__}: {error}", file=sys.stderr)
        print("  this is a defect of llmspell; --debug shows where", file=sys.stderr)
        sys.exit(1)


def exit_code(error: LlmspellError) -> int:
    return error.run_exit_code if isinstance(error, SpellRuntimeError) else error.exit_code


def describe(error: LlmspellError) -> str:
    """The error as lines for a person: where, what, the line itself, what to do."""
    place = f"{error.where}: " if error.where else ""
    lines = [f"error: {place}{error.message}"]
    if source := _source_line(error):
        lines.append(f"  | {source}")
    if isinstance(error, SpellRuntimeError) and error.lua_traceback.count("\n"):
        lines += ["Lua traceback (innermost first):", error.lua_traceback.replace("\t", "  ")]
    if error.hint:
        lines.append(f"hint: {error.hint}")
    return "\n".join(lines)


def _source_line(error: LlmspellError) -> str:
    if isinstance(error, SpellSyntaxError) and error.source_line:
        return error.source_line.strip()
    file, _, line = (error.where or "").rpartition(":")
    try:
        return Path(file).read_text("utf-8", "replace").splitlines()[int(line) - 1].strip()
    except (OSError, ValueError, IndexError):
        return ""  # not a file of the spell's: text from the command line, say
