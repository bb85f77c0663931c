"""`EffectHook`, the base class of hooks for configurable effects."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase

from llmspell.concurrency import Answer
from llmspell.effects import Effect
from llmspell.hooks.hook import Hook, Part, overrides
from llmspell.hooks.hook_call import HookCall
from llmspell.hooks.results import HookResult
from llmspell.registry import plain_name

_POINTS = {"before": "before", "after": "after", "on_error": "error"}


class EffectHook(Hook):
    """A hook whose `before`, `after` and `on_error` are called for the effects it applies to.

    Methods that are not overridden are not registered. They may be async.

    Attributes:
        effects: Names of effects; `*` matches any part.
        only: Names of the tools and models it applies to, with `*`; () means all.
        innermost: Whether it is closer to the effect than all hooks with a priority, so that it
            sees the arguments last and the result first.
        outermost: Whether it is further outside than all of them.
    """

    innermost: bool = False
    outermost: bool = False

    def __init__(
        self, *, effects: str | Iterable[str] = "*", only: str | Iterable[str] = ()
    ) -> None:
        self.effects = (effects,) if isinstance(effects, str) else tuple(effects)
        if not self.effects or not all(self.effects):
            raise ValueError("effects: name at least one, such as tool.call; * matches all")
        self.only = (only,) if isinstance(only, str) else tuple(only)

    def before(self, call: HookCall) -> Answer[HookResult]:
        """Called before the effect."""

    def after(self, call: HookCall) -> Answer[HookResult]:
        """Called after the effect."""

    def on_error(self, call: HookCall) -> Answer[HookResult]:
        """Called when the effect has failed."""

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
    """Return the name of the tool that an effect calls, without a version, or of the model it asks."""
    calls_tool = effect.name == "tool.call"
    name = effect.args.get("name" if calls_tool else "model")
    if not isinstance(name, str):
        return None
    return plain_name(name) if calls_tool else name
