"""What a person sees of a run in progress: one line on a terminal, log lines with --verbose."""

from __future__ import annotations

import logging
import sys
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO

from llmspell.effects import Effect

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.status import Status

log = logging.getLogger("llmspell.run")

_SHOWN = {"agent.run", "model.request", "tool.call"}


def _label(effect: Effect) -> str:
    if effect.name == "tool.call":
        return str(effect.args.get("name"))
    if effect.name == "model.request":
        return str(effect.args.get("model"))
    return effect.name


class Narrator:
    """Logs every agent, model and tool call as it ends."""

    def started(self, effect: Effect) -> None:
        log.debug("%s %s %s", effect.path, effect.name, effect.args)

    def finished(self, effect: Effect, seconds: float, error: BaseException | None) -> None:
        if effect.name in _SHOWN:
            outcome = f"failed: {error}" if error else "done"
            log.info("%s %s %s in %.2f s", effect.name, _label(effect), outcome, seconds)


class Progress:
    """A spinner on stderr that names what is being waited for, and the spell's own output.

    The two share a terminal, so the spinner steps aside while a line is printed. rich is imported
    when there is something to show.
    """

    def __init__(self, to: TextIO) -> None:
        self._to = to
        self._active: list[str] = []
        self._status: Status | None = None
        self._bar: Bar | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._active.clear()
        self._show()

    def started(self, effect: Effect) -> None:
        if effect.name in _SHOWN:
            self._active.append(_label(effect))
            self._show()

    def finished(self, effect: Effect, seconds: float, error: BaseException | None) -> None:  # noqa: ARG002
        if effect.name in _SHOWN and _label(effect) in self._active:
            self._active.remove(_label(effect))
            self._show()

    def print(self, text: str | bytes) -> None:
        """A line of the spell's output."""
        if self._status:
            self._status.stop()
        if isinstance(text, bytes):
            self._to.flush()
            self._to.buffer.write(text + b"\n")
        else:
            self._to.write(f"{text}\n")
        self._to.flush()
        if self._status:
            self._status.start()

    def download(self, done: int, total: int) -> None:
        """The download of the embedded model, in bytes."""
        if not sys.stderr.isatty():
            if done == 0:
                print("fetching the embedded model once …", file=sys.stderr)
            return
        if self._bar is None:
            self._bar = _download_bar()
            self._hide_status()
            self._bar.start()
            self._bar.add_task("fetching the embedded model once", total=total)
        self._bar.update(self._bar.task_ids[0], completed=done)
        if done >= total:
            self._bar.stop()

    def _show(self) -> None:
        if not self._active:
            self._hide_status()
            return
        text = " · ".join(dict.fromkeys(self._active))
        if self._status is None:
            from rich.console import Console

            self._status = Console(stderr=True).status(text)
            self._status.start()
        else:
            self._status.update(text)

    def _hide_status(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None


def _download_bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn()
    return Progress(*columns, console=Console(stderr=True))
