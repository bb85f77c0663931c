"""How a download is shown to whoever waits for it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from llmspell.providers.weights import Progress

_MB = 1_000_000


def download_line(what: str, stream: TextIO | None = None) -> Progress:
    """A callback for `fetch` that keeps one line of `stream` (stderr, unless told) up to date.

    On anything but a terminal it writes one line when the download begins.
    """
    out = stream or sys.stderr
    state = "new"

    def show(done: int, total: int) -> None:
        nonlocal state
        if state == "new":
            state = "shown"
            if not out.isatty():
                out.write(f"downloading {what}, {total // _MB} MB, once\n")
        if out.isatty() and state == "shown":
            # The cursor goes back, so that whatever is written next takes this line's place.
            out.write(f"downloading {what}: {done // _MB:3} of {total // _MB} MB\r")
            if done >= total:
                state = "done"
                out.write("\n")
        out.flush()

    return show
