"""Exports and imports state as a document, in JSON without loss.

    {"llmspell_state": 1,
     "scopes": {"": {"user": {"value": {"name": "Ada"}},
                     "token": {"value": {"$bytes": "AP8="}, "expires": 1790000000.0}}}}

Values are encoded as in encoding.py. `expires` is in seconds since 1970, so a ttl keeps running
between export and import.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, NamedTuple

from llmspell.errors import StateError
from llmspell.state.encoding import decode, encode
from llmspell.state.store import check_address
from llmspell.values import Value

VERSION = 1

_MARK = "llmspell_state"
_SHOWN = 5


class Entry(NamedTuple):
    """A key; `text` is its encoded value, `expires` is in seconds since 1970."""

    scope: str
    key: str
    text: str
    expires: float | None


def to_document(entries: Iterable[Entry]) -> dict[str, Any]:
    scopes: dict[str, dict[str, dict[str, Any]]] = {}
    for entry in sorted(entries):
        written = {"value": _parsed(entry)}
        if entry.expires is not None:
            written["expires"] = entry.expires
        scopes.setdefault(entry.scope, {})[entry.key] = written
    return {_MARK: VERSION, "scopes": scopes}


def _parsed(entry: Entry) -> Any:
    try:
        return json.loads(entry.text)
    except (ValueError, RecursionError) as error:
        raise StateError(
            f"the stored value of {_place(entry.scope, entry.key)} is damaged: {error}",
            hint="delete the key, or set it again",
        ) from error


def from_document(document: Any, scope: str | None = None) -> list[Entry]:
    """Return the entries of a document, or of one of its scopes, without expired ones.

    Raises:
        StateError: The document is invalid; it lists every problem. Other scopes than the requested
            one are not checked.
    """
    scopes = _scopes(document)
    entries, problems = [], []
    for name, keys in scopes.items():
        if scope not in (None, name):
            continue
        for key, written in keys.items():
            try:
                entries.append(_entry(name, key, written))
            except StateError as error:
                problems.append(f"{_place(name, key)}: {error.message}")
    if problems:
        raise _refusal(problems)
    now = time.time()
    return [entry for entry in entries if entry.expires is None or entry.expires > now]


def value_from_json(parsed: Any) -> Value:
    """Return the value that parsed JSON represents in a document. Raises StateError."""
    try:
        value = decode(json.dumps(parsed))
    except StateError as error:
        raise StateError(f"{str(parsed)[:80]} does not represent a value") from error
    if value is None:
        raise StateError("null is not a value")
    return value


def _scopes(document: Any) -> dict[str, dict[str, Any]]:
    version = document.get(_MARK) if isinstance(document, dict) else None
    if type(version) is int and version > VERSION:
        raise StateError(
            "the document was written by a later version of llmspell", hint="upgrade llmspell"
        )
    scopes = document.get("scopes") if version == VERSION else None
    if not isinstance(scopes, dict) or not all(isinstance(s, dict) for s in scopes.values()):
        raise StateError(
            "this is not an exported state", hint="import what `llmspell state export` wrote"
        )
    return scopes


def _entry(scope: str, key: str, written: Any) -> Entry:
    check_address(scope, key)
    if not isinstance(written, dict) or not {"value"} <= written.keys() <= {"value", "expires"}:
        raise StateError("a key may only have value and expires")
    value = value_from_json(written["value"])
    return Entry(scope, key, encode(value), _seconds(written.get("expires")))


def _seconds(expires: Any) -> float | None:
    if expires is None:
        return None
    with suppress(OverflowError):
        if type(expires) in (int, float) and math.isfinite(seconds := float(expires)):
            return seconds
    raise StateError("expires must be a number of seconds since 1970")


def _place(scope: str, key: str) -> str:
    return f"{scope}/{key}" if scope else key


def _refusal(problems: list[str]) -> StateError:
    more = len(problems) - _SHOWN
    shown = "; ".join(problems[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")
    return StateError(
        f"the document cannot be imported: {shown}",
        hint="nothing was changed; fix the document, or leave these keys out",
        details={"problems": problems},
    )
