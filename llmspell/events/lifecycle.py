"""Publishes the start and the end of what the runtime does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from llmspell.errors import LlmspellError
from llmspell.events.bus import Events
from llmspell.values import Value


@contextmanager
def publish_lifecycle(events: Events, subject: str, data: dict[str, Value]) -> Iterator[None]:
    """Publish `SUBJECT.started`, then `SUBJECT.ended` or `SUBJECT.failed`, around the body."""
    events.tell(f"{subject}.started", data)
    begin = time.perf_counter()
    try:
        yield
    except BaseException as error:
        data = {**data, "seconds": time.perf_counter() - begin, "error": _as_data(error)}
        events.tell(f"{subject}.failed", data)
        raise
    events.tell(f"{subject}.ended", {**data, "seconds": time.perf_counter() - begin})


def _as_data(error: BaseException) -> dict[str, Value]:
    if isinstance(error, LlmspellError):
        return {"code": error.code, "message": error.message, "where": error.where}
    if isinstance(error, Exception):
        return {"code": "internal", "message": f"internal error ({type(error).__name__})"}
    return {"code": "cancelled", "message": "it was cancelled"}
