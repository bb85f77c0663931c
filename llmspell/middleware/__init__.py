"""The chain every effect passes through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from llmspell.effects import Handler, Perform, Run
from llmspell.errors import ConfigError
from llmspell.middleware.deadline import Deadline
from llmspell.middleware.hooking import Hooking
from llmspell.middleware.permission import Permission
from llmspell.middleware.trace import Trace
from llmspell.middleware.validate import Validate


class Middleware(Protocol):
    """One concern around every effect.

    `name` is unique. One of yours also says where it stands: `before` or `after` the name of
    another one.
    """

    name: str

    def wrap(self, handler: Handler, call: Perform, run: Run) -> Perform:
        """What stands in front of `call` for this effect in this run; `call` itself if nothing."""
        ...


# THE ORDER, outermost first.
ORDER: tuple[Middleware, ...] = (
    Trace(),  # sees everything: refusals too
    Validate(),  # arguments against the effect's schema; hooks see checked ones
    Hooking(),  # before / after / error, by priority; a rewritten effect is validated again
    Permission(),  # judges the arguments that will really be used
    Deadline(),  # the effect's own timeout
)


def arrange(extra: Sequence[Middleware]) -> tuple[Middleware, ...]:
    """The order with more middleware put in its place.

    Raises:
        ConfigError: When one names no place, a place that is not there, or a name taken.
    """
    order = list(ORDER)
    for middleware in extra:
        names = [m.name for m in order]
        if middleware.name in names:
            raise ConfigError("middleware", [f"two are named {middleware.name!r}"])
        before, after = getattr(middleware, "before", None), getattr(middleware, "after", None)
        anchor = before or after
        if anchor not in names:
            raise ConfigError(
                "middleware",
                [f"{middleware.name!r} says before or after {anchor!r}, which is not there"],
                hint=f"set its `before` or `after` to one of {', '.join(names)}",
            )
        order.insert(names.index(anchor) + (0 if before else 1), middleware)
    return tuple(order)


def compose(order: Sequence[Middleware], handler: Handler, run: Run) -> Perform:
    """The whole chain for one effect in one run; middleware with nothing to do is not in it."""
    call = handler.perform
    for middleware in reversed(order):
        call = middleware.wrap(handler, call, run)
    return call
