"""`EffectHook`: a hook at effects of one's choice."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase

from llmspell.concurrency import Answer
from llmspell.effects import Effect
from llmspell.hooks.hook import Hook, Part, overrides
from llmspell.hooks.registered_hook import HookCall
from llmspell.hooks.results import HookResult

_POINTS = {"before": "before", "after": "after", "on_error": "error"}


class EffectHook(Hook):
    """A hook whose `before`, `after` and `on_error` are called at the effects that it is for.

    Those you do not override are not registered. They may be async.

    Attributes:
        effects: Names of effects, with `*` for any part.
        only: Names of tools and models, with `*` for any part, that it is for; () is all.
        innermost: Whether it stands closer to the effect than any hook that has a priority: it
            sees the arguments last and the result first.
        outermost: Or whether it stands further outside than those.
    """

    innermost: bool = False
    outermost: bool = False

    def __init__(
        self, *, effects: str | Iterable[str] = "*", only: str | Iterable[str] = ()
    ) -> None:
        self.effects = (effects,) if isinstance(effects, str) else tuple(effects)
        self.only = (only,) if isinstance(only, str) else tuple(only)

    def before(self, call: HookCall) -> Answer[HookResult]:
        """Before the effect."""

    def after(self, call: HookCall) -> Answer[HookResult]:
        """After it."""

    def on_error(self, call: HookCall) -> Answer[HookResult]:
        """When it failed."""

    def parts(self) -> Iterator[Part]:
        yield from super().parts()
        for method, phase in _POINTS.items():
            if overrides(self, method, EffectHook):
                points = tuple(f"{phase}:{pattern}" for pattern in self.effects)
                priority = None
                if self.innermost or self.outermost:
                    first = self.outermost == (phase == "before")
                    priority = math.inf if first else -math.inf
                only = self._is_chosen if self.only else None
                yield Part(method, points, getattr(self, method), priority, only)

    def _is_chosen(self, effect: Effect) -> bool:
        name = subject(effect)
        return name is not None and any(fnmatchcase(name, pattern) for pattern in self.only)


def subject(effect: Effect) -> str | None:
    """The tool that an effect calls, or the model it asks."""
    name = effect.args.get("name" if effect.name == "tool.call" else "model")
    return name if isinstance(name, str) else None
