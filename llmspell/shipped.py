"""The hooks and the middleware that are shipped, by their names in the settings."""

from __future__ import annotations

from typing import Literal

from llmspell.errors import ConfigError
from llmspell.suggestions import did_you_mean

Section = Literal["hooks", "middleware"]

SHIPPED: dict[Section, dict[str, str]] = {
    "hooks": {
        "cache": "llmspell.hooks.builtin:Caching",
        "costs": "llmspell.hooks.builtin:Costs",
        "debugging": "llmspell.hooks.builtin:Debugging",
        "guard": "llmspell.hooks.builtin:Guard",
        "logging": "llmspell.hooks.builtin:Logging",
        "redaction": "llmspell.hooks.builtin:Redaction",
        "retry": "llmspell.hooks.builtin:Retrying",
    },
    "middleware": {
        "debugging": "llmspell.middleware.logs:Debugging",
        "logging": "llmspell.middleware.logs:Logging",
        "metrics": "llmspell.middleware.metrics:Metrics",
        "rate_limit": "llmspell.middleware.rate_limit:RateLimit",
        "usage": "llmspell.middleware.usage:TokenUsage",
    },
}
"""References that `load_object` takes, by section of the settings and name."""

_ONE: dict[Section, str] = {"hooks": "hook", "middleware": "middleware"}


def reference(section: Section, name: str | None, module: str | None, source: str) -> str:
    """Return where the class or function of an entry of the settings is.

    Args:
        section: The section of the entry.
        name: Its `name`.
        module: Its `module`, which says where to find one that is not shipped.
        source: Names the file in errors.

    Raises:
        ConfigError: Nothing that is shipped has that name.
    """
    name = name or ""
    found = module or SHIPPED[section].get(name)
    if found is None:
        problem = f"{section}.{name}: no {_ONE[section]} has that name"
        raise ConfigError(source, [problem], hint=_hint(section, name))
    return found


def _hint(section: Section, name: str) -> str:
    for other, names in SHIPPED.items():
        if name in names:
            what = "middleware" if other == "middleware" else "a hook"
            return f"{name} is {what}: write [[{other}]] instead of [[{section}]]"
    names = SHIPPED[section]
    available = f'available: {", ".join(names)}; for your own, set module = "file.py:NAME"'
    return did_you_mean(name, names, otherwise=available)
