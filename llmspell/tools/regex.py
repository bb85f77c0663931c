"""Regular expressions that cannot hang the host.

Python's matcher holds the GIL and has no timeout, and some patterns backtrack for hours. So it
runs in a separate process, which is killed when its time is up.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from threading import Timer
from typing import Any, NamedTuple, Self

from llmspell.errors import ToolError

_WORKER = Path(__file__).with_name("regex_worker.py")


class Match(NamedTuple):
    """A match.

    Attributes:
        text: Index of the text it was found in.
        spans: Start and end of the match and of each group, in characters; -1 and -1 for a group
            that did not participate.
    """

    text: int
    spans: list[list[int]]


class Matcher:
    r"""A process that matches one pattern, for at most `seconds` between entering and leaving.

        with Matcher(r"\d+") as digits:
            digits.find(["a1", "b22"])

    Raises:
        ToolError: On entering, when the pattern is not valid.

    Attributes:
        names: Maps the names of groups to their numbers.
    """

    def __init__(self, pattern: str, *, ignore_case: bool = False, seconds: float = 5) -> None:
        self.pattern = pattern
        self.seconds = seconds
        self.names: dict[str, int] = {}
        self._flags = re.MULTILINE | (re.IGNORECASE if ignore_case else 0)
        self._timed_out = False

    def __enter__(self) -> Self:
        # -I and -S: isolated from the environment and installed packages, and quick to start.
        self._process = subprocess.Popen(  # noqa: S603 - it is our own program
            [sys.executable, "-I", "-S", str(_WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="ascii",
        )
        self._timer = Timer(self.seconds, self._stop)
        self._timer.daemon = True
        self._timer.start()
        try:
            setup = {
                "pattern": self.pattern,
                "flags": self._flags,
                "seconds": int(self.seconds) + 1,
            }
            self.names = self._ask(setup)["names"]
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self._process.kill()
        self._process.communicate()

    def find(
        self, texts: list[str], *, each: int | None = None, limit: int = 10_000
    ) -> list[Match]:
        """Return matches in the texts: at most `each` per text, and `limit` in total.

        Raises:
            ToolError: The time is up, or the pattern needs too much memory.
        """
        job = {"texts": texts, "each": each, "limit": limit, "size": 10_000_000}
        return [Match(text, spans) for text, spans in self._ask(job)["matches"]]

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None  # noqa: S101, PT018 - both are pipes
        try:
            stdin.write(json.dumps(question) + "\n")
            stdin.flush()
            line = stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line.endswith("\n"):
            raise self._gone()
        answer: dict[str, Any] = json.loads(line)
        if answer.get("error"):
            raise ToolError(
                f"the pattern {self.pattern!r} cannot be used: {answer['error']}",
                hint="patterns are Python's regular expressions",
                details={"pattern": self.pattern},
            )
        return answer

    def _gone(self) -> ToolError:
        if self._timed_out:
            reason = f"took longer than {self.seconds:g} s"
        else:
            reason = "needs too much memory"
        return ToolError(
            f"the pattern {self.pattern!r} {reason}",
            hint="avoid nested repetition such as (a+)+, or match in shorter texts",
            details={"pattern": self.pattern, "seconds": self.seconds},
        )

    def _stop(self) -> None:
        self._timed_out = True
        self._process.kill()
