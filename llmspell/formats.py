"""Reads settings files: TOML, JSON, or YAML when PyYAML is installed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from llmspell.errors import ConfigError
from llmspell.source_text import text_of
from llmspell.toml_parsing import parse_toml
from llmspell.values import is_encodable, lone_surrogate_in

_SPECIFICATIONS = {
    "TOML": "https://toml.io",
    "JSON": "https://json.org",
    "YAML": "https://yaml.org",
}

_HALF = "half of a surrogate pair is not a character"


def read_table(file: Path) -> dict[str, Any]:
    """Read a table from a file, in the format its extension names.

    Raises:
        ConfigError: The file cannot be read, or does not contain a table.
    """
    form, parse = _FORMS[file.suffix]
    try:
        table = parse(file)
    except OSError as error:
        raise ConfigError(str(file), [f"cannot be read: {error.strerror}"]) from error
    except (ValueError, RecursionError) as error:
        said = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        problem = " ".join(said.split())
        hint = f"the format is {form}: {_SPECIFICATIONS[form]}"
        raise ConfigError(str(file), [problem], hint=hint) from error
    if table is None:
        return {}  # an empty YAML file
    if not isinstance(table, dict):
        raise ConfigError(str(file), ["does not contain a table of settings"])
    return table


def _text(file: Path) -> str:
    return text_of(file.read_bytes())


def _toml(file: Path) -> Any:
    return parse_toml(_text(file))


def _json(file: Path) -> Any:
    import json

    table = json.loads(_text(file), object_pairs_hook=_table)
    if isinstance(table, dict):
        table.pop("$schema", None)  # a reference for editors
        if (place := lone_surrogate_in(table)) is not None:
            raise ValueError(f"{place}: {_HALF}")
    return table


def _table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build a dict from a JSON object. Raises ValueError for a duplicate key, as TOML does."""
    table: dict[str, Any] = {}
    for key, value in pairs:
        if key in table:
            raise ValueError(f"the key {key!r} occurs twice")
        table[key] = value
    return table


def _yaml(file: Path) -> Any:
    try:
        import yaml
    except ImportError:
        hint = "install it with: pip install 'llmspell[yaml]'; or write llmspell.toml"
        raise ConfigError(str(file), ["YAML needs PyYAML"], hint=hint) from None

    loader = yaml.SafeLoader(_text(file))
    try:
        node = loader.get_single_node()
        _check(node, set())
        return None if node is None else loader.construct_document(node)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def _check(node: Any, checked: set[Any]) -> None:
    """Raise ValueError for a duplicate key and half a character, which PyYAML accepts."""
    if node is None or node in checked:
        return
    checked.add(node)
    if node.id == "scalar":
        if not is_encodable(node.value):
            raise ValueError(f"line {node.start_mark.line + 1}: {_HALF}")
        return
    if node.id == "sequence":
        for item in node.value:
            _check(item, checked)
        return
    names: set[tuple[str, str]] = set()
    for key, value in node.value:
        name = key.tag, str(key.value)
        if name in names:
            line = key.start_mark.line + 1
            raise ValueError(f"the key {key.value!r} occurs twice, again on line {line}")
        names.add(name)
        _check(key, checked)
        _check(value, checked)


_FORMS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    ".toml": ("TOML", _toml),
    ".yaml": ("YAML", _yaml),
    ".yml": ("YAML", _yaml),
    ".json": ("JSON", _json),
}
