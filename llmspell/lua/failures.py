"""Converts failures in a Lua state to llmspell's errors."""

from __future__ import annotations

import re

from llmspell.errors import (
    EffectError,
    LimitExceeded,
    LlmspellError,
    SpellError,
    SpellRuntimeError,
    SpellSyntaxError,
    effect_error_from,
)
from llmspell.limits import Limits, how_to_raise
from llmspell.lua.messages import Failure, Kill
from llmspell.values import Value, as_text

_PLACE = re.compile(r"^([^\n:]+:\d{1,9}): ")
_TOO_LARGE = re.compile(r"\(limit message = (\d{1,16}) bytes\)$")
_FRAME = re.compile(r"^\t(?!\[C\]|\?|\(\.\.\.).+:\d+: in .+", re.MULTILINE)


def spell_error(failed: Failure) -> SpellError:
    """Return the error that ends a run."""
    value = failed.value
    if isinstance(value, dict) and value.get("code") == "spell_syntax":
        return syntax_error(as_text(value.get("message", failed.text)))
    cause = effect_error_from(value)
    where, text = _split(failed)
    message = cause.message if cause else _message_of(value, text)
    return SpellRuntimeError(
        message,
        hint=failed.hint or _size_hint(message),
        value=value,
        lua_traceback="\n".join(_FRAME.findall(failed.traceback)),
        where=where,
        cause=cause,
    )


def callback_error(failed: Failure) -> EffectError:
    """Return the error of an effect whose handler called a function of the spell that failed.

    It keeps its place inside that function.
    """
    if error := effect_error_from(failed.value):
        error.where = failed.value.get("where", failed.where)
        return error
    where, text = _split(failed)
    error = EffectError(_message_of(failed.value, text))
    error.where = where
    return error


def _split(failed: Failure) -> tuple[str | None, str]:
    """Return the place of an error, and its text without the place."""
    if match := _PLACE.match(failed.text):
        return match[1], failed.text[match.end() :]
    return failed.where, failed.text


def _message_of(value: Value, text: str) -> str:
    """Return the message of an error value: its text, or a table's `message`, or all of it."""
    if not isinstance(value, (dict, list)) or not re.fullmatch(r"table: \d+", text):
        return text
    if isinstance(value, dict) and isinstance(value.get("message"), str):
        return as_text(value["message"])
    import json

    try:
        return json.dumps(value, ensure_ascii=False, sort_keys=True, default=repr)
    except TypeError:
        return repr(value)  # keys that JSON lacks, or that cannot be sorted


def _size_hint(message: str) -> str | None:
    """Return a hint for a value that is too large to pass; a spell may catch that error."""
    match = _TOO_LARGE.search(message)
    return how_to_raise("message", int(match[1])) if match else None


def syntax_error(message: str) -> SpellSyntaxError:
    """Convert a message of Lua's compiler, `file:line: …`, to an error."""
    match = _PLACE.match(message)
    if not match:
        error = SpellSyntaxError(message, file="?", line=0)
        error.where = None
        return error
    file, _, line = match[1].rpartition(":")
    return SpellSyntaxError(message[match.end() :], file=file, line=int(line))


def limit_error(kill: Kill, limits: Limits) -> LlmspellError:
    """Return the error of a run whose state was killed."""
    value = getattr(limits, kill.limit, None)
    if value is None:
        return SpellError(kill.message, where=kill.where)
    return LimitExceeded(kill.message, limit=kill.limit, value=value, where=kill.where)
