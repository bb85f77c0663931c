"""The chain every effect passes through."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, cast

from llmspell.effects import Handler, Perform, Run
from llmspell.errors import ConfigError, LlmspellError
from llmspell.middleware.approval import Approval
from llmspell.middleware.budget import Budgeting
from llmspell.middleware.deadline import Deadline
from llmspell.middleware.failures import middleware_failed
from llmspell.middleware.function import FunctionMiddleware, MiddlewareFunction, middleware
from llmspell.middleware.hooks import HookMiddleware
from llmspell.middleware.journal import Journal
from llmspell.middleware.permission import Permission
from llmspell.middleware.publish import Publish
from llmspell.middleware.trace import Trace
from llmspell.middleware.validate import Validate

__all__ = ["ORDER", "Middleware", "arrange", "as_middleware", "compose", "middleware"]


class Middleware(Protocol):
    """One concern around every effect.

    `name` is unique. One of yours also says where it stands: `before` or `after` the name of
    another one. If it has a method `open(runtime)`, that is called when the runtime starts, and
    `close()` when it stops.
    """

    name: str

    def wrap(self, handler: Handler, call: Perform, run: Run) -> Perform:
        """What stands in front of `call` for this effect in this run; `call` itself if nothing."""
        ...


# THE ORDER, outermost first.
ORDER: tuple[Middleware, ...] = (
    Trace(),  # sees everything: refusals too
    Publish(),  # tools and changes of the state, as events
    Validate(),  # arguments against the effect's schema; hooks see checked ones
    HookMiddleware(),  # before / after / error, by priority; a rewritten effect is validated again
    Approval(),  # a person sees what will really be done, and may still change it
    Journal(),  # records leaves, errors too; answers those recorded before
    Budgeting(),  # reserves what a call may cost, and settles what it did
    Permission(),  # judges the arguments that will really be used
    Deadline(),  # the effect's own timeout
)


def arrange(
    extra: Iterable[Middleware | MiddlewareFunction],
    order: Sequence[Middleware] = ORDER,
    *,
    source: str = "the runtime",
) -> tuple[Middleware, ...]:
    """The order with more middleware put in its place, one after the other.

    Args:
        extra: What is to have a place.
        order: Where.
        source: Who wants that, for errors.

    Raises:
        ConfigError: When one names no place, a place that is not there, or a name taken.
    """
    arranged = list(order)
    for given in extra:
        more = as_middleware(given)
        names = [m.name for m in arranged]
        if more.name in names:
            raise ConfigError(source, [f"middleware: two are named {more.name!r}"])
        before, after = getattr(more, "before", None), getattr(more, "after", None)
        anchor = before or after
        problem = f"middleware {more.name!r} says before or after {anchor!r}, which is not there"
        if before and after:
            problem = f"middleware {more.name!r} says both before and after"
        if anchor not in names or (before and after):
            hint = f"set its `before` or `after` to one of {', '.join(names)}"
            raise ConfigError(source, [problem], hint=hint)
        arranged.insert(names.index(anchor) + (0 if before else 1), more)
    return tuple(arranged)


def as_middleware(given: Middleware | MiddlewareFunction) -> Middleware:
    """Middleware as it is, or made of `async def function(effect, call_next)`.

    Raises:
        ConfigError: When it is neither.
    """
    if callable(getattr(given, "wrap", None)) and not isinstance(given, type):
        return cast("Middleware", given)
    try:
        return FunctionMiddleware(cast("MiddlewareFunction", given))
    except TypeError as error:
        hint = "it is an async function of (effect, call_next), or has a `name` and `wrap`"
        raise ConfigError("middleware", [str(error)], hint=hint) from error


def compose(order: Sequence[Middleware], handler: Handler, run: Run) -> Perform:
    """The whole chain for one effect in one run; middleware with nothing to do is not in it.

    Raises:
        MiddlewareFailed: When one cannot say what stands in front of the effect.
    """
    call = handler.perform
    for one in reversed(order):
        call = _wrapped(one, handler, call, run)
    return call


def _wrapped(one: Middleware, handler: Handler, call: Perform, run: Run) -> Perform:
    try:
        wrapped = one.wrap(handler, call, run)
    except LlmspellError:
        raise
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        raise middleware_failed(one.name, handler.name, what, run) from error
    if not callable(wrapped):
        raise middleware_failed(
            one.name, handler.name, f"wrap gave {wrapped!r}, which is no function", run
        )
    return wrapped
