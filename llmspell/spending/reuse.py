"""What may be kept of an answer that was paid for, so that it can be given again."""

from __future__ import annotations

from llmspell.providers.messages import INTERRUPTED
from llmspell.values import Value


def reusable(answer: Value) -> Value:
    """Return an answer as it may be given again; None if its reader broke it off."""
    if not isinstance(answer, dict) or answer.get("finish_reason") == INTERRUPTED:
        return None
    return free(answer)


def free(answer: Value) -> Value:
    """Return an answer as free of charge, since no model was requested for it."""
    if not isinstance(answer, dict) or not isinstance(answer.get("usage"), dict):
        return answer
    return answer | {"usage": answer["usage"] | {"usd": 0.0}}
