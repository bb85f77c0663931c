"""The trusted Lua of a state - kernel, library, bridges - as bytecode.

A state is made for every run, so it must be quick and small. All of its Lua is compiled once a
process, to one chunk that states use where it lies. What every spell needs are functions in it.
The rest - rarer parts, and the Lua of bridges that say which globals it makes - are strings in it,
bytecode themselves, which a state loads when a spell first uses them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from lupa import lua55

from llmspell.errors import PluginError
from llmspell.frozen import Frozen

EAGER = (
    "growth",
    "guard",
    "parking",
    "arguments",
    "basics",
    "pattern",
    "strings",
    "tables",
    "library",
    "loading",
    "codec",
    "scheduler",
    "globals",
    "lockdown",
    "kernel",
)
LAZY = (
    "bounds",
    "children",
    "coroutines",
    "dates",
    "errors",
    "hints",
    "host",
    "joining",
    "matcher",
    "measures",
    "modules",
    "program",
    "rarities",
    "records",
    "refusals",
    "reports",
    "searching",
    "sorting",
    "spans",
    "task",
    "tasks",
    "texts",
    "trusted",
)


class LuaPart(NamedTuple):
    """The Lua of a bridge. Without `globals` it is run in every state from the start."""

    name: str
    source: str
    globals: tuple[str, ...] = ()


class Image(Frozen):
    """What a state is made of: bytecode, which has to outlive the state."""

    code: bytes


def build(bridges: Sequence[LuaPart]) -> Image:
    """The image with the Lua of these bridges, which are loaded in order.

    Raises:
        PluginError: When the Lua of a bridge does not compile.
    """
    return _build(tuple(bridges))


@cache
def _build(bridges: tuple[LuaPart, ...]) -> Image:
    compiled = _compiler()
    sources = [b"%s = function(...)\n%s\nend,\n" % (name.encode(), _own(name)) for name in EAGER]
    sources += [b"%s = %s,\n" % (name.encode(), _quoted(compiled(_own(name)))) for name in LAZY]
    entries = [b'{ "Task", part = "task" },\n']
    for bridge in bridges:
        names = b"".join(b"%s, " % _quoted(name.encode()) for name in bridge.globals)
        entries.append(b"{ %scode = %s },\n" % (names, _quoted(_bytecode(bridge, compiled))))
    program = b"local sources = {\n%s}\nlocal bridges = {\n%s}\nreturn sources.kernel(sources, bridges, ...)"
    code = compiled(program % (b"".join(sources), b"".join(entries)))
    # Where there are no line numbers, Lua reads on for them: a byte for each instruction at most.
    return Image(code + bytes(len(code) // 4))


def lua_version() -> str:
    """Of the Lua that runs spells: "Lua 5.5"."""
    return str(lua55.LuaRuntime(register_eval=False, register_builtins=False).lua_implementation)


def syntax_problem(source: bytes, chunk_name: str, *, memory: int) -> str | None:
    """What is wrong with a spell's text, as Lua says it: `file:line: …`; None when it compiles.

    `memory` is how many bytes that may take.
    """
    state = lua55.LuaRuntime(
        encoding=None, register_eval=False, register_builtins=False, max_memory=0
    )
    # Only Lua's own allocations may fail, so nothing is handed over while the limit is on.
    mailbox = state.table(source, chunk_name.encode())
    compile_it = state.execute(_COMPILE_ONLY, mailbox)
    state.set_max_memory(memory)
    try:
        compile_it()
    except (lua55.LuaError, MemoryError):
        return f"it takes more than {memory:,} bytes to compile"
    finally:
        state.set_max_memory(0)
    problem = mailbox[3]
    # A second line would be where our own function was.
    return None if problem is None else problem.split(b"\n")[0].decode("utf-8", "replace")


_COMPILE_ONLY = b"""
local mailbox, load = ..., load
return function()
  mailbox[3] = select(2, load(mailbox[1], mailbox[2], "t"))
end
"""


def _own(name: str) -> bytes:
    return Path(__file__).with_name(f"{name}.lua").read_bytes()


def _quoted(data: bytes) -> bytes:
    """A Lua string."""
    return b'"%s"' % re.sub(rb'[\\"\r\n]', lambda found: b"\\%03d" % found[0][0], data)


def _bytecode(part: LuaPart, compiled: Callable[[bytes], bytes]) -> bytes:
    try:
        return compiled(part.source.encode())
    except lua55.LuaError as error:
        raise PluginError(f"the Lua of the bridge {part.name} does not compile: {error}") from error


def _compiler() -> Callable[[bytes], bytes]:
    """What compiles Lua to bytecode without names and line numbers."""
    state = lua55.LuaRuntime(encoding=None, register_eval=False, register_builtins=False)
    dump = state.execute(b"""
        return function(source) return string.dump(assert(load(source, '=llmspell', 't')), true) end
    """)
    return lambda source: bytes(dump(source))
