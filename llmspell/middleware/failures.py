from __future__ import annotations

import logging

from llmspell.effects import Run
from llmspell.errors import MiddlewareFailed
from llmspell.events import Events

log = logging.getLogger("llmspell.middleware")


def middleware_failed(name: str, effect: str, what: str, run: Run) -> MiddlewareFailed:
    """Log and publish a failure of middleware, and return the error for it."""
    error = MiddlewareFailed(f"middleware {name!r} at {effect}: {what}")
    log.warning("%s", error)
    about = {"middleware": name, "effect": effect, "message": what, "run": run.id}
    run[Events].tell("middleware.failed", about)
    return error
