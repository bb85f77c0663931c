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
    """Where the texts of a spell and the lines of the log go, around questions and progress.

    A spell may leave a line unfinished. On a terminal nothing else is then put behind it.

    Attributes:
        console: Where a person types.
        questions: Those of the runtime and of spells, which are answered there.
    """

    def __init__(self, to: TextIO, progress: Progress) -> None:
        """Write the texts `to` a stream."""
        self._to, self._progress = to, progress
        self._on_terminal = to.isatty()
        self.console = Console(entered=self._begin_line)
        self.questions = PermissionPrompts(self.console, self._aside)

    def __exit__(self, *_: object) -> None:
        self._end_line()

    def write(self, text: str | bytes, /) -> None:
        """Write a text of the spell, as soon as no question is on the screen."""
        self.questions.after(partial(self._write, text))

    def write_line(self, write: Callable[[], None]) -> None:
        """The same with a line of somebody else's, who writes it."""
        self.questions.after(partial(self._write_line, write))

    @contextmanager
    def _aside(self) -> Iterator[None]:
        """Make room for a question, which may have awaits in it."""
        self._end_line()
        with self._progress.paused():
            yield

    def _end_line(self) -> None:
        """End the line that a spell has left unfinished."""
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
