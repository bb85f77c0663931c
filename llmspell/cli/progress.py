"""What a person sees of a run in progress: one line that names whom it waits for."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from llmspell.cli.logs import subject
from llmspell.effects import Effect

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.status import Status
    from rich.text import Text

DELAY = 0.2  # seconds; what is quicker is not worth a flicker, nor the import of rich
_NAMED = 4


class Progress:
    """A spinner on stderr, and the download of the embedded model.

    Attributes:
        shown: Whether there is a terminal to show it on, and somebody who wants it.
    """

    def __init__(self, *, shown: bool) -> None:
        self.shown = shown
        self._active: Counter[str] = Counter()
        self._timer: asyncio.TimerHandle | None = None
        self._status: Status | None = None
        self._bar: Bar | None = None
        self._drawing = threading.RLock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._active.clear()
        self._update()

    def started(self, effect: Effect) -> None:
        if what := subject(effect):
            self._active[what] += 1
            self._update()

    def finished(self, effect: Effect, seconds: float, error: BaseException | None) -> None:  # noqa: ARG002
        if (what := subject(effect)) and what in self._active:
            self._active -= Counter([what])
            self._update()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Make room for a line of somebody else's on the terminal. Any thread may."""
        if self._status is None:
            yield
            return
        with self._drawing:
            status = self._status
            if status:
                status.stop()
            try:
                yield
            finally:
                if status:
                    status.start()

    def download(self, done: int, total: int) -> None:
        """The download of the embedded model, in bytes."""
        if not self.shown:
            if done == 0:
                print("fetching the embedded model once …", file=sys.stderr)
            return
        with self._drawing:
            if self._bar is None:
                self._hide()
                self._bar = _download_bar()
                self._bar.start()
                self._bar.add_task("fetching the embedded model once", total=total)
            self._bar.update(self._bar.task_ids[0], completed=done)
            if done >= total:
                self._bar.stop()

    def _update(self) -> None:
        if not self._active:
            if self._timer:
                self._timer.cancel()
                self._timer = None
            self._hide()
        elif self._status:
            self._status.update(self._text())
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(DELAY, self._show)

    def _show(self) -> None:
        from rich.console import Console

        self._timer = None
        with self._drawing:
            self._status = Console(stderr=True).status(self._text())
            self._status.start()

    def _hide(self) -> None:
        with self._drawing:
            if self._status:
                self._status.stop()
                self._status = None

    def _text(self) -> Text:
        from rich.text import Text

        names = [name if n == 1 else f"{name} ×{n}" for name, n in self._active.items()]
        more = ["…"] if len(names) > _NAMED else []
        shown = " · ".join(names[:_NAMED] + more)
        return Text(shown, style="dim", no_wrap=True, overflow="ellipsis")


def _download_bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn()
    return Progress(*columns, console=Console(stderr=True))
