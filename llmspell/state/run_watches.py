from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from llmspell.callback_tasks import CallbackTasks
from llmspell.concurrency import settled
from llmspell.errors import StateError

if TYPE_CHECKING:
    from llmspell.state.store import Store
    from llmspell.state.watch import Watch

MAX_WATCHES = 16  # concurrent watches of one run: each may hold ROOM bytes, twice
FINISH_TIMEOUT = 30.0  # seconds to deliver remaining changes at the end of a run

log = logging.getLogger("llmspell.state")


def id_of(path: str) -> str:
    """Return the id of the watch that the effect at a path opens."""
    return f"watch-{path}"


class RunWatches:
    """The watches of one run by id; they end with the run.

    Attributes:
        callers: The tasks that call the spell with the changes of watches.
    """

    def __init__(self) -> None:
        self._watches: dict[str, Watch] = {}
        self._opening = 0
        self.callers = CallbackTasks()

    async def open(self, id: str, store: Store, scope: str, pattern: str) -> None:  # noqa: A002 - it is the id
        """Watch a store. Raises StateError if the run has as many watches as allowed."""
        if len(self._watches) + self._opening >= MAX_WATCHES:
            raise StateError(
                f"the spell already has {MAX_WATCHES} watches",
                hint="stop those it no longer needs: watch:stop()",
            )
        self._opening += 1
        try:
            self._watches[id] = await settled(store.watch(scope, pattern))
        finally:
            self._opening -= 1

    def find(self, id: str) -> Watch | None:  # noqa: A002
        return self._watches.get(id)

    def stop(self, id: str) -> bool:  # noqa: A002
        """Stop a watch; return whether it was active.

        Its caller still gets the changes it has seen; without one nobody takes them any more.
        """
        watch = self._watches.get(id)
        if watch is None or watch.closed:
            return False
        watch.close()
        if id not in self.callers.ids:
            self.drop(id)
        return True

    def end_opened_at(self, path: str) -> None:
        """End the watch that the effect at a path has opened, and its call in progress."""
        self.drop(id_of(path))
        self.callers.stop(id_of(path))

    def drop(self, id: str) -> None:  # noqa: A002
        """Close and remove a watch, if it exists."""
        if watch := self._watches.pop(id, None):
            watch.close()

    async def finish(self) -> None:
        """Deliver the changes so far to the spell, and no later ones."""
        for id_ in self.callers.ids:
            self.stop(id_)
        if late := await self.callers.finish(FINISH_TIMEOUT):
            log.warning("%d watches have not received all changes after %g s", late, FINISH_TIMEOUT)

    async def end(self) -> None:
        """End all watches, and cancel calls in progress."""
        await self.callers.cancel()
        for watch in self._watches.values():
            watch.close()
