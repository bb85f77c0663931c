"""Differences between Google's models that affect a request.

Source: Google's page on thinking, and on combining tools with structured output.
"""

from __future__ import annotations

import re
from typing import NamedTuple

Levels = tuple[str, ...]

_ALL: Levels = ("MINIMAL", "LOW", "MEDIUM", "HIGH")
_MOST: Levels = _ALL[1:]


class Traits(NamedTuple):
    """What a model accepts.

    Attributes:
        levels: Its thinking levels, lowest first.
        least_budget: The smallest thinking budget in tokens; None for models that do not think,
            or use levels instead.
        media: Whether a tool result may contain images and files.
        combines: Whether structured output can be combined with tools.
    """

    levels: Levels = ()
    least_budget: int | None = None
    media: bool = False
    combines: bool = False


_OLD = Traits()
_CURRENT = Traits(_MOST, media=True, combines=True)

# The first pattern that matches the start of the model's name wins. Models newer than this table
# are assumed to behave like the current ones, and models other than Gemini like the old ones.
_BY_NAME: tuple[tuple[str, Traits], ...] = (
    (r"gemini-2\.5-flash-image", _OLD),
    (r"gemini-2\.5-pro", Traits(least_budget=128)),
    (r"gemini-2\.5", Traits(least_budget=0)),
    (r"gemini-(1|2|pro$|pro-vision)", _OLD),
    (r"gemini-3-pro", _CURRENT._replace(levels=("LOW", "HIGH"))),
    (r"gemini-3\.1-flash-lite-image", _CURRENT._replace(levels=("MINIMAL", "HIGH"))),
    (r"gemini-3(\.[15])?-flash", _CURRENT._replace(levels=_ALL)),
    (r"gemini-", _CURRENT),
)


def traits(model: str) -> Traits:
    """Return the traits of a model; its name may be preceded by a path."""
    name = model.rpartition("/")[2]
    return next((known_traits for known, known_traits in _BY_NAME if re.match(known, name)), _OLD)
