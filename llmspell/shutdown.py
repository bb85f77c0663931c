"""Closes the resources of a runtime."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from llmspell.concurrency import Answer, as_failure, settled
from llmspell.eager_steps import TookTooLong, within

CLOSE_SECONDS = 30.0

log = logging.getLogger("llmspell")


async def close(what: str, close: Callable[[], Answer[object]]) -> None:
    """Close a resource of a runtime, with a timeout.

    Failures are logged, not raised: the result of the run is known by then, and other resources
    remain to be closed.
    """
    try:
        answer = close()
        if hasattr(answer, "__await__"):
            await within(CLOSE_SECONDS, settled(answer))
    except (asyncio.CancelledError, SystemExit) as error:
        _report(what, str(as_failure(error)))
    except TookTooLong as error:
        _report(what, f"it {error}")
    except Exception as error:
        _report(what, f"{type(error).__name__}: {error}")
        log.debug("its traceback", exc_info=error)


def _report(what: str, problem: str) -> None:
    log.warning("%s could not be closed: %s", what, problem)
