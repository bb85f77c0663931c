"""Opens middleware when the runtime starts, and closes it when the runtime stops."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from llmspell.errors import LlmspellError, PluginError
from llmspell.shutdown import close

if TYPE_CHECKING:
    from llmspell.middleware import Middleware
    from llmspell.runtime import Runtime


def open_middleware(
    middleware: Iterable[Middleware], runtime: Runtime, cleanup: AsyncExitStack
) -> None:
    """Call `open` of middleware that has it, and register `close` with `cleanup`.

    Raises PluginError if one fails.
    """
    for one in middleware:
        if begin := getattr(one, "open", None):
            try:
                begin(runtime)
            except LlmspellError:
                raise
            except Exception as error:
                problem = f"{type(error).__name__}: {error}"
                raise PluginError(
                    f"middleware {one.name!r} could not be opened: {problem}"
                ) from error
        if end := getattr(one, "close", None):
            cleanup.push_async_callback(close, f"middleware {one.name!r}", end)
