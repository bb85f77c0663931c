"""Checks patterns that select effects by name, such as `tool.call` or `agent.*`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from llmspell.errors import ConfigError, UnknownEffect

PatternCheck = Callable[[str], None]
"""Raises UnknownEffect for a pattern that matches no effect."""


class SettingsPlace(NamedTuple):
    """Where settings are from, for messages.

    Attributes:
        file: The settings file, or what else has them.
        key: The key in it: `hooks.guard.effects`.
    """

    file: str
    key: str


def check_patterns(patterns: Iterable[str], check: PatternCheck, *, place: SettingsPlace) -> None:
    """Check that every pattern may match an effect; otherwise what it selects is never called.

    Args:
        patterns: The patterns.
        check: Checks one of them.
        place: Where they are from, for messages.

    Raises:
        ConfigError: A pattern matches no effect; the hint suggests similar ones.
    """
    for pattern in patterns:
        try:
            check(pattern)
        except UnknownEffect as error:
            hint = error.hint or "the effects of a plugin are known once it has started"
            raise ConfigError(place.file, [f"{place.key}: {error.message}"], hint=hint) from error
