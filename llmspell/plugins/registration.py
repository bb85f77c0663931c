"""Registers the contributions of a plugin with a runtime: all of them, or none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from llmspell.bridge import Bridge, Bridges
from llmspell.hooks import Hooks
from llmspell.middleware import Middleware, arrange, as_middleware
from llmspell.plugins.plugin import Plugin
from llmspell.providers.models import Models
from llmspell.state import Store
from llmspell.tools.registry import Tools
from llmspell.tools.tool import FunctionTool, Tool

if TYPE_CHECKING:
    from llmspell.agents.capabilities import CapabilityTypes

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
        for given in plugin.tools():
            tool = given if isinstance(given, Tool) else FunctionTool(given)
            to.tools.add(tool)
            undo.callback(to.tools.remove, f"{tool.name}@{tool.version}")
        for bridge in plugin.bridges():
            if not isinstance(bridge, Bridge):
                raise TypeError(f"{bridge!r} is not a bridge")
            to.bridges.add(bridge)
            undo.callback(to.bridges.remove, bridge.name)
        for provider in plugin.providers():
            to.models.register(provider)
            undo.callback(to.models.remove, provider.name)
        for kind in plugin.capabilities():
            to.capabilities().add(kind)
            undo.callback(to.capabilities().remove, kind.type)
        for name, maker in plugin.stores().items():
            if name in to.stores:
                raise ValueError(f"a store named {name!r} is registered already")
            to.stores[name] = maker
            undo.callback(to.stores.pop, name)
        undo.callback(_remove_hooks_but, to.hooks.own(), to.hooks)
        plugin.hooks(to.hooks)
        middleware = [as_middleware(given) for given in plugin.middleware()]
        arranged = arrange(middleware, to.middleware)
        open_all(middleware)
        to.middleware = arranged
        undo.pop_all()


def _remove_hooks_but(kept: Sequence[object], hooks: Hooks) -> None:
    for hook in hooks.own():
        if hook not in kept:
            hooks.remove(hook)
