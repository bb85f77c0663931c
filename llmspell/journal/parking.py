"""Parks a run, that is suspends it, when all it does is wait for times or people."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from llmspell.clock import now
from llmspell.errors import LlmspellError, RunSuspended

_SETTLING = 0.05  # seconds to let other work start before a run is parked


class Parking:
    """The leaves of a run that only wait: sleeps, and questions to people.

    Attributes:
        park: Suspend the run if everything in it sleeps for longer than this, in seconds; None to
            never do so.
    """

    def __init__(
        self, all_wait: Callable[[int], bool], stop: Callable[[LlmspellError], None]
    ) -> None:
        """Prepare.

        Args:
            all_wait: Returns whether nothing else happens in the run while that many leaves wait.
            stop: Stops the run.
        """
        self.park: float | None = None
        self._all_wait, self._stop = all_wait, stop
        self._sleeping: dict[str, float] = {}
        self._asking: dict[str, float | None] = {}
        self._question = ""

    @contextmanager
    def sleep(self, path: str, due: float) -> Iterator[None]:
        """Mark the leaf at a path as sleeping until a time."""
        self._sleeping[path] = due
        self.consider()
        try:
            yield
        finally:
            del self._sleeping[path]

    @contextmanager
    def person(self, path: str, what: str, due: float | None) -> Iterator[None]:
        """Mark the leaf at a path as waiting for a person, who is asked `what`."""
        self._asking[path], self._question = due, what
        self.consider()
        try:
            yield
        finally:
            del self._asking[path]

    def consider(self) -> None:
        """Check soon whether the run can be parked."""
        if self._asking or (self._sleeping and self.park is not None):
            asyncio.get_running_loop().call_later(_SETTLING, self._park)

    def _park(self) -> None:
        """Stop the run if everything in it waits for people or sleeps, and for long enough."""
        sleeping = () if self.park is None else self._sleeping.values()
        waiting = len(sleeping) + len(self._asking)
        if not waiting or not self._all_wait(waiting):
            return
        moment = now()
        if self.park is not None and any(due - moment <= self.park for due in sleeping):
            return
        due = min((d for d in (*sleeping, *self._asking.values()) if d is not None), default=None)
        if self._asking:
            error = RunSuspended(
                f"the run is waiting for a person: {self._question}", reason="person", due=due
            )
            error.hint = "see: llmspell pending"
        else:
            when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(due))
            error = RunSuspended(f"the run sleeps until {when}", reason="sleep", due=due)
        self._stop(error)
