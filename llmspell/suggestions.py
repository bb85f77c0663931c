"""Suggestions for an unknown name: similar known ones."""

from __future__ import annotations

from collections.abc import Iterable


def similar(name: str, known: Iterable[str], *, most: int = 3) -> list[str]:
    """Return up to `most` known names that resemble this one, most similar first."""
    from difflib import get_close_matches  # most runs make no mistake

    return get_close_matches(name, list(known), n=most)


def did_you_mean(name: str, known: Iterable[str], *, otherwise: str, most: int = 1) -> str:
    """Return a hint with similar names, or `otherwise` when there are none."""
    found = similar(name, known, most=most)
    return f"did you mean {' or '.join(found)}?" if found else otherwise
