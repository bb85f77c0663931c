"""The middleware chain that every effect passes through."""

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
from llmspell.middleware.guarded import guarded, inside
from llmspell.middleware.hooks import HookMiddleware
from llmspell.middleware.journal import Journal
from llmspell.middleware.keeping import Keeping
from llmspell.middleware.permission import Permission
from llmspell.middleware.publish import Publish
from llmspell.middleware.trace import Trace
from llmspell.middleware.validate import Validate

__all__ = ["ORDER", "Middleware", "arrange", "as_middleware", "compose", "middleware"]


class Middleware(Protocol):
    """One concern around every effect.

    `name` is unique. Middleware outside of `ORDER` also has `before` or `after`, the name of the
    middleware next to which it is placed. `open(runtime)`, if it has that, is called when the
    runtime starts, and `close()` when it stops.
    """

    name: str

    def wrap(self, handler: Handler, call: Perform, run: Run) -> Perform:
        """Return a function around `call` for this effect in this run; `call` itself if not needed."""
        ...


# THE ORDER, outermost first.
ORDER: tuple[Middleware, ...] = (
    Trace(),  # sees everything, including refusals
    Publish(),  # publishes tool calls and state changes as events
    Validate(),  # checks arguments against the effect's schema, so hooks see checked ones
    HookMiddleware(),  # before / after / error, by priority; modified arguments are validated again
    Approval(),  # a person sees the final arguments, and may still change them
    Keeping(),  # counts what leaves keep, the same if they are answered from the record
    Journal(),  # records leaves, including errors, or answers them from the record
    Budgeting(),  # reserves what a call may cost, and settles what it did cost
    Permission(),  # checks the arguments that will really be used
    Deadline(),  # the effect's own timeout
)


def arrange(
    extra: Iterable[Middleware | MiddlewareFunction],
    order: Sequence[Middleware] = ORDER,
    *,
    source: str = "the runtime",
) -> tuple[Middleware, ...]:
    """Insert more middleware into the order, one after the other.

    Args:
        extra: The middleware to insert.
        order: The order to extend.
        source: Names the origin of `extra` in errors.

    Raises:
        ConfigError: One names no neighbour or an unknown one, or its own name is taken.
    """
    arranged = list(order)
    for given in extra:
        more = as_middleware(given)
        names = [m.name for m in arranged]
        if more.name in names:
            raise ConfigError(source, [f"middleware: two are named {more.name!r}"])
        before, after = getattr(more, "before", None), getattr(more, "after", None)
        anchor = before or after
        problem = (
            f"middleware {more.name!r} is placed before or after {anchor!r}, which does not exist"
        )
        if before and after:
            problem = f"middleware {more.name!r} has both before and after"
        if anchor not in names or (before and after):
            hint = f"set its `before` or `after` to one of {', '.join(names)}"
            raise ConfigError(source, [problem], hint=hint)
        arranged.insert(names.index(anchor) + (0 if before else 1), more)
    return tuple(arranged)


def as_middleware(given: Middleware | MiddlewareFunction) -> Middleware:
    """Return middleware as it is, or create it from `async def function(effect, call_next)`.

    Raises:
        ConfigError: `given` is neither.
    """
    if callable(getattr(given, "wrap", None)) and not isinstance(given, type):
        return cast("Middleware", given)
    try:
        return FunctionMiddleware(cast("MiddlewareFunction", given))
    except TypeError as error:
        hint = "it is an async function of (effect, call_next), or has a `name` and `wrap`"
        raise ConfigError("middleware", [str(error)], hint=hint) from error


def compose(order: Sequence[Middleware], handler: Handler, run: Run) -> Perform:
    """Build the chain for one effect in one run, without middleware that has nothing to do.

    Raises:
        MiddlewareFailed: A `wrap` failed.
    """
    call = handler.perform
    for one in reversed(order):
        call = _wrapped(one, handler, call, run)
    return call


def _wrapped(one: Middleware, handler: Handler, call: Perform, run: Run) -> Perform:
    is_foreign = not type(one).__module__.startswith("llmspell.")  # ours name their own failures
    inner = inside(call) if is_foreign else call
    try:
        wrapped = one.wrap(handler, inner, run)
    except LlmspellError:
        raise
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        raise middleware_failed(one.name, handler.name, what, run) from error
    if not callable(wrapped):
        raise middleware_failed(
            one.name, handler.name, f"wrap returned {wrapped!r}, which is not a function", run
        )
    if wrapped is inner:
        return call
    return guarded(one.name, wrapped) if is_foreign else wrapped
