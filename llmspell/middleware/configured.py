"""Middleware that the settings name: `[[middleware]]`."""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy

from llmspell.config import MiddlewareSettings
from llmspell.errors import ConfigError
from llmspell.importing import load_object
from llmspell.middleware import Middleware, as_middleware

SHIPPED = {
    "logging": "llmspell.middleware.logs:Logging",
    "metrics": "llmspell.middleware.metrics:Metrics",
}


def configured(settings: Iterable[MiddlewareSettings], source: str) -> list[Middleware]:
    """One for each entry, in their order; `source` names the file in errors.

    Raises:
        ConfigError: When there is none of that name, or what `module` names is none.
        PluginError: When `module` cannot be loaded.
    """
    return [_make(entry, source) for entry in settings]


def _make(entry: MiddlewareSettings, source: str) -> Middleware:
    reference = entry.module or SHIPPED.get(entry.name or "")
    if reference is None:
        hint = f'there are {" and ".join(SHIPPED)}; for one of yours set module = "file.py:NAME"'
        problem = f"middleware.{entry.name}: no middleware is named so"
        raise ConfigError(source, [problem], hint=hint)
    found = load_object(reference, what="middleware")
    # A copy, as the same one may be wanted in two places.
    middleware = copy(as_middleware(found() if isinstance(found, type) else found))
    if entry.effects and not hasattr(middleware, "effects"):
        problem = f"middleware.{middleware.name}.effects: it is for all effects"
        raise ConfigError(source, [problem])
    changes = {"name": entry.name, "effects": entry.effects}
    if entry.before or entry.after:
        changes |= {"before": entry.before, "after": entry.after}
    for attribute, value in changes.items():
        if value or attribute in {"before", "after"}:
            setattr(middleware, attribute, value)
    return middleware
