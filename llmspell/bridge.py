"""Bridges: named sets of effects, each with Lua that wraps them and a reference page."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from llmspell.effects import Handler
from llmspell.errors import PluginError, UnknownEffect
from llmspell.lua.image import LuaPart
from llmspell.registry import Loading, Registry
from llmspell.suggestions import similar

F = TypeVar("F", bound=Callable[..., Any])

PAGE = "README.md"

_WILDCARD = re.compile(r"[*?[]")
_HEADING = re.compile(r"^### `(\w+[.:]\w+)\(", re.MULTILINE)

# The globals that each bridge's Lua defines.
BUILT_IN: dict[str, tuple[str, ...]] = {
    "clock": ("os.time", "os.clock", "os.date"),
    "environment": ("os.getenv",),
    "json": ("JSON",),
    "state": ("State",),
    "tool": ("Tool",),
    "hook": ("Hook",),
    "event": ("Event",),
    "agent": ("Agent",),
    "team": ("Team",),
    "model": ("Model",),
    "console": ("Console",),
    "human": ("Human",),
    "log": ("Log",),
    "config": ("Config",),
    "debug": ("Debug", "inspect"),
    "module": (),
    "task": (),
    "spell": ("Spell",),
}


class Bridge:
    """A set of effects that share a name prefix.

    In `bridges/state/__init__.py`:

        bridge = Bridge("state", __file__)

        @bridge.effect()
        def get(effect: Effect, key: str) -> Value: ...

    defines the effect `state.get`. The optional `state.lua` beside it is a chunk that receives the
    table `host` {perform, fail, null, tostring, env, define_tool, …} and returns a table of
    globals.

    Attributes:
        name: First part of its effects' names.
        handlers: The handlers by full effect name.
        lua: Source of its Lua, or None.
        page: Its reference page, which need not exist.
        globals: The globals it defines, if its Lua is to be loaded lazily at the first use of one.
        tags: Tags for listing and searching.
    """

    def __init__(
        self,
        name: str,
        module_file: str,
        *,
        globals: tuple[str, ...] = (),  # noqa: A002
        tags: tuple[str, ...] = (),
    ) -> None:
        self.name, self.globals, self.tags = name, globals, tags
        self.handlers: dict[str, Handler] = {}
        folder = Path(module_file).parent
        self.page = folder / PAGE
        source = folder / f"{name}.lua"
        self.lua = source.read_text("utf-8") if source.is_file() else None

    @property
    def category(self) -> str:
        return "built-in" if self.name in BUILT_IN else "user"

    @cached_property
    def description(self) -> str:
        """Its purpose: the first paragraph of the README.md in its folder."""
        if not self.page.is_file():
            return ""
        paragraphs = self.page.read_text("utf-8").split("\n\n")
        first = next((p for p in paragraphs if p.strip() and not p.startswith(("#", "<"))), "")
        return " ".join(first.split())

    def describe(self) -> dict[str, Any]:
        """Return a full description as plain values, including its effects."""
        effects = [
            {
                "name": name,
                "description": handler.signature.description,
                "leaf": handler.leaf,
                "schema": handler.signature.schema,
            }
            for name, handler in self.handlers.items()
        ]
        return {
            "name": self.name,
            "category": self.category,
            "tags": list(self.tags),
            "description": self.description,
            "globals": list(BUILT_IN.get(self.name, self.globals)),
            "effects": effects,
        }

    def effect(self, name: str | None = None, **fields: Any) -> Callable[[F], F]:
        """Return a decorator that makes a typed function the handler of an effect.

        Args:
            name: The last part of the effect's name; by default the function's name.
            **fields: Fields of `Handler`: `leaf`, `repeatable`, `deadline`, `target`, `bind`,
                `needs`, `costs`, `reusable`, `restore`.
        """

        def add(function: F) -> F:
            full = f"{self.name}.{name or function.__name__}"
            self.handlers[full] = Handler(full, function, **fields)
            return function

        return add


class Bridges(Registry[Bridge]):
    """The bridges of a runtime. The Python of a built-in bridge is imported at its first effect."""

    def __init__(self, extra: Iterable[Bridge]) -> None:
        super().__init__("bridge", _BuiltIn())
        for bridge in extra:
            self.add(bridge)

    def add(self, bridge: Bridge) -> None:
        """Add a bridge before the first run.

        Raises:
            PluginError: Its name or a global is taken, or its Lua does not load.
        """
        given: Any = bridge
        if not isinstance(given, Bridge):
            raise PluginError(f"{given!r} is not a bridge", hint="pass a Bridge(name, __file__)")
        if bridge.name in BUILT_IN:
            raise PluginError(f"the bridge {bridge.name!r} is built in; choose another name")
        if bridge.name in self:
            raise PluginError(f"there are two bridges named {bridge.name!r}")
        self._check_globals(bridge)
        if bridge.lua is not None:
            from llmspell.lua.trial import try_out

            try_out(LuaPart(bridge.name, bridge.lua, bridge.globals), self.lua())
        self.register(bridge.name, bridge)

    def _check_globals(self, bridge: Bridge) -> None:
        """Raise PluginError if another bridge declares a global of this one."""
        others = BUILT_IN | {other.name: other.globals for other in self._own.values()}
        for name, declared in others.items():
            if both := set(declared).intersection(bridge.globals):
                raise PluginError(
                    f"the bridges {name!r} and {bridge.name!r} both define {min(both)}"
                )

    def lua(self) -> list[LuaPart]:
        """Return the Lua of every bridge that has some, in load order."""
        folder = Path(import_module("llmspell.bridges").__path__[0])
        parts = []
        for name, global_names in BUILT_IN.items():
            source = folder / name / f"{name}.lua"
            if source.is_file():
                parts.append(LuaPart(name, source.read_text("utf-8"), global_names))
        own = [bridge for name, bridge in self._own.items() if "@" not in name]
        return parts + [LuaPart(b.name, b.lua, b.globals) for b in own if b.lua is not None]

    def functions(self) -> list[str]:
        """Return the functions for spells, as their pages name them: `State.get`, `agent:prompt`."""
        folder = Path(import_module("llmspell.bridges").__path__[0])
        pages = [folder / name / PAGE for name in BUILT_IN]
        pages += [bridge.page for name, bridge in self._own.items() if "@" not in name]
        texts = (page.read_text("utf-8") for page in pages if page.is_file())
        return [name for text in texts for name in _HEADING.findall(text)]

    def handler(self, effect: str) -> Handler:
        """Return the handler of an effect.

        Raises:
            UnknownEffect: There is none; the error suggests the most similar names.
        """
        bridge = self.get(effect.partition(".")[0])
        if bridge is not None and effect in bridge.handlers:
            return bridge.handlers[effect]
        names = [name for b in self.values() for name in b.handlers]
        raise UnknownEffect("effect", effect, similar(effect, names))

    def check_pattern(self, pattern: str) -> None:
        """Check that a pattern, such as `tool.call` or `agent.*`, may match an effect.

        Raises:
            UnknownEffect: It cannot; the error suggests the most similar names.
        """
        name, _, rest = pattern.partition(".")
        if not _WILDCARD.search(pattern):
            self.handler(pattern)
        elif _WILDCARD.search(name):
            return
        elif name not in self:
            raise UnknownEffect("effect", pattern, [f"{one}.*" for one in similar(name, self)])
        elif rest != "*" and not any(fnmatchcase(e, pattern) for e in self[name].handlers):
            raise UnknownEffect("effect", pattern, [f"{name}.*"])


class _BuiltIn(Registry[Bridge]):
    """The built-in bridges."""

    def __init__(self) -> None:
        super().__init__("bridge")
        self._own = Loading({name: f"llmspell.bridges.{name}" for name in BUILT_IN}, _loaded)


def _loaded(module: str) -> Bridge:
    bridge: Bridge = import_module(module).bridge
    return bridge
