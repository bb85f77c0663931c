"""Creates plugins from the entries of `[[plugins]]`, with validated settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmspell.config import PluginSettings
from llmspell.errors import ConfigError, PluginError
from llmspell.importing import Offer, installed, load_object
from llmspell.plugins.plugin import Plugin
from llmspell.suggestions import did_you_mean

if TYPE_CHECKING:
    from pydantic import BaseModel

GROUP = "llmspell.plugins"
"""The entry-point group of installed plugins: name to `module:Class`."""


def find_class(entry: PluginSettings) -> type[Plugin]:
    """Return the class that an entry names.

    Raises:
        PluginError: It is not installed, cannot be imported, or is not a plugin.
    """
    if entry.module:
        reference, plugin_class = entry.module, load_object(entry.module, what="the plugin")
    else:
        offer = _find_offer(entry.name or "")
        reference, plugin_class = offer.reference, offer.load(what="the plugin")
    if not (isinstance(plugin_class, type) and issubclass(plugin_class, Plugin)):
        raise PluginError(f"{reference} is not a plugin", hint="it must be a subclass of Plugin")
    name = getattr(plugin_class, "name", None)
    if not (isinstance(name, str) and name):
        raise PluginError(f"{reference} has no name", hint='give the class a name = "…"')
    if plugin_class.settings_model is not None and not _is_model(plugin_class.settings_model):
        raise PluginError(
            f"{reference} has a settings_model that is not a model",
            hint="it must be a subclass of pydantic's BaseModel",
        )
    return plugin_class


def _is_model(plugin_class: object) -> bool:
    from pydantic import BaseModel

    return isinstance(plugin_class, type) and issubclass(plugin_class, BaseModel)


def _find_offer(name: str) -> Offer:
    """Return the entry point of a plugin. Raises PluginError when there is none, or several."""
    offers = [offer for offer in installed(GROUP) if offer.name == name]
    if not offers:
        raise _not_installed(name)
    if len(offers) > 1:
        packages = " and ".join(offer.package for offer in offers)
        references = " or ".join(f'"{offer.reference}"' for offer in offers)
        raise PluginError(
            f"several packages have a plugin named {name!r}: {packages}",
            hint=f"choose one: set module = {references} as well",
        )
    return offers[0]


def _not_installed(name: str) -> PluginError:
    otherwise = "install its package, or set module for your own"
    hint = did_you_mean(name, [offer.name for offer in installed(GROUP)], otherwise=otherwise)
    return PluginError(f"no plugin named {name!r} is installed", hint=hint)


def same_name(name: str, source: str) -> ConfigError:
    """Return the error for two enabled entries with the same name."""
    hint = "set enabled = false for one of them, or rename it"
    return ConfigError(source, [f"plugins.{name}: two plugins have that name"], hint=hint)


def make_plugin(entry: PluginSettings, source: str) -> Plugin:
    """Create the plugin of an entry; `source` names the settings file in errors.

    Raises:
        ConfigError: Its settings are invalid; the error lists every wrong key.
        PluginError: It cannot be loaded or created.
    """
    plugin_class = find_class(entry)
    name = entry.name or plugin_class.name
    settings = check_plugin_settings(plugin_class, entry.settings, name, source)
    try:
        return plugin_class(settings)
    except (Exception, SystemExit) as error:
        raise PluginError(f"{type(error).__name__}: {error}") from error


def check_plugin_settings(
    plugin_class: type[Plugin], given: dict[str, Any], name: str, source: str
) -> BaseModel | None:
    """Validate settings with the plugin's model. Raises ConfigError, or PluginError if it fails."""
    place = f"plugins.{name}.settings"
    if plugin_class.settings_model is None:
        problems = [f"{place}.{key} is not a setting" for key in given]
        if problems:
            raise ConfigError(source, problems, hint=f"{name} has no settings")
        return None
    from pydantic import ValidationError

    try:
        return plugin_class.settings_model.model_validate(given, extra="forbid")
    except ValidationError as error:
        fields = [f.alias or key for key, f in plugin_class.settings_model.model_fields.items()]
        problems = [_problem(place, e["loc"], e["type"], e["msg"]) for e in error.errors()]
        hint = f"settings of {name} are {', '.join(fields)}"
        # Suppress pydantic's error: it quotes the settings, which may contain secrets.
        raise ConfigError(source, problems, hint=hint) from None
    except Exception as error:
        message = f"its settings cannot be checked: {type(error).__name__}: {error}"
        raise PluginError(message) from error


def _problem(place: str, location: tuple[int | str, ...], kind: str, message: str) -> str:
    key = ".".join((place, *map(str, location)))
    if kind == "extra_forbidden":
        return f"{key} is not a setting"
    message = message.removeprefix("Value error, ")
    return f"{key}: {message[0].lower()}{message[1:]}"
