from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Awaitable, Callable, Iterable
from functools import partial

from llmspell.concurrency import as_failure, settled
from llmspell.effects import Effect, Handler, Perform
from llmspell.errors import LlmspellError, MiddlewareFailed, ungrouped
from llmspell.middleware.failures import middleware_failed
from llmspell.middleware.filtered import FilteredMiddleware
from llmspell.values import Value, plain

CallNext = Callable[[Effect], Awaitable[Value]]
MiddlewareFunction = Callable[[Effect, CallNext], Awaitable[Value]]

DEFAULT_TIMEOUT = 30.0


class FunctionMiddleware(FilteredMiddleware):
    """Middleware made from `async def function(effect, call_next)`.

    The function returns the effect's result, usually that of `await call_next(effect)`. To change
    the arguments it assigns `effect.args`; they are validated again. The effect fails with
    `middleware_failed` if the function raises an exception of its own, exceeds its timeout or
    returns something that is not a plain value. An LlmspellError that it raises is passed on.

    Attributes:
        timeout: Seconds the function may take, not counting its waits for `call_next`.
    """

    def __init__(
        self,
        function: MiddlewareFunction,
        *,
        name: str | None = None,
        effects: str | Iterable[str] = "*",
        before: str | None = None,
        after: str | None = None,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> None:
        """Create the middleware; its default place is directly outside the hooks."""
        if not inspect.iscoroutinefunction(function):
            raise TypeError(f"{function!r} is not an async function")
        try:
            inspect.signature(function).bind(None, None)
        except TypeError as error:
            raise TypeError(f"{function.__name__} cannot be called: {error}") from error
        if before is None and after is None:
            before = "hooks"
        super().__init__(name or function.__name__, effects=effects, before=before, after=after)
        self.function, self.timeout = function, timeout

    def around(self, handler: Handler, call: Perform) -> Perform:
        async def performed(effect: Effect) -> Value:
            return await _Invocation(self, handler, call).perform(effect)

        return performed


class _Invocation:
    """One effect passing through the function."""

    def __init__(self, middleware: FunctionMiddleware, handler: Handler, call: Perform) -> None:
        from anyio import CancelScope

        self._middleware, self._handler, self._call = middleware, handler, call
        self._scope = CancelScope()
        self._waiting = 0
        self._results: list[Value] = []
        self._error: BaseException | None = None  # raised further inside

    async def perform(self, effect: Effect) -> Value:
        self._args, self._seconds_left = effect.args, self._middleware.timeout
        self._resume_clock()
        try:
            with self._scope:
                return self._as_plain(await self._middleware.function(effect, self._call_next))
        except LlmspellError:
            raise
        except (asyncio.CancelledError, SystemExit) as error:
            if error is self._error:
                raise
            raise self._failed(effect, str(as_failure(error))) from error
        except Exception as error:
            first = ungrouped(error)
            if isinstance(first, LlmspellError) or first is self._error:
                raise first from first.__cause__
            raise self._failed(effect, f"{type(first).__name__}: {first}") from error
        raise self._failed(effect, f"took more than {self._middleware.timeout:g} seconds")

    async def _call_next(self, effect: Effect) -> Value:
        if effect.args is not self._args:
            effect.bound, self._args = self._handler.check(effect), effect.args
        self._pause_clock()
        self._waiting += 1
        try:
            result = await settled(self._call(effect))
        except BaseException as error:
            self._error = error
            raise
        finally:
            self._waiting -= 1
            self._resume_clock()
        self._results.append(result)
        return result

    def _pause_clock(self) -> None:
        if not self._waiting:
            from anyio import current_time

            self._seconds_left = self._scope.deadline - current_time()
            self._scope.deadline = math.inf

    def _resume_clock(self) -> None:
        if not self._waiting:
            from anyio import current_time

            self._scope.deadline = current_time() + self._seconds_left

    def _as_plain(self, result: Value) -> Value:
        """Return the result as a plain value; a result from further inside is known to be one."""
        return result if any(result is known for known in self._results) else plain(result)

    def _failed(self, effect: Effect, what: str) -> MiddlewareFailed:
        return middleware_failed(self._middleware.name, effect.name, what, effect.run)


def middleware(
    *,
    name: str | None = None,
    effects: str | Iterable[str] = "*",
    before: str | None = None,
    after: str | None = None,
    timeout: float = DEFAULT_TIMEOUT,
) -> Callable[[MiddlewareFunction], FunctionMiddleware]:
    """Return a decorator that makes middleware from an `async def function(effect, call_next)`.

    Args:
        name: Its name; by default the function's.
        effects: Names of the effects it applies to; `*` matches any part.
        before: The name of the middleware to place it directly outside of; or
        after: the one to place it directly inside of. By default it is directly outside the hooks.
        timeout: Seconds the function may take, not counting its waits for `call_next`.
    """
    return partial(
        FunctionMiddleware,
        name=name,
        effects=effects,
        before=before,
        after=after,
        timeout=timeout,
    )
