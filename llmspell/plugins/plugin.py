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
    """What a plugin is a subclass of. Override what you need; the rest does nothing.

    A runtime makes one, awaits `on_startup`, and then asks it once what it brings. So that may be
    made of what it opened. When the runtime stops, it awaits `on_shutdown`.

    Attributes:
        name: Unique among those of a runtime.
        settings_model: The pydantic model of its settings. Without one it has none. Keys that are
            no field are refused, also where the model would ignore or allow them.
        settings: Of that model; None without one.
    """

    name: ClassVar[str]
    settings_model: ClassVar[type[BaseModel] | None] = None
    settings: Any

    def __init__(self, settings: Any = None) -> None:
        self.settings = settings

    async def on_startup(self, runtime: Runtime) -> None:
        """Open what it works with. The runtime cannot run spells yet.

        Whatever it raises keeps it out; then `on_shutdown` is not called.
        """

    async def on_shutdown(self) -> None:
        """Close that again. All that it brought is out of use by now."""

    def tools(self) -> Iterable[Tool | Callable[..., Any]]:
        """Tools, or typed functions to make tools of."""
        return ()

    def bridges(self) -> Iterable[Bridge]:
        return ()

    def hooks(self, hooks: Hooks) -> None:
        """Register hooks with those of the runtime."""

    def middleware(self) -> Iterable[Middleware | MiddlewareFunction]:
        return ()

    def providers(self) -> Iterable[Provider]:
        """Providers of models; the runtime closes them."""
        return ()

    def capabilities(self) -> Iterable[type[Capability]]:
        """Classes of capabilities that agents can be given."""
        return ()

    def stores(self) -> Mapping[str, Callable[[], Store]]:
        """State backends: what `[state] backend` calls each, and what opens one.

        The runtime opens the one that is set, at the first use, and closes it.
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
"""The methods that say what a plugin brings."""
