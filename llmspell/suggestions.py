"""Suggestions for a name that is not known: the known ones that look like it."""

from __future__ import annotations

from collections.abc import Iterable

_SHORT = 3


def similar(name: str, known: Iterable[str], *, most: int = 3) -> list[str]:
    """At most so many known names that look like this one, the most similar first."""
    from difflib import get_close_matches  # most runs make no mistake

    # How much of both names has to be the same. One wrong letter of three is a third of the name.
    least = 0.7 if len(name) > _SHORT else 0.65
    return get_close_matches(name, list(known), n=most, cutoff=least)


def did_you_mean(name: str, known: Iterable[str], *, otherwise: str, most: int = 1) -> str:
    """A hint that names what is similar, or `otherwise` when nothing is."""
    found = similar(name, known, most=most)
    return f"did you mean {' or '.join(found)}?" if found else otherwise
