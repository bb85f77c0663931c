"""Hints for a spell that failed because it misused a name: misspelled it, or mixed up `.` and `:`."""

from __future__ import annotations

import re

from llmspell.bridge import Bridges
from llmspell.errors import InvalidArguments, SpellRuntimeError
from llmspell.suggestions import did_you_mean, similar
from llmspell.tools.registry import Tools

_GLOBAL = re.compile(r"attempt to (call|index) a nil value \(global '(\w+)'\)")
_FIELD = re.compile(r"attempt to call a nil value \((?:field|method) '(\w+)'\)")
_NO_SELF = re.compile(r"attempt to index a \w+ value")
_CALL = re.compile(r"\b(\w+)([.:])(\w+)\s*[({\"']")


def misuse_hint(error: SpellRuntimeError, tools: Tools, bridges: Bridges) -> str | None:
    """Return a hint on the name that the failed line misuses, or else the error's own hint.

    The line shows which table a function was looked for in; Lua's message does not.
    """
    if isinstance(error.cause, InvalidArguments) or _NO_SELF.fullmatch(error.message):
        return _other_sign(error.source_line, bridges) or error.hint
    if error.hint:
        return error.hint
    if unknown := _GLOBAL.fullmatch(error.message):
        return _globals_like(unknown[2], tools, bridges, called=unknown[1] == "call")
    if missing := _FIELD.fullmatch(error.message):
        return _functions_like(missing[1], error.source_line, bridges)
    return None


def _globals_like(name: str, tools: Tools, bridges: Bridges, *, called: bool) -> str | None:
    tables = {full.partition(".")[0] for full in bridges.functions() if full[0].isupper()}
    otherwise = "list the tools with: llmspell tools" if called else ""
    return did_you_mean(name, [*tools, *sorted(tables)], otherwise=otherwise) or None


def _functions_like(name: str, line: str, bridges: Bridges) -> str | None:
    """Return a hint on what a global has instead of the function that the line calls."""
    functions = [full.partition(".") for full in bridges.functions()]
    for table, _, called in _CALL.findall(line):
        known = [function for owner, _, function in functions if owner == table]
        if called == name and known:
            if meant := similar(name, known, most=1):
                return f"did you mean {table}.{meant[0]}?"
            return f"{table} has {', '.join(known)}"
    return None


def _other_sign(line: str, bridges: Bridges) -> str | None:
    """Return a hint for a function of a global called with a colon, or a method with a dot."""
    functions = bridges.functions()
    methods = {full.partition(":")[2] for full in functions}
    for table, sign, called in _CALL.findall(line):
        if sign == ":" and f"{table}.{called}" in functions:
            return f"write it with a dot: {table}.{called}(…)"
        if sign == "." and called in methods and f"{table}.{called}" not in functions:
            return f"write it with a colon: {table}:{called}(…)"
    return None
