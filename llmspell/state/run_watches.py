from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from llmspell.callback_tasks import CallbackTasks
from llmspell.errors import StateError

if TYPE_CHECKING:
    from llmspell.state.watch import Watch

MOST = 16  # watches of one run at a time: each may keep ROOM, twice
LEFT = 30.0  # seconds there are at the end of a run for what changed until then

log = logging.getLogger("llmspell.state")


class RunWatches:
    """The watches of one run, by id. They end with it.

    Attributes:
        callers: What calls the spell with the changes of a watch.
    """

    def __init__(self) -> None:
        self._watches: dict[str, Watch] = {}
        self.callers = CallbackTasks()

    def check_room(self) -> None:
        """Raise StateError when there are as many as there may be."""
        if len(self._watches) >= MOST:
            raise StateError(
                f"the spell has {MOST} watches already",
                hint="stop those it does not need any more: watch:stop()",
            )

    def open(self, id: str, watch: Watch) -> None:  # noqa: A002 - it is the id
        self._watches[id] = watch

    def find(self, id: str) -> Watch | None:  # noqa: A002
        return self._watches.get(id)

    def stop(self, id: str) -> bool:  # noqa: A002
        """See no more changes; whether it did until now. Those seen can still be taken."""
        watch = self._watches.get(id)
        if watch is None or watch.closed:
            return False
        watch.close()
        return True

    def drop(self, id: str) -> None:  # noqa: A002
        """Forget a watch, if it is there."""
        if watch := self._watches.pop(id, None):
            watch.close()

    async def finish(self) -> None:
        """Have the spell called with what changed so far, and with nothing more."""
        for id_ in self.callers.ids:
            self.stop(id_)
        if late := await self.callers.finish(LEFT):
            log.warning("%d watches have not been told all after %g s", late, LEFT)

    async def end(self) -> None:
        """End all, and cancel calls in progress."""
        await self.callers.cancel()
        for watch in self._watches.values():
            watch.close()
