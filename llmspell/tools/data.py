"""Tools for structured data: JSON pointers and CSV."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Annotated, Any

from pydantic import Field

from llmspell.bounded_json import decode_json
from llmspell.errors import ToolError
from llmspell.spending.spent import counted
from llmspell.tools.tool import tool
from llmspell.values import LuaFunction


@tool(category="data", pure=True)
async def json_query(data: Any, path: str = "", default: Any = None) -> Any:
    """Get a value from nested tables or JSON text by a JSON pointer (RFC 6901).

    Args:
        data: A table, or JSON text.
        path: Such as "/users/0/name": keys, and list indices from 0. In a key, write `~1` for a
            slash and `~0` for a tilde. An empty path is the whole value.
        default: What to return if there is nothing at the path; without it that is an error.
    """
    value = _parsed(data) if isinstance(data, str) else data
    if path and not path.startswith("/"):
        raise ToolError(
            f"the path {path!r} does not begin with a slash",
            hint=f"write {'/' + path.replace('.', '/')!r}",
            details={"path": path},
        )
    if re.search("~(?![01])", path):
        raise ToolError(f"a ~ in the path {path!r} is not followed by 0 or 1", hint="write ~0")
    done = ""
    for part in path.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        try:
            value = _step(value, key)
        except LookupError as error:
            if default is not None:
                return default
            raise ToolError(
                f"nothing at {done}/{part}: {error.args[0]}",
                hint="give a default if it may be missing",
                details={"path": path, "missing": f"{done}/{part}"},
            ) from error
        done += f"/{part}"
    return value


def _parsed(text: str) -> Any:
    try:
        return decode_json(text)
    except ValueError as error:
        raise ToolError(f"data is not valid JSON: {error}") from error


def _step(value: Any, key: str) -> Any:
    """Return a container's value at a key. Raises LookupError that says why there is none."""
    index = int(key) if re.fullmatch("0|[1-9][0-9]{0,17}", key) else None
    if isinstance(value, list):
        if index is None or index >= len(value):
            raise LookupError(f"the list has {len(value)} items, counted from 0")
        return value[index]
    if not isinstance(value, dict):
        raise LookupError(f"it is inside a {_kind(value)}")  # noqa: TRY004 - a failed lookup
    if key in value:
        return value[key]
    if index in value:  # a Lua table that is not a list can have integer keys
        return value[index]
    shown = ", ".join(str(k) for k in list(value)[:10])
    raise LookupError(f"the keys there are {shown}{' …' if len(value) > 10 else ''}")  # noqa: PLR2004


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "number"
    return "null" if value is None else "string"


MAX_VALUES = 1_000_000
"""Values in one CSV: more of them do not fit into a spell's memory."""
_PARSING = Lock()

Delimiter = Annotated[str, Field(pattern=r'^[^"\r\n]$')]


@tool(category="data", pure=True)
def csv_parse(
    text: str, header: bool = True, delimiter: Delimiter = ","
) -> list[dict[str, str]] | list[list[str]]:
    """Parse CSV text (RFC 4180). Values stay text; empty lines are skipped.

    Args:
        text: The CSV.
        header: Whether the first line has the column names: rows are then tables by name, and
            values missing at the end of a row are absent. Otherwise rows are lists.
        delimiter: The character between values.
    """
    rows, lines = _rows(text.removeprefix("\ufeff"), delimiter)
    if not header or not rows:
        return rows
    columns = _columns(rows[0])
    return [_named(columns, row, line) for row, line in zip(rows[1:], lines[1:], strict=True)]


def _rows(text: str, delimiter: str) -> tuple[list[list[str]], list[int]]:
    """Return the rows that are not empty, and the number of the line at which each ends."""
    import csv
    import io

    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[list[str]] = []
    lines: list[int] = []
    values = 0
    try:
        with _long_values(len(text)):
            for row in reader:
                values += len(row)
                if values > MAX_VALUES:
                    raise ToolError(
                        f"the CSV has over {MAX_VALUES:,} values",
                        hint="read it in parts",
                        details={"limit": MAX_VALUES},
                    )
                if row:
                    rows.append(row)
                    lines.append(reader.line_num)
    except csv.Error as error:
        raise ToolError(
            f"line {reader.line_num} is not valid CSV: {error}",
            hint="a value that holds a quote, delimiter or line end must be quoted",
            details={"line": reader.line_num},
        ) from error
    return rows, lines


@contextmanager
def _long_values(most: int) -> Iterator[None]:
    """Allow values of so many characters, in the whole process: Python's limit is far lower."""
    import csv

    with _PARSING:
        before = csv.field_size_limit()
        csv.field_size_limit(max(before, most))
        try:
            yield
        finally:
            csv.field_size_limit(before)


def _columns(names: list[str]) -> list[str]:
    columns = [name or f"column_{number}" for number, name in enumerate(names, 1)]
    if len(set(columns)) < len(columns):
        twice = sorted({name for name in columns if columns.count(name) > 1})
        raise ToolError(
            f"columns of the same name: {', '.join(twice)}", hint="read it with header = false"
        )
    return columns


def _named(columns: list[str], row: list[str], line: int) -> dict[str, str]:
    if len(row) > len(columns):
        raise ToolError(
            f"line {line} has {counted(len(row), 'value')} for {counted(len(columns), 'column')}",
            hint="check the delimiter, or read it with header = false",
            details={"line": line},
        )
    return dict(zip(columns, row, strict=False))


@tool(category="data", pure=True)
def csv_format(
    rows: list[dict[str, Any] | list[Any]],
    columns: list[str] | None = None,
    delimiter: Delimiter = ",",
) -> str:
    """Format rows as CSV (RFC 4180), with each line ended by a line feed.

    Args:
        rows: Tables by column name, or lists of values. A value is text, a number, a boolean or
            absent.
        columns: The column names in order, for the first line. By default, these are all keys of
            rows that are tables, sorted; if all rows are lists, there is no line of names.
        delimiter: The character between values.
    """
    if columns is None:
        columns = sorted({key for row in rows if isinstance(row, dict) for key in row})
    lines = [columns] if columns else []
    for number, row in enumerate(rows, 1):
        values = [row.get(column) for column in columns] if isinstance(row, dict) else row
        lines.append([_cell(value, number) for value in values])
    return "".join(_line(line, delimiter) for line in lines)


def _cell(value: Any, row: int) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, float)):
        return str(value)
    if isinstance(value, bytes):
        kind, hint = "string that is not UTF-8", "convert it first, for example with base64_encode"
    elif isinstance(value, LuaFunction):
        kind, hint = "function", None
    else:
        kind = "list" if isinstance(value, list) else "table"
        hint = "convert it to text first, for example with JSON.encode"
    raise ToolError(
        f"row {row} holds a {kind}, which is not a CSV value",
        hint=hint,
        details={"row": row},
    )


def _line(cells: list[str], delimiter: str) -> str:
    """Format a row. The csv module does not quote a lone carriage return, which readers reject."""
    special = re.compile(f'["\r\n{re.escape(delimiter)}]')
    quoted = ['"' + c.replace('"', '""') + '"' if special.search(c) else c for c in cells]
    line = delimiter.join(quoted)
    return (line or '""') + "\n"  # readers skip empty lines
