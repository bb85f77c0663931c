"""The arguments of effects, as long as tasks of the spell wait for their answers."""

from __future__ import annotations

from llmspell.kept import Kept, size_of
from llmspell.lua import messages
from llmspell.values import Value

SMALL = 256  # bytes that count as part of the waiting task, which takes more of Lua's memory


class HeldArguments:
    """Counts large arguments as kept until Lua is told the answer.

    How long the host really needs them depends on timing; when Lua is told does not.

    Attributes:
        tasks: The tasks that wait for an effect with large arguments.
    """

    def __init__(self, kept: Kept) -> None:
        self._kept = kept
        self.tasks: set[int] = set()

    def hold(self, task: int, args: Value) -> None:
        """Count the arguments of the effect that a task requests. Raises LimitExceeded."""
        self.tasks.add(task)
        self._kept.keep((HeldArguments, task), size_of(args))

    def drop(self, task: int) -> None:
        """Give back what a task's arguments took, if it waits for an effect with large ones."""
        if task in self.tasks:
            self.tasks.discard(task)
            self._kept.drop((HeldArguments, task))

    def drop_answered(self, batch: list[bytes]) -> None:
        """Give back what the arguments took of the effects that these messages to Lua answer."""
        for message in batch if self.tasks else ():
            if not messages.is_end(message):
                kind, number = messages.head_of(message)
                if kind == "answer":
                    self.drop(number)
