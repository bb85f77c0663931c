"""A bridge: a named set of effects, the Lua that makes them pleasant to call, and its docs."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from llmspell.effects import Handler
from llmspell.errors import PluginError, UnknownEffect
from llmspell.lua.image import LuaPart

F = TypeVar("F", bound=Callable[..., Any])

# The globals that the Lua of each makes.
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
    """A set of effects that share the first part of their names.

    In `bridges/state/__init__.py`:

        bridge = Bridge("state", __file__)

        @bridge.effect()
        def get(effect: Effect, key: str) -> Value: ...

    makes the effect `state.get`. `state.lua` beside it, if there, is a chunk that is given the
    table `host` {perform, fail, null, tostring, env, define_tool, …} and returns a table of globals.

    Attributes:
        name: First part of its effects' names.
        handlers: By full name.
        lua: Source of its Lua, or None.
        globals: What that makes, if it is to be loaded only when a spell first uses one of them.
    """

    def __init__(self, name: str, module_file: str, *, globals: tuple[str, ...] = ()) -> None:  # noqa: A002
        self.name, self.globals = name, globals
        self.handlers: dict[str, Handler] = {}
        source = Path(module_file).with_name(f"{name}.lua")
        self.lua = source.read_text("utf-8") if source.is_file() else None

    def effect(self, name: str | None = None, **fields: Any) -> Callable[[F], F]:
        """Make a typed function the handler of an effect.

        Args:
            name: The last part of the effect's name; by default the function's name.
            **fields: Of `Handler`: `leaf`, `repeatable`, `deadline`, `bind`, `needs`, `costs`.
        """

        def add(function: F) -> F:
            full = f"{self.name}.{name or function.__name__}"
            self.handlers[full] = Handler(full, function, **fields)
            return function

        return add


class Bridges:
    """The bridges of a runtime. A built-in one's Python is imported at its first effect."""

    def __init__(self, extra: list[Bridge]) -> None:
        self._loaded: dict[str, Bridge] = {}
        for bridge in extra:
            self.add(bridge)

    def add(self, bridge: Bridge) -> None:
        """Add one before the first run. Raises PluginError when its name is taken."""
        if bridge.name in BUILT_IN:
            raise PluginError(f"the bridge {bridge.name!r} is built in; name yours otherwise")
        if bridge.name in self._loaded:
            raise PluginError(f"there are two bridges named {bridge.name!r}")
        self._loaded[bridge.name] = bridge

    def remove(self, name: str) -> None:
        del self._loaded[name]

    def lua(self) -> list[LuaPart]:
        """The Lua of every bridge that has some, in order of loading."""
        folder = Path(import_module("llmspell.bridges").__path__[0])
        parts = []
        for name, made in BUILT_IN.items():
            source = folder / name / f"{name}.lua"
            if source.is_file():
                parts.append(LuaPart(name, source.read_text("utf-8"), made))
        own = [bridge for bridge in self._loaded.values() if bridge.name not in BUILT_IN]
        return parts + [LuaPart(b.name, b.lua, b.globals) for b in own if b.lua is not None]

    def handler(self, effect: str) -> Handler:
        """The handler of an effect.

        Raises:
            UnknownEffect: With the most similar names.
        """
        bridge = self._bridge(effect.partition(".")[0])
        if bridge is not None and effect in bridge.handlers:
            return bridge.handlers[effect]
        import difflib

        names = [name for b in self.all() for name in b.handlers]
        raise UnknownEffect("effect", effect, difflib.get_close_matches(effect, names))

    def all(self) -> list[Bridge]:
        """Every bridge, imported."""
        loaded = [self._bridge(name) for name in (*BUILT_IN, *self._loaded)]
        return list(dict.fromkeys(bridge for bridge in loaded if bridge is not None))

    def _bridge(self, name: str) -> Bridge | None:
        if name not in self._loaded and name in BUILT_IN:
            self._loaded[name] = import_module(f"llmspell.bridges.{name}").bridge
        return self._loaded.get(name)
