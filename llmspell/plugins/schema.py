"""The JSON Schema of the settings, with those of plugins."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from llmspell.config import Settings
from llmspell.plugins.plugin import Plugin

_ATTRIBUTE = re.compile(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", re.MULTILINE)


def settings_schema(plugins: Mapping[str, type[Plugin]]) -> dict[str, Any]:
    """What may stand in llmspell.toml.

    Args:
        plugins: Plugins by the name that settings call them.
    """
    from pydantic import TypeAdapter

    schema = TypeAdapter(Settings).json_schema()
    for part in (schema, *schema["$defs"].values()):
        _describe_properties(part)
    entry = schema["$defs"]["PluginSettings"]
    entry["allOf"] = [_if_named(name, settings_of(found)) for name, found in plugins.items()]
    if not entry["allOf"]:
        del entry["allOf"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema


def settings_of(plugin: type[Plugin]) -> dict[str, Any]:
    """The schema of a plugin's settings. Keys that are no field are refused, at any depth."""
    if plugin.settings_model is None:
        return {"type": "object", "maxProperties": 0}
    schema = plugin.settings_model.model_json_schema()
    for part in (schema, *schema.get("$defs", {}).values()):
        if "properties" in part:
            part["additionalProperties"] = False
    return schema


def _describe_properties(part: dict[str, Any]) -> None:
    """Tell of each property what the docstring of its class does."""
    part["description"], _, attributes = part["description"].partition("\n\nAttributes:\n")
    for name, text in _ATTRIBUTE.findall(attributes):
        part["properties"][name]["description"] = " ".join(text.split())


def _if_named(name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """What holds for the entry of that name. The references of `settings` stay within it."""
    named = {"properties": {"name": {"const": name}}, "required": ["name"]}
    embedded = {"$id": f"urn:llmspell:plugin:{name}"} | settings
    then: dict[str, Any] = {"properties": {"settings": embedded}}
    if settings.get("required"):
        then["required"] = ["settings"]
    return {"if": named, "then": then}
