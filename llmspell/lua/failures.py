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
from llmspell.lua.syntax_hints import syntax_hint
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
        hint=failed.hint or _size_hint(message) or _text_in(value, "hint"),
        value=value,
        lua_traceback="\n".join(_FRAME.findall(failed.traceback)),
        where=where,
        cause=cause,
    )


def callback_error(failed: Failure) -> EffectError:
    """Return the error of an effect whose handler called a function of the spell that failed.

    It keeps its place inside that function, and its code, hint and details if it is a table.
    """
    value = failed.value
    where, text = _split(failed)
    table = value if isinstance(value, dict) else {}
    error = effect_error_from(table) or _own_error(table, _message_of(value, text))
    error.where = _text_in(table, "where") or where
    return error


def _own_error(table: dict[Value, Value], message: str) -> EffectError:
    """Return the error for a table with which a spell raised an error of its own."""
    details, code = table.get("details"), _text_in(table, "code")
    error = EffectError(
        message,
        hint=_text_in(table, "hint"),
        details=details if isinstance(details, dict) else None,
        retryable=table.get("retryable") is True,
    )
    if code is not None:
        error.code = code  # type: ignore[misc]  # no class has it
    return error


def _split(failed: Failure) -> tuple[str | None, str]:
    """Return the place of an error, and its text without the place."""
    if match := _PLACE.match(failed.text):
        return match[1], failed.text[match.end() :]
    return failed.where, failed.text


def _message_of(value: Value, text: str) -> str:
    """Return the message of an error value: its text, or a table's `message`, or all of it."""
    message = _text_in(value, "message")
    if message is not None and text == f"{message} ({_text_in(value, 'hint')})":
        return message  # an error that has passed through an effect
    if not isinstance(value, (dict, list)) or not re.fullmatch(r"table: \d+", text):
        return text
    if message is not None:
        return message
    import json

    try:
        return json.dumps(value, ensure_ascii=False, sort_keys=True, default=repr)
    except TypeError:
        return repr(value)  # keys that JSON lacks, or that cannot be sorted


def _text_in(value: Value, field: str) -> str | None:
    """Return a text in an error table."""
    text = value.get(field) if isinstance(value, dict) else None
    return as_text(text) if isinstance(text, (str, bytes)) else None


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
    else:
        file, _, line = match[1].rpartition(":")
        error = SpellSyntaxError(message[match.end() :], file=file, line=int(line))
    error.hint = syntax_hint(error.message)
    return error


def limit_error(kill: Kill, limits: Limits) -> LlmspellError:
    """Return the error of a run whose state was killed."""
    value = getattr(limits, kill.limit, None)
    if value is None:
        return SpellError(kill.message, where=kill.where)
    return LimitExceeded(kill.message, limit=kill.limit, value=value, where=kill.where)
