"""Checks who owns the files that decide what spells may do and which Python is loaded."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from llmspell.errors import ConfigError

ROOT = 0


def refuse_others(places: Iterable[Path], start: Path) -> None:
    """Raise ConfigError if an existing place belongs to neither the user nor root.

    Root, who works on other users' files, also trusts the owner of the folder `start`.
    """
    user = os.geteuid()
    believed = {ROOT, user, start.stat().st_uid} if user == ROOT else {ROOT, user}
    for place in places:
        if place.exists() and place.stat().st_uid not in believed:
            problem = "it belongs to another user, who could then decide what spells may do"
            raise ConfigError(str(place), [problem], hint="take ownership of it, or work elsewhere")
