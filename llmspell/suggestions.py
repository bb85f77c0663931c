"""Suggestions for an unknown name: similar known ones."""

from __future__ import annotations

from collections.abc import Iterable

_SHORT = 3


def similar(name: str, known: Iterable[str], *, most: int = 3) -> list[str]:
    """Return up to `most` known names that resemble this one, most similar first, in any case."""
    from difflib import get_close_matches  # lazy, since most runs never need it

    # The similarity required. In a name of three letters, one wrong letter is a third of it.
    least = 0.7 if len(name) > _SHORT else 0.65
    by_lower = {one.lower(): one for one in known}
    return [by_lower[one] for one in get_close_matches(name.lower(), by_lower, most, least)]


def did_you_mean(name: str, known: Iterable[str], *, otherwise: str, most: int = 1) -> str:
    """Return a hint with similar names, or `otherwise` when there are none."""
    suggestions = similar(name, known, most=most)
    return f"did you mean {' or '.join(suggestions)}?" if suggestions else otherwise
