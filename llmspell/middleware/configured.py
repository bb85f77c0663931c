"""Creates the middleware listed as `[[middleware]]` in the settings."""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from typing import Any

from llmspell.config import MiddlewareSettings
from llmspell.effect_patterns import SettingsPlace
from llmspell.errors import ConfigError
from llmspell.factory import construct
from llmspell.importing import load_object, named_in
from llmspell.middleware import Middleware, as_middleware
from llmspell.shipped import reference


def configured(settings: Iterable[MiddlewareSettings], source: str) -> list[Middleware]:
    """Create middleware for each entry, in order; `source` names the file in errors.

    Raises:
        ConfigError: No middleware has that name, its settings are wrong, or `module` does not name
            middleware.
        PluginError: `module` cannot be loaded.
    """
    return [_make(entry, source) for entry in settings]


def _make(entry: MiddlewareSettings, source: str) -> Middleware:
    found = reference("middleware", entry.name, entry.module, source)
    place = f"middleware.{entry.name or entry.module}"
    with named_in(source, place):
        loaded = load_object(found, what="middleware")
    middleware = as_middleware(_object(loaded, entry, source))
    if entry.effects and not hasattr(middleware, "effects"):
        problem = f"middleware.{middleware.name}.effects: it applies to all effects"
        raise ConfigError(source, [problem])
    changes = {
        "name": entry.name,
        "effects": entry.effects,
        "place": SettingsPlace(source, f"{place}.effects" if entry.effects else place),
    }
    if entry.before or entry.after:
        changes |= {"before": entry.before, "after": entry.after}
    for attribute, value in changes.items():
        if value or attribute in {"before", "after"}:
            setattr(middleware, attribute, value)
    return middleware


def _object(loaded: Any, entry: MiddlewareSettings, source: str) -> Any:
    place = f"middleware.{entry.name or entry.module}.settings"
    if isinstance(loaded, type):
        return construct(loaded, entry.settings, place=place, source=source)
    if entry.settings:
        raise ConfigError(source, [f"{place}: only a class takes settings"])
    return copy(as_middleware(loaded))  # several entries may configure the same object
