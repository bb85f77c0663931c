"""Error reporting: how errors are shown on the terminal, and the exit code of the process."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

import click

from llmspell.cli.interrupt import end_interrupted
from llmspell.cli.output import harmless
from llmspell.errors import (
    ConfigError,
    JournalError,
    LimitExceeded,
    LlmspellError,
    RunSuspended,
    SpellRuntimeError,
)
from llmspell.permissions import printable

FAILED, USAGE = 1, 2

_STUCK_AFTER = 0.2  # seconds


class Misuse(click.UsageError):
    """A usage error with a hint of its own, instead of a reference to --help."""

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


@contextmanager
def reporting(*, debug: bool) -> Iterator[None]:
    """Print errors as text on stderr, and end the process with the matching exit code.

    Python tracebacks appear only with `debug`.
    """
    code = 0
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of our output has gone.
        code = FAILED
    except (KeyboardInterrupt, click.Abort):
        end_interrupted()
    except Exception as error:  # noqa: BLE001 - the last resort
        code = exit_code(error)
        with suppress(OSError):  # of a stderr that cannot be written, the exit code is left
            if debug:
                import traceback

                traceback.print_exc()
            print(describe(error), file=sys.stderr)
    _end(code)


@contextmanager
def telling_damage() -> Iterator[Callable[[JournalError], None]]:
    """Collect errors about damaged runs, and report them after the work on the others is done."""
    found: list[JournalError] = []
    yield found.append
    sys.stdout.flush()
    for error in found[:-1]:
        print(describe(error), file=sys.stderr)
    if found:
        raise found[-1]


def exit_code(error: Exception) -> int:
    if isinstance(error, SpellRuntimeError):
        return error.run_exit_code
    if isinstance(error, (LlmspellError, click.ClickException)):
        return error.exit_code
    return FAILED


def describe(error: Exception) -> str:
    """Format an error for people: where, what, the source line, what to do.

    What a terminal would interpret is escaped: a text may be a stranger's, or a server's.
    """
    return harmless(_described(error))


def _described(error: Exception) -> str:
    if isinstance(error, LlmspellError):
        return _describe(error)
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        return error.format_message()
    if isinstance(error, click.NoSuchOption):
        return f"error: no such option: {error.option_name}\nhint: {_usage_hint(error)}"
    if isinstance(error, click.ClickException):
        message = error.format_message().rstrip(".")
        return f"error: {message[0].lower()}{message[1:]}\nhint: {_usage_hint(error)}"
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename}: " if error.filename else ""
        return f"error: {place}{error.strerror}"
    return (
        f"error: {type(error).__name__}: {error}\n"
        "hint: this is a bug in llmspell; --debug shows where"
    )


def _describe(error: LlmspellError) -> str:
    if isinstance(error, RunSuspended):
        hints = [error.hint, _way_back(error)]
        return "\n".join([f"suspended: {error.message}", *(f"hint: {h}" for h in hints if h)])
    place = f"{error.where}: " if error.where else ""
    said = error.message
    if place and isinstance(error, ConfigError):
        said = said.removeprefix(f"{error.path}: ")  # the place is more precise
    lines = [f"error: {place}{said}"]
    if source := error.source_line or _source_line(error):
        lines.append(f"  | {printable(source.expandtabs(2))}")
    if isinstance(error, SpellRuntimeError) and error.lua_traceback.count("\n"):
        lines += ["Lua traceback (innermost first):", error.lua_traceback.replace("\t", "  ")]
    if error.hint:
        lines.append(f"hint: {error.hint}")
    if error.run and isinstance(error, (LimitExceeded, JournalError)):
        lines.append(f"hint: {_way_back(error)}")
    return "\n".join(lines)


def _way_back(error: LlmspellError) -> str:
    due = " or --due" if isinstance(error, RunSuspended) and error.due else ""
    return f"continue with: llmspell resume {error.run}{due}"


def _source_line(error: LlmspellError) -> str:
    file, _, line = (error.where or "").rpartition(":")
    try:
        return Path(file).read_text("utf-8", "replace").splitlines()[int(line) - 1].strip()
    except (OSError, ValueError, IndexError):
        return ""  # not in a file: text from the command line, for example


def _usage_hint(error: click.ClickException) -> str:
    if isinstance(error, Misuse):
        return error.hint
    if isinstance(error, click.NoSuchOption) and error.possibilities:
        from llmspell.suggestions import similar

        # Without the dashes, which make all short options alike.
        names = {option.lstrip("-"): option for option in error.possibilities}
        if meant := similar(error.option_name.lstrip("-"), names, most=1):
            return f"did you mean {names[meant[0]]}?"
    context = getattr(error, "ctx", None)
    return f"see: {context.command_path if context else 'llmspell'} --help"


def _end(code: int) -> NoReturn:
    """Exit without waiting for tools that block in threads, since nothing can stop those."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join(_STUCK_AFTER)
            if thread.is_alive():
                _flush()
                os._exit(code)
    _flush()
    sys.exit(code)


def _flush() -> None:
    """Flush the standard streams; drop what cannot be written, which would change the exit code."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
