"""Python that settings name: files, modules and what is in them; and what packages offer."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from llmspell.errors import PluginError


def load_python(name: str, *, what: str) -> ModuleType:
    """A Python file (`weather.py`) or module (`company.tools`).

    Args:
        name: The file or module.
        what: What is wanted of it, for messages: "tools".

    Raises:
        PluginError: When it is not there, or cannot be imported.
    """
    file = Path(name)
    if file.suffix == ".py" and not file.is_file():
        raise PluginError(f"no file {name}", hint=f"looked in {Path.cwd()}")
    try:
        return _import_file(file) if file.suffix == ".py" else import_module(name)
    except Exception as error:
        raise _cannot_load(name, what, error) from error


def load_object(reference: str, *, what: str) -> Any:
    """What there is at `weather.py:name` or `company.tools:name`. Raises PluginError."""
    place, _, name = reference.rpartition(":")
    if not place:
        raise PluginError(
            f"cannot load {what} from {reference!r}: it names nothing in a module",
            hint="write it as file.py:NAME or package.module:NAME",
        )
    module = load_python(place, what=what)
    try:
        return getattr(module, name)
    except AttributeError as error:
        raise _cannot_load(reference, what, error) from error


def _cannot_load(name: str, what: str, error: Exception) -> PluginError:
    refused = PluginError(
        f"cannot load {what} from {name}: {type(error).__name__}: {error}",
        hint="see the traceback with --debug",
    )
    refused.where = place_of(error)
    return refused


def place_of(error: Exception) -> str | None:
    """Where the code that was loaded failed: "weather.py:3"."""
    from traceback import extract_tb

    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}"
    importers = (__file__, import_module.__code__.co_filename)
    frames = [frame for frame in extract_tb(error.__traceback__) if frame.filename not in importers]
    own = [frame for frame in frames if not frame.filename.startswith("<")]
    return f"{own[-1].filename}:{own[-1].lineno}" if own else None


def _import_file(path: Path) -> ModuleType:
    from importlib.util import module_from_spec, spec_from_file_location

    path = path.resolve()
    spec = spec_from_file_location(path.stem, path)
    assert spec is not None  # noqa: S101 - a path that ends in .py has a loader
    assert spec.loader is not None  # noqa: S101
    module = module_from_spec(spec)
    # Dataclasses and pydantic look their module up while it is being executed.
    ours = sys.modules.setdefault(path.stem, module) is module
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except BaseException:
        if ours:
            del sys.modules[path.stem]
        raise
    finally:
        sys.path.remove(str(path.parent))
    return module


def installed(group: str) -> Mapping[str, str]:
    """What installed packages offer in an entry-point group: name to `module:object`.

    importlib.metadata takes 20 ms to import, so it is asked only when some package has an
    entry point of ours at all.
    """
    marker = f"[{group}]".encode()
    for folder in map(Path, sys.path):
        for file in folder.glob("*.dist-info/entry_points.txt"):
            if marker in file.read_bytes():
                from importlib.metadata import entry_points

                return {entry.name: entry.value for entry in entry_points(group=group)}
    return {}
