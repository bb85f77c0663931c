"""The base class of plugins."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from pydantic import BaseModel

    from llmspell.agents.capabilities import Capability
    from llmspell.bridge import Bridge
    from llmspell.hooks import Hooks
    from llmspell.middleware import Middleware
    from llmspell.middleware.function import MiddlewareFunction
    from llmspell.providers.provider import Provider
    from llmspell.runtime import Runtime
    from llmspell.state import Store
    from llmspell.tools.tool import Tool


class Plugin:
    """Base class of plugins. Override the methods you need; the others do nothing.

    A runtime creates the plugin, awaits `on_startup`, and then calls each contribution method once,
    so contributions may use what `on_startup` opened. When the runtime stops, it awaits
    `on_shutdown`.

    Attributes:
        name: Unique among the plugins of a runtime.
        settings_model: The pydantic model of its settings; None if it has none. Unknown keys are
            rejected, even where the model would ignore or allow them.
        settings: An instance of that model; None without one.
    """

    name: ClassVar[str]
    settings_model: ClassVar[type[BaseModel] | None] = None
    settings: Any

    def __init__(self, settings: Any = None) -> None:
        self.settings = settings

    async def on_startup(self, runtime: Runtime) -> None:
        """Open the resources that the plugin needs. The runtime cannot run spells yet.

        If it raises, the plugin is left out, and `on_shutdown` is not called.
        """

    async def on_shutdown(self) -> None:
        """Close those resources. Nothing that the plugin contributed is in use any more."""

    def tools(self) -> Iterable[Tool | Callable[..., Any]]:
        """Tools, or typed functions to make tools from."""
        return ()

    def bridges(self) -> Iterable[Bridge]:
        return ()

    def hooks(self, hooks: Hooks) -> None:
        """Register hooks with the runtime's registry."""

    def middleware(self) -> Iterable[Middleware | MiddlewareFunction]:
        return ()

    def providers(self) -> Iterable[Provider]:
        """Model providers; the runtime closes them."""
        return ()

    def capabilities(self) -> Iterable[type[Capability]]:
        """Capability classes that agents can be given."""
        return ()

    def stores(self) -> Mapping[str, Callable[[], Store]]:
        """State backends: the name for `[state] backend`, and a function that opens the store.

        The runtime opens the configured one at its first use, and closes it.
        """
        return {}


CONTRIBUTIONS = (
    "tools",
    "bridges",
    "hooks",
    "middleware",
    "capabilities",
    "providers",
    "stores",
)
"""The methods that return contributions of a plugin."""
