"""Whose the files are that decide what spells may do, and which Python is loaded."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from llmspell.errors import ConfigError

ROOT = 0


def refuse_others(places: Iterable[Path], start: Path) -> None:
    """Raise ConfigError if one of the places, if it is there, is neither the user's nor root's.

    Root, who works on the files of others, believes those of whoever has the folder `start`.
    """
    user = os.geteuid()
    believed = {ROOT, user, start.stat().st_uid} if user == ROOT else {ROOT, user}
    for place in places:
        if place.exists() and place.stat().st_uid not in believed:
            problem = "it belongs to another user, who would decide what spells may do"
            raise ConfigError(str(place), [problem], hint="make it yours, or work elsewhere")
