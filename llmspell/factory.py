"""Creates objects from settings that name a class and arguments of its constructor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llmspell.errors import ConfigError, InvalidArguments
from llmspell.signature import Signature


def signature_of(kind: Any) -> Signature | None:
    """Return the signature of a class's constructor, or None when it takes nothing."""
    if kind.__init__ is object.__init__:
        return None
    return Signature(object.__new__(kind).__init__)  # bound, so without self


def construct(kind: type, settings: dict[str, Any], *, place: str, source: str) -> Any:
    """Create an object of a class from settings, with relative paths resolved against the file.

    Args:
        kind: The class. Its constructor must have type hints.
        settings: The constructor's arguments by name.
        place: The key of the settings, for messages: `hooks.retry.settings`.
        source: The settings file.

    Raises:
        ConfigError: The settings are invalid; the error lists every problem.
    """
    signature = signature_of(kind)
    if signature is None:
        if settings:
            raise ConfigError(source, [f"{place}.{key} is not a setting" for key in settings])
        return kind()
    try:
        given = signature.bind(settings, target=place)
    except InvalidArguments as error:
        problems = [f"{place}.{problem}" for problem in error.details["problems"]]
        raise ConfigError(source, problems, hint=error.hint) from None
    folder = Path(source).parent
    placed = {key: folder / v if isinstance(v, Path) else v for key, v in given.items()}
    try:
        return kind(**placed)
    except ValueError as error:
        raise ConfigError(source, [f"{place}: {error}"]) from error
    except Exception as error:
        problem = f"{place}: {type(error).__name__}: {error}"
        raise ConfigError(source, [problem], hint="see the traceback with --debug") from error
