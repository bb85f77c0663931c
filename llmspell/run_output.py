"""The output of a run: what it prints and logs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Protocol, TextIO

from llmspell.errors import LimitExceeded
from llmspell.values import as_bytes, size_in_bytes, text_or_bytes

Text = str | bytes
"""Text that a spell writes; bytes if it is not valid UTF-8."""


class TextWriter(Protocol):
    """Receives text as the spell writes it, line ends included."""

    def write(self, text: Text, /) -> object: ...


Output = Callable[[Text], None] | TextWriter
"""Receives each printed line, without its end; an object with `write` receives each piece."""


class StandardOutput:
    """Writes to the current `sys.stdout`, like `print`: to nowhere if there is none."""

    def write(self, text: Text, /) -> None:
        out: TextIO | None = sys.stdout
        if out is None:
            return
        if isinstance(text, bytes):
            binary = getattr(out, "buffer", None)
            if binary is not None:
                out.flush()
                binary.write(text)
                binary.flush()
                return
            text = text.decode(errors="replace")  # a notebook's, or a StringIO
        out.write(text)
        out.flush()


class RunOutput:
    """Forwards what a run prints, and enforces the limit `output` on what it prints and logs."""

    def __init__(self, output: Output, limit: int, parent: RunOutput | None = None) -> None:
        """Allow at most `limit` bytes; `parent` is the output of the parent run."""
        self._output = output if hasattr(output, "write") else _Lines(output)
        self._limit, self._parent = limit, parent
        self._size = 0

    def within(self, limit: int) -> RunOutput:
        """Return the output of a child run; what it writes counts here as well."""
        return RunOutput(self._output, limit, parent=self)

    def print(self, text: Text) -> None:
        """Forward a text. Raises LimitExceeded, and what the output raises."""
        self.count(size_in_bytes(text))
        self._output.write(text)

    def count(self, size: int) -> None:
        """Count bytes written elsewhere. Raises LimitExceeded."""
        self._size += size
        if self._size > self._limit:
            raise LimitExceeded("output limit exceeded", limit="output", value=self._limit)
        if self._parent:
            self._parent.count(size)

    async def end_run(self, run: object) -> None:  # noqa: ARG002 - the interface of services
        """Flush an unfinished last line."""
        if self._parent is None and isinstance(self._output, _Lines):
            self._output.end()


class _Lines:
    """Splits text into lines. Text printed at once stays together, even with line ends in it."""

    def __init__(self, output: Callable[[Text], None]) -> None:
        self._output = output
        self._begun: list[bytes] = []

    def write(self, text: Text, /) -> None:
        data = as_bytes(text)
        self._begun.append(data)
        if b"\n" in data:
            line, _, rest = b"".join(self._begun).rpartition(b"\n")
            self._begun = [rest] if rest else []
            self._output(text_or_bytes(line))

    def end(self) -> None:
        """Flush the unfinished line, if there is one."""
        if any(self._begun):
            self.write("\n")
