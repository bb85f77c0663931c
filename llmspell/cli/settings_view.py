"""The effective settings of a project, with secrets hidden, as plain values and as TOML."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from llmspell.config import Project
from llmspell.permissions import KINDS
from llmspell.plugins.discovery import PluginInfo, known_plugins
from llmspell.providers.redaction import REDACTED, names_a_secret, redacted

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_MASK = re.compile(r"\*+")  # how pydantic shows a secret


def shown(project: Project) -> dict[str, Any]:
    """Return the settings by name, in the form of a settings file; unset ones are None.

    Headers and bodies of requests are always hidden. In the settings of plugins, values named like
    a secret or declared as one are hidden, and all settings of a plugin that cannot be loaded.
    """
    settings = asdict(project.settings)
    for grants in (settings["permissions"], settings["permissions"]["deny"]):
        for kind in KINDS:
            grants[kind] = _targets(grants[kind])
    for provider in settings["providers"].values():
        for name in ("headers", "query"):
            provider[name] = _hidden(dict(provider[name]))
        provider["extra_body"] = _hidden(dict(provider["extra_body"]))
    settings["plugins"] = [_entry(known) for known in known_plugins(project) if known.listed]
    for section in ("hooks", "middleware"):
        settings[section] = [_secrets_hidden(entry) for entry in settings[section]]
    found: dict[str, Any] = _cleaned(settings)
    return found


def _targets(granted: tuple[str, ...] | None) -> list[str]:
    if granted is None:
        return []
    return list(granted) or ["*"]


def _entry(known: PluginInfo) -> dict[str, Any]:
    entry = asdict(known.entry)
    entry["settings"] = _plugin_settings(known)
    return entry


def _plugin_settings(known: PluginInfo) -> Any:
    """Return the settings of a plugin with defaults, or hidden if they cannot be checked."""
    if known.error or known.found is None:
        return _hidden(known.entry.settings)
    if known.settings is None:
        return {}
    return _secrets_hidden(known.settings.model_dump(mode="json", by_alias=True))


def _hidden(value: Any) -> Any:
    """Hide every value, keeping the keys."""
    if isinstance(value, dict):
        return {key: _hidden(inner) for key, inner in value.items()}
    return REDACTED


def _secrets_hidden(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _hidden(inner) if names_a_secret(str(key)) else _secrets_hidden(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [_secrets_hidden(inner) for inner in value]
    return REDACTED if isinstance(value, str) and _MASK.fullmatch(value) else value


def _cleaned(value: Any) -> Any:
    """Hide text that looks like a key, wherever it is."""
    if isinstance(value, dict):
        return {key: _cleaned(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_cleaned(inner) for inner in value]
    return redacted(value, ()) if isinstance(value, str) else value


def as_toml(settings: dict[str, Any]) -> str:
    """Format settings like a settings file, one per line, with unset ones as comments."""
    plain = {key: value for key, value in settings.items() if not _is_list_of_tables(value)}
    lines = list(_lines("", plain))
    for key, entries in settings.items():
        if _is_list_of_tables(entries):
            for entry in entries:
                lines += ["", f"[[{key}]]", *_lines("", entry)]
    return "\n".join(lines) + "\n"


def _is_list_of_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, dict) for v in value)


def _lines(prefix: str, table: dict[str, Any]) -> Iterator[str]:
    for key, value in table.items():
        name = f"{prefix}{_key(key)}"
        if isinstance(value, dict) and value:
            yield from _lines(f"{name}.", value)
        elif value is None:
            yield f"# {name} is not set"
        else:
            yield f"{name} = {_value(value)}"


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else json.dumps(key, ensure_ascii=False)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        inner = (f"{_key(k)} = {_value(v)}" for k, v in value.items() if v is not None)
        return f"{{{', '.join(inner)}}}"
    if isinstance(value, list):
        return f"[{', '.join(_value(v) for v in value if v is not None)}]"
    return json.dumps(value, ensure_ascii=False)
