"""What a run writes for people to see: what it prints, and what it logs."""

from __future__ import annotations

from collections.abc import Callable

from llmspell.errors import LimitExceeded

Output = Callable[[str | bytes], None]
"""Gets each line that a spell prints."""


class Written:
    """Passes on what a run prints, and counts that and what it logs, which `output` limits."""

    def __init__(self, output: Output, most: int, around: Written | None = None) -> None:
        """Allow so many bytes; `around` is of the run that started this one."""
        self._output, self._most, self._around = output, most, around
        self._size = 0

    def within(self, most: int) -> Written:
        """For a run that this one starts: what it writes counts here as well."""
        return Written(self._output, most, around=self)

    def print(self, text: str | bytes) -> None:
        """Pass it on. Raises LimitExceeded, and what the output raises."""
        self.count(len(text) + 1)
        self._output(text)

    def count(self, size: int) -> None:
        """Count what is written elsewhere. Raises LimitExceeded."""
        self._size += size
        if self._size > self._most:
            raise LimitExceeded("output limit exceeded", limit="output", value=self._most)
        if self._around:
            self._around.count(size)
