"""Shares the terminal between a spell's output, the log, questions and the progress display."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import TextIO

from llmspell.cli.output import write_text
from llmspell.cli.permission_prompts import PermissionPrompts
from llmspell.cli.progress import Progress
from llmspell.console import Console


class Screen(AbstractContextManager["Screen"]):
    """Coordinates the output of a spell and the log with questions and the progress display.

    A spell may leave a line unfinished. On a terminal, nothing else is then appended to it.

    Attributes:
        console: Where a person types.
        questions: Prompts of the runtime and of spells, answered on that console.
    """

    def __init__(self, to: TextIO, progress: Progress) -> None:
        """Write a spell's output `to` a stream."""
        self._to, self._progress = to, progress
        self._on_terminal = to.isatty()
        self.console = Console(entered=self._begin_line)
        self.questions = PermissionPrompts(self.console, self._aside)

    def __exit__(self, *_: object) -> None:
        self._end_line()

    def write(self, text: str | bytes, /) -> None:
        """Write output of the spell, once no question is on the screen."""
        self.questions.after(partial(self._write, text))

    def write_line(self, write: Callable[[], None]) -> None:
        """Let `write` write a line of other output, once no question is on the screen."""
        self.questions.after(partial(self._write_line, write))

    @contextmanager
    def _aside(self) -> Iterator[None]:
        """Make room for a question; the block may await."""
        self._end_line()
        with self._progress.paused():
            yield

    def _end_line(self) -> None:
        """End a line that the spell has left unfinished."""
        if self._progress.midline:
            self._begin_line()
            write_text(self._to, "\n")

    def _begin_line(self) -> None:
        self._progress.midline = False

    def _write(self, text: str | bytes) -> None:
        with self._progress.aside():
            write_text(self._to, text)
            if text and self._on_terminal:
                end = "\n" if isinstance(text, str) else b"\n"
                self._progress.midline = text[-1:] != end

    def _write_line(self, write: Callable[[], None]) -> None:
        with self._progress.aside():
            self._end_line()
            write()
