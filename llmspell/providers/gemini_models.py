"""What Google's models differ in, as far as a request must know.

Source: Google's page on thinking, and on combining tools with structured output.
"""

from __future__ import annotations

import re
from typing import NamedTuple

Levels = tuple[str, ...]

_ALL: Levels = ("MINIMAL", "LOW", "MEDIUM", "HIGH")
_MOST: Levels = _ALL[1:]


class Traits(NamedTuple):
    """What a model takes.

    Attributes:
        levels: The words it is told by how much to think, least first.
        least_budget: For those that are given a number of tokens instead: the least; None for
            models that do not think, or go by words.
        media: Whether the result of a tool may hold pictures and files.
        combines: Whether it can be held to a schema while it has tools.
    """

    levels: Levels = ()
    least_budget: int | None = None
    media: bool = False
    combines: bool = False


_OLD = Traits()
_CURRENT = Traits(_MOST, media=True, combines=True)

# The first whose pattern fits the beginning of the model's name. What is newer than this table is
# taken to be like the models of today, and what is no Gemini like the old ones.
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
    """Those of a model, which may have a path before its name."""
    name = model.rpartition("/")[2]
    return next((found for known, found in _BY_NAME if re.match(known, name)), _OLD)
