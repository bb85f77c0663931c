"""The trusted Lua of a state - kernel, library, bridges - compiled to one piece of bytecode.

A state is made for every run, so it must be quick: the sources become functions of one chunk,
which is compiled once a process and loaded into each state straight from Python's memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files

from lupa import lua55

from llmspell.errors import PluginError

PARTS = (
    "guard",
    "coroutines",
    "arguments",
    "basics",
    "program",
    "matcher",
    "pattern",
    "strings",
    "tables",
    "sorting",
    "loading",
    "hints",
    "library",
    "codec",
    "errors",
    "scheduler",
    "tasks",
    "modules",
    "lockdown",
    "kernel",
)
BRIDGE = "bridge:"  # stands before the name of a bridge's part


def build(bridges: Mapping[str, str]) -> bytes:
    """The image of all parts and of the bridges' Lua, by name.

    Raises:
        PluginError: When the Lua of a bridge does not compile.
    """
    return _build(tuple(bridges.items()))


@cache
def _build(bridges: tuple[tuple[str, str], ...]) -> bytes:
    folder = files("llmspell.lua")
    sources = [(name, folder.joinpath(f"{name}.lua").read_text("utf-8")) for name in PARTS]
    sources += [(f"{BRIDGE}{name}", source) for name, source in bridges]
    return _compile(sources)


def _compile(sources: Iterable[tuple[str, str]]) -> bytes:
    """Bytecode without line numbers: a frame without one is not the spell's."""
    state = lua55.LuaRuntime(encoding=None, register_eval=False, register_builtins=False)
    check = state.execute(b"return function(s, n) return select(2, load(s, '=' .. n, 't')) end")
    functions = []
    for name, source in sources:
        if problem := check(source.encode(), name.encode()):
            raise PluginError(f"the Lua of {name} does not compile: {problem.decode()}")
        functions.append(f"[{name!r}] = function(...)\n{source}\nend,\n")
    chunk = f"local parts = {{\n{''.join(functions)}}}\nreturn parts.kernel(parts, ...)"
    dump = b"local source = ... return string.dump(assert(load(source, '=image', 't')), true)"
    return bytes(state.execute(dump, chunk.encode()))
