"""Which spells have their Lua state in a process of its own."""

from __future__ import annotations

from llmspell.frozen import Frozen
from llmspell.spell import Spell


class Isolation(Frozen):
    """A choice for all spells of a run.

    Attributes:
        chosen: Whether every spell is isolated; None isolates those that are not the user's own.
    """

    chosen: bool | None

    def covers(self, spell: Spell) -> bool:
        """Return whether a spell is isolated."""
        return not spell.trusted if self.chosen is None else self.chosen
