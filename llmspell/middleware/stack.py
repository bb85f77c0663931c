from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from typing import Any, Self

from llmspell.middleware import Middleware, as_middleware
from llmspell.middleware.function import MiddlewareFunction


class Stack:
    """Builds middleware from the outside in: each stands right inside the one before it.

    stack = (
        Stack(effects="agent.run")
        .with_middleware(Logging())
        .with_middleware(patient, effects="tool.call")
        .build()
    )
    Runtime(middleware=stack)
    """

    def __init__(self, *, after: str = "trace", effects: str | Iterable[str] | None = None) -> None:
        """Begin.

        Args:
            after: The middleware that the first one stands right inside of.
            effects: Names of the effects it is for, with `*` for any part; by default as each says.
        """
        self._after, self._effects = after, effects
        self._built: list[Middleware] = []

    def with_middleware(
        self,
        given: Middleware | MiddlewareFunction,
        *,
        name: str | None = None,
        effects: str | Iterable[str] | None = None,
    ) -> Self:
        """Add one inside of those before, as a copy.

        Args:
            given: Middleware, or an async function of an effect and of what comes next.
            name: Its name, in the place of its own.
            effects: Which effects it is for, in the place of those of the stack.

        Raises:
            ConfigError: When it is no middleware.
            ValueError: When it is for all effects, and cannot be for some.
        """
        one: Any = copy(as_middleware(given))
        wanted = self._effects if effects is None else effects
        if wanted is not None:
            if not hasattr(one, "effects"):
                raise ValueError(f"{one.name} is for all effects")
            one.effects = (wanted,) if isinstance(wanted, str) else tuple(wanted)
        one.name = name or one.name
        one.before, one.after = None, self._after
        self._after = one.name
        self._built.append(one)
        return self

    def build(self) -> tuple[Middleware, ...]:
        """All of it, for `Runtime(middleware=…)`. The order is checked when that is made."""
        return tuple(self._built)
