"""Registers the contributions of a plugin with a runtime: all of them, or none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from llmspell.bridge import Bridge, Bridges
from llmspell.errors import PluginError
from llmspell.hooks import Hooks
from llmspell.hooks.registry import check_reach
from llmspell.middleware import Middleware, arrange, as_middleware
from llmspell.middleware.filtered import check_effects
from llmspell.plugins.plugin import Plugin
from llmspell.providers.models import Models
from llmspell.state import Store
from llmspell.tools.registry import Tools
from llmspell.tools.tool import FunctionTool, Tool

if TYPE_CHECKING:
    from llmspell.agents.capabilities import CapabilityTypes
    from llmspell.providers.provider import Provider

StoreMaker: TypeAlias = Callable[[], Store]


@dataclass
class Registries:
    """The registries that plugins contribute to."""

    tools: Tools
    hooks: Hooks
    capabilities: Callable[[], CapabilityTypes]
    models: Models
    bridges: Bridges
    stores: dict[str, StoreMaker]
    middleware: tuple[Middleware, ...]


def register_contributions(
    plugin: Plugin, to: Registries, open_all: Callable[[Sequence[Middleware]], None]
) -> None:
    """Register everything a plugin contributes. If anything fails, the registries are unchanged.

    Args:
        plugin: The plugin, already started.
        to: The registries.
        open_all: Called with its middleware, once its position is known.
    """
    with ExitStack() as undo:
        for given in _list_of(plugin, "tools"):
            tool = _as_tool(given)
            to.tools.add(tool)
            undo.callback(to.tools.remove, f"{tool.name}@{tool.version}")
        for bridge in map(_checked_bridge, _list_of(plugin, "bridges")):
            to.bridges.add(bridge)
            undo.callback(to.bridges.remove, bridge.name)
        for provider in map(_checked_provider, _list_of(plugin, "providers")):
            to.models.register(provider)
            undo.callback(to.models.remove, provider.name)
        for kind in _list_of(plugin, "capabilities"):
            to.capabilities().add(kind)
            undo.callback(to.capabilities().remove, kind.type)
        for name, maker in _stores_of(plugin).items():
            if name in to.stores:
                raise ValueError(f"a store named {name!r} is registered already")
            to.stores[name] = maker
            undo.callback(to.stores.pop, name)
        others = to.hooks.own()
        undo.callback(_remove_hooks_but, others, to.hooks)
        plugin.hooks(to.hooks)
        check_reach((h for h in to.hooks.own() if h not in others), to.bridges.check_pattern)
        middleware = [as_middleware(given) for given in _list_of(plugin, "middleware")]
        check_effects(middleware, to.bridges.check_pattern)
        arranged = arrange(middleware, to.middleware)
        open_all(middleware)
        to.middleware = arranged
        undo.pop_all()


def _list_of(plugin: Plugin, method: str) -> Iterable[Any]:
    """Return what one of the plugin's methods contributes. Raises PluginError if it is no list."""
    given: Any = getattr(plugin, method)()
    if isinstance(given, (str, bytes, type(None))) or not isinstance(given, Iterable):
        raise PluginError(f"its {method}() must return a list, not {given!r}")
    return given


def _as_tool(given: Any) -> Tool:
    if isinstance(given, Tool):
        return given
    if not callable(given):
        raise _unusable("tools", given, "tools or typed functions")
    return FunctionTool(given)


def _checked_bridge(given: object) -> Bridge:
    if not isinstance(given, Bridge):
        raise _unusable("bridges", given, "bridges")
    return given


def _checked_provider(given: Any) -> Provider:
    if not isinstance(getattr(given, "name", None), str):
        raise _unusable("providers", given, "providers, which have a name")
    provider: Provider = given
    return provider


def _stores_of(plugin: Plugin) -> Mapping[str, StoreMaker]:
    given: Any = plugin.stores()
    if not isinstance(given, Mapping):
        raise PluginError(f"its stores() must return a dict, not {given!r}")
    return given


def _unusable(method: str, given: object, wanted: str) -> PluginError:
    return PluginError(f"its {method}() must return {wanted}, not {given!r}")


def _remove_hooks_but(kept: Sequence[object], hooks: Hooks) -> None:
    for hook in hooks.own():
        if hook not in kept:
            hooks.remove(hook)
