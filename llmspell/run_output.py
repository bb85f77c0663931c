"""What a run writes for people to see: what it prints, and what it logs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Protocol, runtime_checkable

from llmspell.errors import LimitExceeded
from llmspell.values import as_bytes, text_or_bytes

Text = str | bytes
"""What a spell writes: bytes where that is no UTF-8."""


@runtime_checkable
class TextWriter(Protocol):
    """Gets what a spell writes at once, line ends included."""

    def write(self, text: Text, /) -> object: ...


Output = Callable[[Text], None] | TextWriter
"""Gets each line that a spell prints, without its end; or, with a method `write`, each piece."""


class StandardOutput:
    """Writes to stdout, whatever that is at the moment."""

    def write(self, text: Text, /) -> None:
        if isinstance(text, str):
            sys.stdout.write(text)
            sys.stdout.flush()
        else:
            sys.stdout.flush()
            sys.stdout.buffer.write(text)
            sys.stdout.buffer.flush()


class RunOutput:
    """Passes on what a run prints, and counts that and what it logs, which `output` limits."""

    def __init__(self, output: Output, most: int, around: RunOutput | None = None) -> None:
        """Allow so many bytes; `around` is of the run that started this one."""
        self._output = output if isinstance(output, TextWriter) else _Lines(output)
        self._most, self._around = most, around
        self._size = 0

    def within(self, most: int) -> RunOutput:
        """For a run that this one starts: what it writes counts here as well."""
        return RunOutput(self._output, most, around=self)

    def print(self, text: Text) -> None:
        """Pass it on. Raises LimitExceeded, and what the output raises."""
        self.count(len(text))
        self._output.write(text)

    def count(self, size: int) -> None:
        """Count what is written elsewhere. Raises LimitExceeded."""
        self._size += size
        if self._size > self._most:
            raise LimitExceeded("output limit exceeded", limit="output", value=self._most)
        if self._around:
            self._around.count(size)

    async def end_run(self, run: object) -> None:  # noqa: ARG002 - as of all services
        """The last line ends with the run."""
        if self._around is None and isinstance(self._output, _Lines):
            self._output.end()


class _Lines:
    """Makes lines of pieces. What is printed in one piece stays so, whatever is in it."""

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
        """Whatever has begun is a line."""
        if any(self._begun):
            self.write("\n")
