"""Where tools come from: the built-in ones, Python files and modules, installed packages."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType

from llmspell.errors import PluginError
from llmspell.tools.catalogue import BUILTIN
from llmspell.tools.tool import Tool, Tools


class BuiltInTools(Tools):
    """The built-in tools; a tool's module is imported when the tool is looked at."""

    def __getitem__(self, name: str) -> Tool:
        return load_reference(BUILTIN[name])

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(BUILTIN))


def load_reference(reference: str) -> Tool:
    """The tool at `package.module:name`. Raises PluginError when there is none."""
    module, _, name = reference.partition(":")
    try:
        found = getattr(import_module(module), name)
    except Exception as error:
        raise _cannot_load(reference, error) from error
    if not isinstance(found, Tool):
        raise PluginError(f"{reference} is no tool", hint="decorate a function with @tool")
    return found


def load_module(name: str) -> list[Tool]:
    """The tools of a Python file (`weather.py`) or module (`company.tools`), in order.

    Raises:
        PluginError: When it cannot be imported, or defines no tool.
    """
    file = Path(name)
    if file.suffix == ".py" and not file.is_file():
        raise PluginError(f"no file {name}", hint=f"looked in {Path.cwd()}")
    try:
        module = _import_file(file) if file.suffix == ".py" else import_module(name)
    except Exception as error:
        raise _cannot_load(name, error) from error
    # One tool may have two names in a module.
    tools = list(dict.fromkeys(value for value in vars(module).values() if isinstance(value, Tool)))
    if not tools:
        raise PluginError(f"{name} defines no tool", hint="decorate a function with @tool")
    return tools


def _cannot_load(name: str, error: Exception) -> PluginError:
    refused = PluginError(
        f"cannot load tools from {name}: {type(error).__name__}: {error}",
        hint="see the traceback with --debug",
    )
    refused.where = _place(error)
    return refused


def _place(error: Exception) -> str | None:
    """Where the tools' own code failed: "weather.py:3"."""
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
