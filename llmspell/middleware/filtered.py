from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from fnmatch import fnmatchcase

from llmspell.effects import Handler, Perform, Run


class FilteredMiddleware(ABC):
    """Middleware for some effects; in the chains of others it is not there.

    Attributes:
        name: Unique among those of a runtime.
        effects: Names of effects, with `*` for any part: `tool.call`, `agent.*`.
        before: It stands outside the one of that name; or
        after: it stands inside the one of that name.
    """

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
        """What stands in front of `call` for an effect that was chosen."""
