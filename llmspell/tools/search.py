"""A tool that finds text in files."""

# ruff: noqa: D417 - `effect` is injected; callers do not give it

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

from pydantic import Field

from llmspell.effects import Effect
from llmspell.errors import ToolError
from llmspell.tools.granted_files import (
    check_name_pattern,
    denied_below,
    entries,
    open_file,
    opened_folder,
    permitted_path,
    translate_errors,
)
from llmspell.tools.regex import Matcher
from llmspell.tools.tool import tool

MAX_FILE = 10_000_000
MAX_TOTAL = 1_000_000_000
MAX_LINE = 500


@dataclass(slots=True)
class FoundLine:
    """A line of a file.

    Attributes:
        path: Path of the file, relative to the current directory if the path searched was.
        line: Line number, from 1.
        text: The line, at most 500 characters of it.
    """

    path: str
    line: int
    text: str


FindLines = Callable[[list[str], int], list[int]]
"""Returns the indexes of the matching lines, at most the given number of them."""


@tool(category="files", reads=["path"], idempotent=True)
def search_files(
    effect: Effect,
    path: str,
    query: Annotated[str, Field(min_length=1)],
    *,
    pattern: str = "*",
    regex: bool = False,
    ignore_case: bool = False,
    hidden: bool = False,
    max_results: Annotated[int, Field(ge=1, le=10_000)] = 100,
) -> list[FoundLine]:
    """Find lines that contain a text, in a file or in all files of a folder and its subfolders.

    Links are not followed. Files that are not UTF-8 text are skipped, and in a folder also files
    over 10 MB and those that cannot be read.

    Args:
        path: The file or folder; a relative path starts at the current directory.
        query: The text to find in a line.
        pattern: Which file names to search, such as "*.md".
        regex: Whether query is a regular expression, in Python's syntax.
        ignore_case: Whether to ignore the case of letters.
        hidden: Also search files and folders whose name starts with a dot.
        max_results: Stop after this many lines.
    """
    place = permitted_path(effect, "read", path, by="search_files")
    check_name_pattern(pattern)
    denied = denied_below(effect, place)

    def search(find: FindLines) -> list[FoundLine]:
        matches: list[FoundLine] = []
        with translate_errors("search", path):
            for shown, data in _files(place, path, pattern, hidden=hidden, denied=denied):
                lines = _lines(data)
                matches += [
                    FoundLine(shown, index + 1, lines[index][:MAX_LINE])
                    for index in find(lines, max_results - len(matches))
                ]
                if len(matches) == max_results:
                    break
        return matches

    if not regex:
        return search(_plain(query, ignore_case=ignore_case))
    with Matcher(query, ignore_case=ignore_case, seconds=20) as matcher:
        return search(lambda lines, most: [m.text for m in matcher.find(lines, each=1, limit=most)])


def _plain(query: str, *, ignore_case: bool) -> FindLines:
    fold = str.casefold if ignore_case else str
    wanted = fold(query)

    def find(lines: list[str], most: int) -> list[int]:
        indexes = []
        for index, line in enumerate(lines):
            if wanted in fold(line):
                indexes.append(index)
                if len(indexes) == most:
                    break
        return indexes

    return find


def _files(
    place: Path, path: str, pattern: str, *, hidden: bool, denied: Callable[[str], bool]
) -> Iterator[tuple[str, bytes]]:
    """Yield the files to search, as the path to show and the content."""
    if not place.is_dir():
        with opened_folder(place.parent) as folder:
            data = _content(place.name or ".", folder)
        if data is None:
            raise ToolError(
                f"cannot search {path}: it has over {MAX_FILE:,} bytes",
                details={"path": path, "limit": MAX_FILE},
            )
        yield path, data
        return
    total = 0
    with opened_folder(place) as folder:
        for entry in entries(folder, recursive=True, hidden=hidden, denied=denied):
            if not (stat.S_ISREG(entry.status.st_mode) and fnmatchcase(entry.name, pattern)):
                continue
            data = None
            with suppress(OSError):  # it has been deleted since, or is not readable
                data = _content(entry.name, entry.folder)
            if data is None:
                continue
            yield entry.below(path), data
            total += len(data)
            if total > MAX_TOTAL:
                raise ToolError(
                    f"more than {MAX_TOTAL:,} bytes to search in {path}",
                    hint="give a narrower pattern or a deeper folder",
                    details={"path": path, "limit": MAX_TOTAL},
                )


def _content(name: str, folder: int) -> bytes | None:
    """Return a file's bytes, or None if it is too large."""
    with os.fdopen(open_file(name, folder), "rb") as file:
        data = file.read(MAX_FILE + 1)
    return data if len(data) <= MAX_FILE else None


def _lines(data: bytes) -> list[str]:
    if b"\0" in data:
        return []
    try:
        return data.decode().replace("\r\n", "\n").removesuffix("\n").split("\n")
    except UnicodeDecodeError:
        return []
