"""The JSON Schema of the settings, including those of plugins, shipped hooks and middleware."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from llmspell.config import Settings
from llmspell.factory import signature_of
from llmspell.importing import load_object
from llmspell.plugins.plugin import Plugin
from llmspell.shipped import SHIPPED

_OF_THE_ENTRY = ("name", "effects", "before", "after")
_ATTRIBUTE = re.compile(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", re.MULTILINE)


def settings_schema(plugins: Mapping[str, type[Plugin]]) -> dict[str, Any]:
    """Return the JSON Schema of llmspell.toml.

    Args:
        plugins: Plugin classes, by their name in the settings.
    """
    from pydantic import TypeAdapter

    schema = TypeAdapter(Settings).json_schema()
    for part in (schema, *schema["$defs"].values()):
        _describe_properties(part)
    listed = {
        "HookSettings": _all_settings(SHIPPED["hooks"]),
        "MiddlewareSettings": _all_settings(SHIPPED["middleware"]),
        "PluginSettings": {name: settings_of(cls) for name, cls in plugins.items()},
    }
    for kind, entries in listed.items():
        if entries:
            entry = schema["$defs"][kind]
            entry["allOf"] = [_if_named(name, inner, kind) for name, inner in entries.items()]
    schema["properties"]["$schema"] = {
        "type": "string",
        "description": "Ignored by llmspell; editors use it.",
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema


def settings_of(plugin: type[Plugin]) -> dict[str, Any]:
    """Return the schema of a plugin's settings, which rejects unknown keys at any depth."""
    if plugin.settings_model is None:
        return {"type": "object", "maxProperties": 0}
    from pydantic.json_schema import GenerateJsonSchema

    class Lenient(GenerateJsonSchema):
        """Accepts any value where no schema applies, such as a function."""

        def emit_warning(self, kind: str, detail: str) -> None:
            """Omit a default that is not JSON, without a warning."""

        def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> dict[str, Any]:  # noqa: ARG002 - an interface
            return {}

    schema = plugin.settings_model.model_json_schema(schema_generator=Lenient)
    for part in (schema, *schema.get("$defs", {}).values()):
        if "properties" in part:
            part["additionalProperties"] = False
    return schema


def _all_settings(shipped: Mapping[str, str]) -> dict[str, Any]:
    return {name: _settings_of_shipped(reference) for name, reference in shipped.items()}


def _settings_of_shipped(reference: str) -> dict[str, Any]:
    """Return the schema of a shipped hook's or middleware's own settings."""
    signature = signature_of(load_object(reference, what="its settings"))
    if signature is None:
        return {"type": "object", "maxProperties": 0}
    schema = signature.schema
    kept = {k: v for k, v in schema["properties"].items() if k not in _OF_THE_ENTRY}
    return schema | {"properties": kept}


def _describe_properties(part: dict[str, Any]) -> None:
    """Move the descriptions of attributes from the class docstring to the properties."""
    part["description"], _, attributes = part["description"].partition("\n\nAttributes:\n")
    for name, text in _ATTRIBUTE.findall(attributes):
        part["properties"][name]["description"] = " ".join(text.split())


def _if_named(name: str, settings: dict[str, Any], kind: str) -> dict[str, Any]:
    """Apply the schema of settings to the entry of that name; its references stay internal."""
    named: dict[str, Any] = {"properties": {"name": {"const": name}}, "required": ["name"]}
    if kind != "PluginSettings":
        named["not"] = {"required": ["module"]}  # else it is another one with that name
    embedded = {"$id": f"urn:llmspell:{kind}:{name}"} | settings
    then: dict[str, Any] = {"properties": {"settings": embedded}}
    if settings.get("required"):
        then["required"] = ["settings"]
    return {"if": named, "then": then}
