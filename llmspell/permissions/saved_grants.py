"""Permanent grants of spells, in the project's `.llmspell/grants.json`.

They are stored by the SHA-256 of the spell's text, so a changed spell has to be granted anew.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from llmspell.atomic_files import replace_file
from llmspell.permissions import KINDS, NOTHING, Grants, Kind

log = logging.getLogger("llmspell.permissions")

Lists = dict[Kind, list[str]]


class SavedGrants:
    """The file of saved grants. A file that cannot be read is ignored with a warning."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def of(self, source: bytes) -> Grants:
        """Return the grants of the spell with that text."""
        known = self._read()
        return Grants.from_lists(known.get(_key(source), {})) if known else NOTHING

    def add(self, source: bytes, grants: Grants) -> None:
        """Save more grants for the spell with that text. A broken file is renamed first."""
        import json

        known, key = self._read(), _key(source)
        try:
            if known is None:
                self._file.replace(self._file.with_suffix(".broken"))
                known = {}
            known[key] = Grants.from_lists(known.get(key, {})).merged(grants).as_lists()
            self._file.parent.mkdir(exist_ok=True)
            text = json.dumps(known, indent=2) + "\n"
            replace_file(self._file, text.encode(), mode=0o600)
        except OSError as error:
            log.warning("%s: it cannot be saved: %s", self._file, error.strerror)

    def _read(self) -> dict[str, Lists] | None:
        """Return the saved grants, or None if the file cannot be used."""
        try:
            text = self._file.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except OSError as error:
            log.warning("%s is ignored: %s", self._file, error.strerror)
            return None
        import json

        try:
            return _checked(json.loads(text))
        except (ValueError, RecursionError) as error:
            log.warning("%s is ignored, as it is broken: %s", self._file, error)
            return None


def _key(source: bytes) -> str:
    from hashlib import sha256

    return sha256(source).hexdigest()


def _checked(table: Any) -> dict[str, Lists]:
    if not isinstance(table, dict) or not all(map(_are_lists, table.values())):
        raise ValueError("it must contain lists of strings, by kind and by the spell's SHA-256")
    return table


def _are_lists(entry: Any) -> bool:
    return isinstance(entry, dict) and all(
        kind in KINDS and isinstance(targets, list) and all(isinstance(t, str) for t in targets)
        for kind, targets in entry.items()
    )
