"""What a hook is called with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from llmspell.effect_paths import all_around
from llmspell.effects import Effect
from llmspell.errors import EffectError
from llmspell.hooks.points import Phase
from llmspell.values import Value

if TYPE_CHECKING:
    from llmspell.hooks.results import HookResult

Mark = tuple[int, str]
"""An owner's id, and the path of the effect for which it is at work."""


class ReentrancyGuard(set[Mark]):
    """Owners at work, and where; hooks are not called for effects of their own work."""

    def includes(self, owner: object, path: str) -> bool:
        """Return whether the effect at a path, or one around it, is the owner's own work."""
        who = id(owner)
        return (who, path) in self or any((who, around) in self for around in all_around(path))


class HookCall:
    """The argument of a hook; all hooks of one effect share the object.

    Attributes:
        phase: The current phase of the effect.
        effect: Has `name`, `args`, `path` and `run`. At a point of the life cycle, its name is the
            point's, and its arguments describe what happened.
        result: Set in the phase `after`.
        error: Set in the phase `error`.
        path: The path of the effect in the run.
        guard: Which hooks are at work, here and elsewhere in the run.
    """

    __slots__ = (
        "_beside_count",
        "_hooked",
        "_notes",
        "effect",
        "error",
        "guard",
        "path",
        "phase",
        "result",
    )

    def __init__(self, phase: Phase, effect: Effect, guard: ReentrancyGuard) -> None:
        self.phase, self.path, self.guard = phase, effect.path, guard
        self.effect = self._hooked = effect
        self._beside_count = 0
        self.result: Value = None
        self.error: EffectError | None = None
        self._notes: dict[Any, Any] | None = None

    def effect_beside(self) -> Effect:
        """Return an effect with a path for the next thing that is done beside this one."""
        self._beside_count += 1
        return self.effect.copy_beside(self._beside_count - 1)

    def restore_effect(self) -> None:
        """Switch back to the hooked effect, keeping arguments that a hook has changed."""
        if self.effect is not self._hooked:
            self._hooked.args = self.effect.args
            self.effect = self._hooked

    @property
    def notes(self) -> dict[Any, Any]:
        """Storage for hooks, kept until the later phases of the effect."""
        if self._notes is None:
            self._notes = {}
        return self._notes


class SpellHook:
    """Base of hook functions that belong to a spell: they run again on resume and replay."""

    __slots__ = ()


HookFunction = Callable[[HookCall], "HookResult | Awaitable[HookResult]"]
