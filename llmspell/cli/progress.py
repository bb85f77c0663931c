"""The progress display: one line that names what a run is waiting for."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from llmspell.cli.logs import subject
from llmspell.effects import Effect

if TYPE_CHECKING:
    from rich.live import Live
    from rich.progress import Progress as Bar
    from rich.text import Text

DELAY = 0.15  # seconds
"""How long output must have paused before the spinner shows.

Anything quicker is not worth a flicker, nor the import of rich; and a line that goes through a pipe
(`| tee log`) may take a moment to reach the same terminal.
"""

_NAMED = 4
_FETCHING = "downloading the embedded model, once only"


class Progress:
    """A spinner on stderr, and the download bar of the embedded model, in one event loop.

    Attributes:
        shown: Whether stderr is a terminal to show it on.
        midline: Whether other output has left a line unfinished, so that there is no room.
    """

    def __init__(self, *, shown: bool) -> None:
        self.shown, self.midline = shown, False
        self._active: Counter[str] = Counter()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._written = 0.0
        self._live: Live | None = None
        self._bar: Bar | None = None
        self._announced = False
        self._paused = False
        self._drawing = threading.RLock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._active.clear()
        self._update()
        if self._bar:
            self._bar.stop()

    def started(self, effect: Effect) -> None:
        if what := subject(effect):
            self._active[what] += 1
            self._update()

    def finished(self, effect: Effect, seconds: float, error: BaseException | None) -> None:  # noqa: ARG002
        if what := subject(effect):
            self._active -= Counter([what])
            self._update()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Hide the spinner while another line is written to the terminal. Safe in any thread."""
        with self._drawing:
            self._hide()
            try:
                yield
            finally:
                self._written = time.monotonic()
                if self._active and not self._timer:
                    self._loop.call_soon_threadsafe(self._update)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Hide the display for a while; the block may await."""
        self._paused = True
        self._update()
        if self._bar:
            self._bar.stop()
        try:
            yield
        finally:
            self._paused, self._written = False, time.monotonic()
            self._update()
            if self._bar:
                self._bar.start()

    def download(self, done: int, total: int) -> None:
        """Show the progress of the download of the embedded model, in bytes."""
        if not self.shown:
            if not self._announced:
                print(f"{_FETCHING} …", file=sys.stderr)
            self._announced = True
            return
        if self._bar is None:
            if done >= total or self._paused or self.midline:
                return
            self._hide()
            self._bar = _download_bar()
            self._bar.start()
            self._bar.add_task(_FETCHING, total=total)
        self._bar.update(self._bar.task_ids[0], completed=done)
        if done >= total:
            self._bar.stop()
            self._bar = None
            self._update()

    def _update(self) -> None:
        if not self._active or self._paused:
            if self._timer:
                self._timer.cancel()
                self._timer = None
            self._hide()
        elif self._live:
            self._live.update(self._spinner())
        elif self._timer is None:
            self._timer = self._loop.call_later(DELAY, self._show)

    def _show(self) -> None:
        with self._drawing:
            self._timer = None
            if self.midline:
                return
            if (pause := self._written + DELAY - time.monotonic()) > 0:
                self._timer = self._loop.call_later(pause, self._show)
            elif self._bar is None:
                self._live = _live(self._spinner())
                self._live.start()

    def _hide(self) -> None:
        with self._drawing:
            if self._live:
                self._live.stop()
                self._live = None

    def _spinner(self) -> Any:
        from rich.spinner import Spinner

        return Spinner("dots", self._text())

    def _text(self) -> Text:
        from rich.text import Text

        names = [name if n == 1 else f"{name} ({n})" for name, n in self._active.items()]
        more = ["…"] if len(names) > _NAMED else []
        return Text(" · ".join(names[:_NAMED] + more), no_wrap=True, overflow="ellipsis")


def _live(spinner: Any) -> Live:
    from rich.console import Console
    from rich.live import Live

    return Live(
        spinner,
        console=Console(stderr=True),
        transient=True,
        refresh_per_second=12.5,
        # Redirect what tools print only if stdout is the same terminal.
        redirect_stdout=sys.stdout.isatty(),
    )


def _download_bar() -> Bar:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn()
    return Progress(*columns, console=Console(stderr=True), transient=True)
