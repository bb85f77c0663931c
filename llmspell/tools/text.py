"""Text tools: chunks, differences, templates, regular expressions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import accumulate
from typing import Annotated, Any

from pydantic import Field

from llmspell.errors import ToolError
from llmspell.tools.regex import Matcher
from llmspell.tools.tool import tool
from llmspell.values import refuse_in_json

MAX_DIFF_LINES = 20_000
MAX_CHUNKS = 100_000
MAX_FILLED = 10_000_000
"""The most characters that `template` inserts into a text."""

_BREAKS = ("\n\n", "\n", ". ", "! ", "? ", "。", "; ", ", ", " ")
"""Separators after which to cut a text, the best ones first."""


@tool(category="text", pure=True)
def split_text(
    text: str,
    max_chars: Annotated[int, Field(ge=1)] = 2000,
    overlap: Annotated[int, Field(ge=0)] = 0,
) -> list[str]:
    """Split a text into chunks at the ends of paragraphs, lines, sentences or words.

    Args:
        text: The text.
        max_chars: The most characters a chunk may have.
        overlap: About how many characters at the end of a chunk the next one repeats; less than
            half of max_chars.
    """
    if overlap and overlap * 2 >= max_chars:
        raise ToolError(
            f"overlap = {overlap} is not less than half of max_chars = {max_chars}",
            details={"overlap": overlap, "max_chars": max_chars},
        )
    if len(text) // max_chars > MAX_CHUNKS:
        raise ToolError(
            f"{len(text):,} characters make over {MAX_CHUNKS:,} chunks of {max_chars}",
            hint="raise max_chars",
            details={"limit": MAX_CHUNKS},
        )
    chunks = []
    start = 0
    while start < len(text):
        end = _cut(text, start, max_chars)
        if chunk := text[start:end].strip():
            chunks.append(chunk)
        start = end if end >= len(text) else _step_back(text, end, overlap)
    return chunks


def _cut(text: str, start: int, max_chars: int) -> int:
    """Return the end of the chunk that begins at `start`: the best break in its second half."""
    limit = start + max_chars
    if limit >= len(text):
        return len(text)
    half = start + (max_chars + 1) // 2
    for mark in _BREAKS:
        position = text.rfind(mark, half, limit)
        if position >= 0:
            return position + len(mark)
    return limit


def _step_back(text: str, end: int, overlap: int) -> int:
    """Return the start of the next chunk: `overlap` before `end`, or at the next word after."""
    if not overlap:
        return end
    word = text.find(" ", end - overlap, end - 1)
    return end - overlap if word < 0 else word + 1


@tool(category="text", pure=True)
def diff_text(a: str, b: str, context: Annotated[int, Field(ge=0)] = 3) -> str:
    """Compare two texts line by line, in the unified diff format; empty if they are equal.

    Args:
        a: The old text.
        b: The new text.
        context: How many unchanged lines to show around a difference.
    """
    from difflib import unified_diff

    before, after = _lines(a), _lines(b)
    if len(before) + len(after) > MAX_DIFF_LINES:
        raise ToolError(
            f"the texts have over {MAX_DIFF_LINES:,} lines together",
            hint="compare parts of them",
            details={"limit": MAX_DIFF_LINES},
        )
    return "".join(unified_diff(before, after, "a", "b", n=context))


def _lines(text: str) -> list[str]:
    """Split into lines with their ends; a missing last line end is marked as `diff` does."""
    lines = [line + "\n" for line in text.split("\n")]
    if lines[-1] == "\n":
        lines.pop()
    else:
        lines[-1] += "\\ No newline at end of file\n"
    return lines


_PLACE = re.compile(r"\{\{\s*([\w.-]+)\s*\}\}")


@tool(category="text", pure=True)
async def template(text: str, values: dict[str, Any]) -> str:
    """Replace each `{{name}}` in a text by a value. `{{…}}` inside a value is not replaced.

    Args:
        text: The text. `{{user.name}}` is the field `name` of the table `user`.
        values: The values, by name. Tables are written as JSON.
    """
    missing: dict[str, None] = {}
    room = MAX_FILLED

    def fill(place: re.Match[str]) -> str:
        nonlocal room
        value: Any = values
        for key in place[1].split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if value is None:
            missing[place[1]] = None
        try:
            filled = _as_text(value)
        except TypeError as error:
            raise ToolError(f"cannot fill in {place[1]}: {error}") from error
        room -= len(filled)
        if room < 0:
            raise ToolError(
                f"the result has over {MAX_FILLED:,} characters",
                details={"limit": MAX_FILLED},
            )
        return filled

    filled = _PLACE.sub(fill, text)
    if missing:
        raise ToolError(
            f"no value for {', '.join(missing)}",
            hint=f"values has {', '.join(map(str, values)) or 'nothing'}",
            details={"missing": list(missing)},
        )
    return filled


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    import json

    return json.dumps(value, ensure_ascii=False, default=refuse_in_json)


@dataclass(slots=True)
class TextMatch:
    """A match of a regular expression.

    Attributes:
        text: The matched text.
        first: Byte position of its start, counted from 1, as for Lua's `string.sub`.
        last: Byte position of its end, so that `text:sub(first, last)` is the match.
        groups: What the groups matched; null for one that did not participate.
        named: The same for named groups, by name.
    """

    text: str
    first: int
    last: int
    groups: list[str | None]
    named: dict[str, str | None]


@tool(category="text", pure=True)
def regex_find(
    pattern: str,
    text: Annotated[str, Field(max_length=10_000_000)],
    max_results: Annotated[int, Field(ge=1, le=10_000)] = 100,
    ignore_case: bool = False,
) -> list[TextMatch]:
    """Find all matches of a regular expression; a pattern that takes over 5 s is an error.

    A match is `{text, first, last, groups, named}`; first and last are its byte positions.

    Args:
        pattern: In Python's syntax; `^` and `$` match at each line.
        text: The text to search.
        max_results: Stop after this many matches.
        ignore_case: Whether to ignore the case of letters.
    """
    with Matcher(pattern, ignore_case=ignore_case) as matcher:
        matches = matcher.find([text], limit=max_results)
        names = matcher.names
    ends = sorted({position for match in matches for position in match.spans[0]})
    pieces = (len(text[a:b].encode()) for a, b in zip([0, *ends], ends, strict=False))
    offset = dict(zip(ends, accumulate(pieces), strict=True))

    results = []
    for match in matches:
        (start, end), *groups = match.spans
        taken = [None if a < 0 else text[a:b] for a, b in groups]
        named = {name: taken[number - 1] for name, number in names.items()}
        results.append(TextMatch(text[start:end], offset[start] + 1, offset[end], taken, named))
    return results


@dataclass(slots=True)
class TextCount:
    """The length of a text in several units."""

    characters: int
    words: int
    lines: int
    bytes: int


@tool(category="text", pure=True)
async def count_text(text: str) -> TextCount:
    """Count the characters, words, lines and bytes (of UTF-8) of a text.

    Args:
        text: The text. Words are separated by whitespace.
    """
    lines = text.count("\n") + (text != "" and not text.endswith("\n"))
    return TextCount(len(text), len(text.split()), lines, len(text.encode()))
