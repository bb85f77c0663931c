"""Information about plugins without starting them: for listings, the schema and `doctor`."""

from __future__ import annotations

import inspect
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any, Literal

from llmspell.config import PluginSettings, Project
from llmspell.errors import ConfigError, PluginError
from llmspell.importing import installed
from llmspell.plugins.loading import GROUP, check_plugin_settings, find_class, same_name
from llmspell.plugins.plugin import CONTRIBUTIONS, Plugin

Standing = Literal["enabled", "disabled", "not listed", "broken"]


@dataclass(frozen=True)
class PluginInfo:
    """A plugin that the settings list, or that is only installed.

    Attributes:
        name: Its name in the settings.
        entry: Its entry in the settings, or the default one.
        listed: Whether the settings list it.
        found: Its class, unless it cannot be loaded.
        settings: Its validated settings, if they are valid.
        error: Why it cannot be started.
    """

    name: str
    entry: PluginSettings
    listed: bool
    found: type[Plugin] | None = None
    settings: Any = None
    error: PluginError | ConfigError | None = None

    @property
    def standing(self) -> Standing:
        if self.error:
            return "broken"
        if not self.listed:
            return "not listed"
        return "enabled" if self.entry.enabled else "disabled"

    @property
    def description(self) -> str:
        return inspect.cleandoc((self.found and self.found.__doc__) or "")

    @property
    def brings(self) -> list[str]:
        """The kinds of contributions, determined from the methods that its class overrides."""
        found = self.found
        if found is None:
            return []
        return [c for c in CONTRIBUTIONS if getattr(found, c) is not getattr(Plugin, c)]

    @property
    def package(self) -> tuple[str, str] | None:
        """Name and version of the package that provides it."""
        if self.entry.module:
            return None
        offers = [offer for offer in installed(GROUP) if offer.name == self.name]
        return (offers[0].package, offers[0].version) if len(offers) == 1 else None


def known_plugins(project: Project) -> list[PluginInfo]:
    """Return the listed plugins in the order in which they start, then other installed ones."""
    entries = sorted(project.settings.plugins, key=lambda entry: -entry.priority)
    source = str(project.file or project.root)
    listed = _of_one_name([_look_at(entry, source, listed=True) for entry in entries], source)
    named = {entry.name or "" for entry in entries if not entry.module}
    offered = {offer.name for offer in installed(GROUP)}
    others = [PluginSettings(name) for name in sorted(offered.difference(named))]
    return [*listed, *(_look_at(entry, source, listed=False) for entry in others)]


def _of_one_name(listed: list[PluginInfo], source: str) -> list[PluginInfo]:
    """Mark enabled plugins that share a name as broken, since they prevent the start."""
    names = Counter(one.name for one in listed if one.standing == "enabled")
    return [
        replace(one, error=same_name(one.name, source))
        if one.standing == "enabled" and names[one.name] > 1
        else one
        for one in listed
    ]


def _look_at(entry: PluginSettings, source: str, *, listed: bool) -> PluginInfo:
    name = entry.name or str(entry.module)
    try:
        found = find_class(entry)
    except PluginError as error:
        return PluginInfo(name, entry, listed, error=error)
    name = entry.name or found.name
    if not listed:
        return PluginInfo(name, entry, listed, found)
    try:
        settings = check_plugin_settings(found, entry.settings, name, source)
    except (ConfigError, PluginError) as error:
        return PluginInfo(name, entry, listed, found, error=error)
    return PluginInfo(name, entry, listed, found, settings)
