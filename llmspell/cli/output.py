"""Output on standard output: the lines that a spell prints, and its result."""

from __future__ import annotations

import re
from typing import Any, TextIO

from llmspell.errors import LlmspellError, SpellError
from llmspell.values import Value, in_order, legible

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def harmless(text: str) -> str:
    """Escape everything a terminal would interpret, except line ends and tabs."""
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)


def write_line(to: TextIO, line: str | bytes) -> None:
    """Write a line and flush. Raises as `write_text` does."""
    write_text(to, f"{line}\n" if isinstance(line, str) else line + b"\n")


def write_text(to: TextIO, text: str | bytes) -> None:
    """Write a text and flush.

    Raises:
        BrokenPipeError: The reader has gone.
        LlmspellError: It cannot be written for another reason.
    """
    try:
        if isinstance(text, bytes):
            to.flush()
            to.buffer.write(text)
        else:
            to.write(text)
        to.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise LlmspellError(
            f"cannot write the output: {error.strerror}",
            hint="check what it is redirected to",
        ) from error


_MB = 1_000_000


def size(number: int) -> str:
    """Format a number of bytes, such as `93 MB`."""
    return f"{number / _MB:.0f} MB" if number >= _MB else f"{number:,} bytes"


def for_people(result: Value) -> str | bytes:
    """Format a result for people: text as it is, anything else as indented JSON."""
    if isinstance(result, (str, bytes)):
        return result
    import json

    return json.dumps(legible(result), ensure_ascii=False, indent=2)


def for_programs(result: Value) -> str:
    """Format a result as JSON on one line. Raises SpellError if it has no JSON form."""
    import json

    try:
        return json.dumps(in_order(result), ensure_ascii=False, allow_nan=False, default=_text)
    except (TypeError, ValueError) as error:
        raise SpellError(
            "the result holds something JSON cannot represent",
            hint="return only text, finite numbers, booleans and tables of these",
        ) from error


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    raise TypeError(f"{value!r} is not valid JSON")
