"""Hooks: functions that see an effect before it is done, after it, or when it failed."""

from __future__ import annotations

from llmspell.hooks.hook import Hook
from llmspell.hooks.life import Life, tell, tell_of_runtime
from llmspell.hooks.points import LIFE_CYCLE, PHASES, Phase, parse_point
from llmspell.hooks.registered import HookCall, HookFunction, RegisteredHook
from llmspell.hooks.registry import COOL_DOWN, MAX_FAILURES, TIMEOUT, Hooks
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
