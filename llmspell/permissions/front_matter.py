"""Reads and edits the `[permissions]` that a spell requests in its front matter."""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections.abc import Iterator
from typing import Any, NamedTuple

from llmspell.front_matter import block_of
from llmspell.toml_parsing import parse_toml
from llmspell.values import encodable, is_encodable

Asked = dict[str, list[str]]
"""Targets by kind, as written in the file."""

_SECTION = "permissions"
_WHOLE = re.compile(rf"""\s*["']?{_SECTION}["']?\s*=""")
_LONGEST_LINE = 90


class PermissionsEditor:
    """Edits the permissions in a spell's text.

    Attributes:
        asked: The permissions that the spell requests.
    """

    def __init__(self, text: bytes, *, comment: bool = True) -> None:
        """Parse the front matter.

        Args:
            text: The text of the spell, or of its spell.toml.
            comment: Whether the front matter is the first comment of a spell.

        Raises:
            ValueError: The front matter is invalid.
        """
        self._comment = comment
        self._newline = b"\r\n" if text.partition(b"\n")[0].endswith(b"\r") else b"\n"
        self._head, lines, self._tail = self._around(text) if comment else (b"", text, b"")
        self._lines = lines.splitlines(keepends=True)
        if self._lines and not self._lines[-1].endswith(b"\n"):
            self._lines[-1] += self._newline
        self._table = _parse(self._toml(self._lines))
        self.asked = _asked_in(self._table)

    def adding(self, more: Asked) -> bytes:
        """Return the text with more permissions requested.

        Other lines than those that request permissions of these kinds are kept byte for byte.

        Raises:
            ValueError: The existing permissions are written in a form that cannot be extended.
        """
        asked = self.asked | {k: sorted({*self.asked.get(k, []), *more[k]}) for k in more}
        lines = self._changed(asked, set(more))
        wanted = {key: value for key, value in self._table.items() if key != _SECTION}
        found = _parse(self._toml(lines))
        # Compared as text, because a NaN is not equal to itself.
        if found.pop(_SECTION, {}) != asked or repr(found) != repr(wanted):
            raise ValueError(f"[{_SECTION}] is in a form that cannot be extended")
        return b"".join([self._head, *lines, self._tail])

    def _around(self, text: bytes) -> tuple[bytes, bytes, bytes]:
        """Split into what precedes the TOML, its lines, and the rest; create a missing block."""
        mark = BOM_UTF8 if text.startswith(BOM_UTF8) else b""
        source = text[len(mark) :]
        block = block_of(source)
        if block is not None:
            return mark + source[: block.start], source[block], source[block.stop :]
        shebang, end, rest = (
            source.partition(b"\n") if source.startswith(b"#") else (b"", b"", source)
        )
        if shebang:
            shebang += end or self._newline
        opening, closing = b"--- /// spell" + self._newline, b"--- ///" + self._newline
        return mark + shebang + opening, b"", closing + rest

    def _toml(self, lines: list[bytes]) -> list[str]:
        """Return the lines without comment markers and line ends."""
        shown = [line.rstrip(b"\r\n").decode() for line in lines]
        return [re.sub(r"^---? ?", "", line) for line in shown] if self._comment else shown

    def _changed(self, asked: Asked, more: set[str]) -> list[bytes]:
        """Return the lines, with those of the kinds in `more` rewritten."""
        lines: list[bytes] = []
        missing = set(more)
        last: tuple[int, str] | None = None
        for part in _parts(self._toml(self._lines)):
            if part.whole or more & part.kinds:
                for kind in sorted(part.kinds):
                    lines += self._written(part.prefix, kind, asked[kind])
                missing -= part.kinds
            else:
                lines += self._lines[part.start : part.stop]
            if part.whole or part.kinds or part.opens:
                last = len(lines), part.prefix
        if last is None:
            lines.append(self._line(f"[{_SECTION}]"))
            last = len(lines), ""
        place, prefix = last
        new = [
            line for kind in sorted(missing) for line in self._written(prefix, kind, asked[kind])
        ]
        return lines[:place] + new + lines[place:]

    def _written(self, prefix: str, kind: str, targets: list[str]) -> list[bytes]:
        items = [_quoted(target) for target in targets]
        line = f"{prefix}{kind} = [{', '.join(items)}]"
        if len(line) <= _LONGEST_LINE:
            return [self._line(line)]
        between = [f"  {item}," for item in items]
        return [self._line(line) for line in (f"{prefix}{kind} = [", *between, "]")]

    def _line(self, toml: str) -> bytes:
        return f"{'--- ' if self._comment else ''}{toml}".encode() + self._newline


class _Part(NamedTuple):
    """The lines of one TOML statement.

    Attributes:
        opens: Whether it is the header of the section.
        whole: Whether it is the whole section, `permissions = {…}`, so that nothing can be added
            elsewhere.
        kinds: The kinds it requests permissions of.
        prefix: What precedes the kind.
    """

    start: int
    stop: int
    opens: bool
    whole: bool
    kinds: set[str]
    prefix: str


def _parts(lines: list[str]) -> Iterator[_Part]:
    start, section = 0, ""
    while start < len(lines):
        stop = start + 1
        while (table := _parsed(lines[start:stop])) is None and stop < len(lines):
            stop += 1  # a statement's lines are valid TOML only once they are complete
        table = table or {}
        header = lines[start].lstrip().startswith("[")
        if header:
            section = next(iter(table))
        at_top, inside = not section, section == _SECTION
        requested = table if inside else table.get(_SECTION, {}) if at_top else {}
        yield _Part(
            start,
            stop,
            opens=header and inside,
            whole=at_top and bool(_WHOLE.match(lines[start])),
            kinds=set() if header else set(requested),
            prefix="" if inside else f"{_SECTION}.",
        )
        start = stop


def _parse(lines: list[str]) -> dict[str, Any]:
    return parse_toml("\n".join(lines))


def _parsed(lines: list[str]) -> dict[str, Any] | None:
    try:
        return _parse(lines)
    except ValueError:
        return None


def _asked_in(table: dict[str, Any]) -> Asked:
    asked = table.get(_SECTION, {})
    if not isinstance(asked, dict):
        raise ValueError(f"{_SECTION} must be a table")  # noqa: TRY004 - an invalid setting
    for kind, targets in asked.items():
        if not isinstance(targets, list) or not all(isinstance(target, str) for target in targets):
            raise ValueError(f"{_SECTION}.{kind} must be a list of strings")
    return asked


def _quoted(text: str) -> str:
    """Return a text as a TOML string. Raises ValueError for one that has none."""
    if not is_encodable(text):
        raise ValueError(f"{encodable(text)} is not UTF-8, so it cannot be named here")
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    shown = re.sub(r"[\x00-\x1f\x7f]", lambda control: f"\\u{ord(control[0]):04x}", escaped)
    return f'"{shown}"'
