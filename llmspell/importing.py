"""Imports Python that settings name, and lists the entry points of installed packages."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from llmspell.errors import PluginError

if TYPE_CHECKING:
    from importlib.metadata import Distribution

_OFFERS = "entry_points.txt"


def load_python(name: str, *, what: str) -> ModuleType:
    """Import a Python file (`weather.py`) or module (`company.tools`).

    Args:
        name: The file or module.
        what: What is expected in it, for messages: "tools".

    Raises:
        PluginError: It does not exist or cannot be imported.
    """
    file = Path(name)
    if file.suffix == ".py" and not file.is_file():
        raise PluginError(f"no file {name}", hint=f"looked in {Path.cwd()}")
    if file.suffix != ".py" and (
        "/" in name or name.startswith(".") or (file.suffix and file.is_file())
    ):
        hint = "name a file that ends in .py, or a module such as company.tools"
        raise PluginError(f"cannot load {what}: {name} is not a Python file", hint=hint)
    try:
        return _import_file(file) if file.suffix == ".py" else import_module(name)
    except (Exception, SystemExit) as error:
        raise _cannot_load(name, what, error) from error


def load_object(reference: str, *, what: str) -> Any:
    """Return the object at `weather.py:name` or `company.tools:name`. Raises PluginError."""
    place, _, name = reference.rpartition(":")
    if not place:
        raise PluginError(
            f"cannot load {what} from {reference!r}: it does not name anything in a module",
            hint="write it as file.py:NAME or package.module:NAME",
        )
    module = load_python(place, what=what)
    try:
        return getattr(module, name)
    except AttributeError as error:
        raise _cannot_load(reference, what, error) from error


def _cannot_load(name: str, what: str, error: BaseException) -> PluginError:
    refused = PluginError(
        f"cannot load {what} from {name}: {type(error).__name__}: {error}",
        hint="see the traceback with --debug",
    )
    refused.where = place_of(error)
    return refused


def place_of(error: BaseException) -> str | None:
    """Return where the imported code failed: "weather.py:3"; None if none of it was at work."""
    from traceback import extract_tb

    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}"
    others = ("<", import_module.__code__.co_filename, f"{Path(__file__).parent}{os.sep}")
    own = [f for f in extract_tb(error.__traceback__) if not f.filename.startswith(others)]
    return f"{own[-1].filename}:{own[-1].lineno}" if own else None


def _import_file(path: Path) -> ModuleType:
    from importlib.util import module_from_spec, spec_from_file_location

    path = path.resolve()
    spec = spec_from_file_location(path.stem, path)
    assert spec is not None  # noqa: S101 - a path that ends in .py has a loader
    assert spec.loader is not None  # noqa: S101
    module = module_from_spec(spec)
    # Dataclasses and pydantic look up the module in sys.modules during its execution.
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


@contextmanager
def named_in(source: str, key: str) -> Iterator[None]:
    """Add to a PluginError where the settings name what cannot be loaded: the file and the key."""
    try:
        yield
    except PluginError as error:
        error.message = f"{source}: {key}: {error.message}"
        raise


class Offer(NamedTuple):
    """An object that an installed package offers in an entry-point group.

    Attributes:
        name: The name of the entry point.
        reference: Where the object is: `module:object`.
        package: The name of the package.
        version: The version of the package.
    """

    name: str
    reference: str
    package: str
    version: str

    def load(self, *, what: str) -> Any:
        """Import the object. Raises PluginError, which names the package."""
        try:
            return load_object(self.reference, what=what)
        except PluginError as error:
            error.hint = f"fix or uninstall {self.package}, which provides it; {error.hint}"
            raise


def installed(group: str) -> list[Offer]:
    """Return what installed packages offer in an entry-point group.

    importlib.metadata takes 20 ms to import, so it is used only when some package has an entry
    point in that group.

    Raises:
        PluginError: The entry points of a package cannot be parsed.
    """
    marker = f"[{group}]"
    files = (f for folder in map(Path, sys.path) for f in folder.glob(f"*.dist-info/{_OFFERS}"))
    if not any(marker.encode() in file.read_bytes() for file in files):
        return []
    from importlib.metadata import distributions

    offers_by_package: dict[str, list[Offer]] = {}
    for package in distributions():
        # Of two installed copies of a package, the first is the one imported.
        if marker in (package.read_text(_OFFERS) or "") and package.name not in offers_by_package:
            offers_by_package[package.name] = _offers_of(package, group)
    return [offer for offers in offers_by_package.values() for offer in offers]


def _offers_of(package: Distribution, group: str) -> list[Offer]:
    try:
        entries = package.entry_points.select(group=group)
    except (TypeError, ValueError) as error:
        message = f"{_OFFERS} of the package {package.name} cannot be read: {error}"
        raise PluginError(message, hint="reinstall it, or uninstall it") from error
    return [Offer(e.name, e.value, package.name, package.version) for e in entries]
