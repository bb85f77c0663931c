"""Records how a run ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from llmspell.errors import ENDS_RUN, LimitExceeded, LlmspellError, ReplayError, RunSuspended
from llmspell.journal.recording import Recording
from llmspell.values import Value


class End:
    """The result of a run, to be set before the run ends."""

    result: Value = None


@contextmanager
def to_its_end(recording: Recording) -> Iterator[End]:
    """Record how the run in the body ends."""
    end, history, ledger = End(), recording.history, recording.ledger
    try:
        yield end
        if history:
            history.check()
    except BaseException as error:
        _stopped(recording, error)
        raise
    finally:
        if history:
            history.close()
    if ledger:
        ledger.ended_before(recording.turn + 1)
        ledger.finish("completed", result=recording.text_of(end.result))


def _stopped(recording: Recording, error: BaseException) -> None:
    history, ledger = recording.history, recording.ledger
    if isinstance(error, LlmspellError):
        error.run = recording.id
    if ledger is None:
        return
    if history and not history.over and isinstance(error, ReplayError):
        ledger.leave()  # it never went beyond its record: nothing has changed
        return
    stops = not isinstance(error, LlmspellError) or isinstance(error, ENDS_RUN)
    due = error.due if isinstance(error, RunSuspended) else None
    ledger.finish(
        "suspended" if stops else "failed",
        error=recording.text_of(_told(error)),
        reason=_reason(error) if stops else None,
        due=due,
    )


def _reason(error: BaseException) -> str:
    """Return why a run was suspended, in a word."""
    if isinstance(error, RunSuspended):
        return error.reason
    if isinstance(error, LimitExceeded):
        return "limit"
    return "record" if isinstance(error, ReplayError) else "interrupted"


def _told(error: BaseException) -> dict[str, Value]:
    """Return what is stored of the error that ended a run."""
    if not isinstance(error, LlmspellError):
        return {"code": "interrupted", "message": str(error) or "interrupted"}
    told: dict[str, Value] = {"code": error.code, "message": error.message}
    for key in ("where", "hint", "details"):
        if value := getattr(error, key):
            told[key] = value
    return told
