"""A scripting runtime for Lua spells that orchestrate LLM workflows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llmspell.effects import Effect
    from llmspell.hooks import Halt, HookCall, Modify, Replace
    from llmspell.limits import Limits
    from llmspell.permissions import Grants
    from llmspell.runtime import Runtime
    from llmspell.tools import tool

__all__ = [
    "Effect",
    "Grants",
    "Halt",
    "HookCall",
    "Limits",
    "Modify",
    "Replace",
    "Runtime",
    "__version__",
    "tool",
]

_HOMES = {
    "Effect": "effects",
    "Grants": "permissions",
    "Halt": "hooks",
    "HookCall": "hooks",
    "Limits": "limits",
    "Modify": "hooks",
    "Replace": "hooks",
    "Runtime": "runtime",
    "tool": "tools.tool",
}


def __getattr__(name: str) -> Any:
    """Import public names when they are used: the command line starts faster without them."""
    if name == "__version__":
        from importlib.metadata import version

        return version("llmspell")
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"llmspell.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
