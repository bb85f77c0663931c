"""Reads settings from a file: TOML, JSON, or YAML when PyYAML is installed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from llmspell.errors import ConfigError

_SPECIFICATIONS = {
    "TOML": "https://toml.io",
    "JSON": "https://json.org",
    "YAML": "https://yaml.org",
}


def read_table(file: Path) -> dict[str, Any]:
    """The table a file holds, by the form its name ends in.

    Raises:
        ConfigError: When it cannot be read, or holds no table.
    """
    form, parse = _FORMS[file.suffix]
    try:
        table = parse(file)
    except OSError as error:
        raise ConfigError(str(file), [f"cannot be read: {error.strerror}"]) from error
    except (ValueError, RecursionError) as error:
        problem = " ".join(str(error).split())
        hint = f"it is {form}: {_SPECIFICATIONS[form]}"
        raise ConfigError(str(file), [problem], hint=hint) from error
    if table is None:
        return {}  # an empty file of YAML
    if not isinstance(table, dict):
        raise ConfigError(str(file), ["holds no settings by name"])
    return table


def _toml(file: Path) -> Any:
    import tomllib

    return tomllib.loads(file.read_text("utf-8"))


def _json(file: Path) -> Any:
    import json

    table = json.loads(file.read_text("utf-8"))
    if isinstance(table, dict):
        table.pop("$schema", None)  # which editors look at
    return table


def _yaml(file: Path) -> Any:
    try:
        import yaml
    except ImportError:
        hint = "install it with: pip install 'llmspell[yaml]'; or write llmspell.toml"
        raise ConfigError(str(file), ["YAML needs PyYAML"], hint=hint) from None
    try:
        return yaml.safe_load(file.read_text("utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


_FORMS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    ".toml": ("TOML", _toml),
    ".yaml": ("YAML", _yaml),
    ".yml": ("YAML", _yaml),
    ".json": ("JSON", _json),
}
