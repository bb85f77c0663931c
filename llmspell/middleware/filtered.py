from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from fnmatch import fnmatchcase

from llmspell.effect_patterns import PatternCheck, SettingsPlace, check_patterns
from llmspell.effects import Handler, Perform, Run


class FilteredMiddleware(ABC):
    """Base class of middleware that applies to some effects only.

    Attributes:
        name: Unique among the middleware of a runtime.
        effects: Names of effects, where `*` matches any part: `tool.call`, `agent.*`.
        before: The name of the middleware to place it directly outside of; or
        after: the name of the middleware to place it directly inside of.
        place: Where the settings name it, if they do.
    """

    place: SettingsPlace | None = None

    def __init__(
        self,
        name: str,
        *,
        effects: str | Iterable[str] = "*",
        before: str | None = None,
        after: str | None = None,
    ) -> None:
        self.name = name
        self.effects = (effects,) if isinstance(effects, str) else tuple(effects)
        self.before, self.after = before, after

    def wrap(self, handler: Handler, call: Perform, run: Run) -> Perform:  # noqa: ARG002
        if any(fnmatchcase(handler.name, pattern) for pattern in self.effects):
            return self.around(handler, call)
        return call

    @abstractmethod
    def around(self, handler: Handler, call: Perform) -> Perform:
        """Return a function around `call` for an effect that it applies to."""


def check_effects(middleware: Iterable[object], check: PatternCheck) -> None:
    """Check that middleware which applies to some effects may apply to any. Raises ConfigError."""
    for one in middleware:
        if isinstance(one, FilteredMiddleware):
            place = one.place or SettingsPlace("the runtime", f"middleware {one.name!r}")
            check_patterns(one.effects, check, place=place)
