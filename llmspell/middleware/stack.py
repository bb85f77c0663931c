from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from typing import Any, Self

from llmspell.middleware import Middleware, as_middleware
from llmspell.middleware.function import MiddlewareFunction


class Stack:
    """Builds a stack of middleware from the outside in.

    Each one is placed directly inside the one before it:

        stack = (
            Stack(effects="agent.run")
            .with_middleware(Logging())
            .with_middleware(patient, effects="tool.call")
            .build()
        )
        Runtime(middleware=stack)
    """

    def __init__(self, *, after: str = "trace", effects: str | Iterable[str] | None = None) -> None:
        """Start an empty stack.

        Args:
            after: The middleware that the first one is placed directly inside of.
            effects: Names of the effects the stack applies to; `*` matches any part. By default
                each middleware decides.
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
        """Add a copy of middleware, inside of those added before.

        Args:
            given: Middleware, or an `async def function(effect, call_next)`.
            name: Overrides its name.
            effects: Overrides the effects of the stack.

        Raises:
            ConfigError: `given` is not middleware.
            ValueError: `effects` is set, but the middleware applies to all effects.
        """
        one: Any = copy(as_middleware(given))
        wanted = self._effects if effects is None else effects
        if wanted is not None:
            if not hasattr(one, "effects"):
                raise ValueError(f"{one.name} applies to all effects")
            one.effects = (wanted,) if isinstance(wanted, str) else tuple(wanted)
        one.name = name or one.name
        one.before, one.after = None, self._after
        self._after = one.name
        self._built.append(one)
        return self

    def build(self) -> tuple[Middleware, ...]:
        """Return the stack for `Runtime(middleware=…)`, which checks the order."""
        return tuple(self._built)
