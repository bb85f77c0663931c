"""A scripting runtime for Lua spells that orchestrate LLM workflows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llmspell.agents.capabilities import Capability
    from llmspell.effects import Effect
    from llmspell.hooks import (
        Cache,
        Fork,
        Halt,
        Hook,
        HookCall,
        HookResult,
        Modify,
        Redirect,
        Replace,
        Retry,
        Skip,
    )
    from llmspell.limits import Budget, Limits
    from llmspell.permissions import Grants
    from llmspell.plugins import Plugin
    from llmspell.runtime import Runtime
    from llmspell.tools import tool

__all__ = [
    "Budget",
    "Cache",
    "Capability",
    "Effect",
    "Fork",
    "Grants",
    "Halt",
    "Hook",
    "HookCall",
    "HookResult",
    "Limits",
    "Modify",
    "Plugin",
    "Redirect",
    "Replace",
    "Retry",
    "Runtime",
    "Skip",
    "__version__",
    "tool",
]

_HOMES = {
    "Budget": "limits",
    "Cache": "hooks",
    "Capability": "agents.capabilities",
    "Effect": "effects",
    "Fork": "hooks",
    "Grants": "permissions",
    "Halt": "hooks",
    "Hook": "hooks",
    "HookCall": "hooks",
    "HookResult": "hooks",
    "Limits": "limits",
    "Modify": "hooks",
    "Plugin": "plugins",
    "Redirect": "hooks",
    "Replace": "hooks",
    "Retry": "hooks",
    "Runtime": "runtime",
    "Skip": "hooks",
    "tool": "tools.tool",
}


def __getattr__(name: str) -> Any:
    """Import public names lazily, so that the command line starts faster."""
    if name == "__version__":
        from llmspell.version import VERSION

        return VERSION
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"llmspell.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
