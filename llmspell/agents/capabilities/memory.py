from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from llmspell.agents.capabilities.capability import Capability
from llmspell.agents.capabilities.cell import Cell
from llmspell.effects import Effect
from llmspell.tools.tool import FunctionTool, Tool
from llmspell.values import Value

if TYPE_CHECKING:
    from llmspell.agents.agent import Agent


class Memory(Capability):
    """Notes that outlast the conversation and the run.

    Each request shows the newest notes to the model, which adds more with the tool `remember`, and
    searches older ones with `recall`. They are stored as a list of texts in the project's state.
    """

    type = "memory"

    def __init__(
        self,
        scope: str = "memory",
        *,
        shown: int = 20,
        kept: int = 1000,
        name: str | None = None,
    ) -> None:
        """Create the capability.

        Args:
            scope: Scope of the state that has the notes, under the key `notes`. Agents with the
                same scope share their memory.
            shown: How many of the newest notes a request shows.
            kept: How many notes are kept; older ones are dropped.
            name: Its name, if the agent has several.
        """
        if shown < 0 or kept < 1:
            raise ValueError("shown must be at least 0, and kept at least 1")
        self.scope, self.shown, self.kept, self.name = scope, shown, kept, name
        self._notes = Cell(scope, "notes", "a list of texts", _are_notes)

    async def remember(self, effect: Effect, note: str) -> None:
        """Add a note as the newest one."""
        await self._notes.change(
            effect, lambda old: [*(n for n in old or [] if n != note), note][-self.kept :]
        )

    async def recall(self, effect: Effect, words: str = "", most: int = 20) -> list[str]:
        """Return the notes that contain each of the words, newest first."""
        wanted = words.lower().split()
        notes: list[str] = await self._notes.get(effect) or []
        matches = [n for n in reversed(notes) if all(word in n.lower() for word in wanted)]
        return matches[:most]

    async def instructions(self, agent: Agent, effect: Effect) -> str | None:  # noqa: ARG002
        newest = await self.recall(effect, most=self.shown)
        if not newest:
            return None
        return "\n".join(["What you remember, newest first:", *(f"- {n}" for n in newest)])

    def tools(self) -> Iterable[Tool]:
        async def remember(effect: Effect, note: str) -> str:
            """Remember something for good.

            Args:
                effect: The call.
                note: One fact, in a sentence that is understood by itself.
            """
            await self.remember(effect, note)
            return "remembered"

        async def recall(effect: Effect, words: str) -> list[str]:
            """Look for what you remembered.

            Args:
                effect: The call.
                words: Words that it has to have.
            """
            return await self.recall(effect, words)

        return [FunctionTool(each, category="agent", pure=True) for each in (remember, recall)]

    def describe(self) -> dict[str, Value]:
        return {"scope": self.scope, "shown": self.shown, "kept": self.kept}


def _are_notes(value: Value) -> bool:
    return isinstance(value, list) and all(isinstance(note, str) for note in value)
