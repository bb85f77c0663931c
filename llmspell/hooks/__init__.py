"""Hooks: functions that are called before an effect, after it, or when it has failed."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from llmspell.hooks.hook import Hook
from llmspell.hooks.hook_call import HookCall, HookFunction
from llmspell.hooks.lifecycle import Life, tell, tell_of_runtime
from llmspell.hooks.points import LIFE_CYCLE, PHASES, Phase, parse_point
from llmspell.hooks.registered_hook import RegisteredHook
from llmspell.hooks.registry import COOL_DOWN, MAX_FAILURES, TIMEOUT, Hooks

if TYPE_CHECKING:
    from llmspell.hooks.results import (
        Cache,
        Fork,
        Halt,
        HookResult,
        Modify,
        Redirect,
        Replace,
        Retry,
        Skip,
    )

__all__ = [
    "COOL_DOWN",
    "LIFE_CYCLE",
    "MAX_FAILURES",
    "PHASES",
    "TIMEOUT",
    "Cache",
    "Fork",
    "Halt",
    "Hook",
    "HookCall",
    "HookFunction",
    "HookResult",
    "Hooks",
    "Life",
    "Modify",
    "Phase",
    "Redirect",
    "RegisteredHook",
    "Replace",
    "Retry",
    "Skip",
    "parse_point",
    "tell",
    "tell_of_runtime",
]


def __getattr__(name: str) -> Any:
    """Import the result types on first use: most processes have no hooks."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("llmspell.hooks.results"), name)
