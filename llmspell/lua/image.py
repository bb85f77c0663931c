"""The image of a state: its trusted Lua (kernel, library, bridges) as bytecode.

A state is created for every run, so that must be fast and small. All of its Lua is compiled once
per process, to a single chunk that states use in place. What every spell needs are functions in
that chunk. The rest (rarer parts, and the Lua of bridges that declare their globals) are strings in
it, themselves bytecode, which a state loads at first use.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from lupa import lua55

from llmspell.frozen import Frozen

EAGER = (
    "growth",
    "guard",
    "protection",
    "parking",
    "later",
    "basics",
    "pattern",
    "strings",
    "tables",
    "library",
    "compiling",
    "codec",
    "scheduler",
    "globals",
    "lockdown",
    "kernel",
)
LAZY = (
    "arguments",
    "bounds",
    "bridge_loading",
    "children",
    "coroutines",
    "dates",
    "errors",
    "following",
    "hints",
    "host",
    "joining",
    "loading",
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
    """The Lua of a bridge. Without `globals`, it runs at the creation of every state.

    With `debug`, its errors have line numbers.
    """

    name: str
    source: str
    globals: tuple[str, ...] = ()
    debug: bool = False


class Image(Frozen):
    """The bytecode that states are created from. It has to outlive the states."""

    code: bytes


def build(bridges: Sequence[LuaPart]) -> Image:
    """Return the image with the Lua of these bridges, which compiles, and is loaded in order."""
    return _build(tuple(bridges))


@cache
def _build(bridges: tuple[LuaPart, ...]) -> Image:
    compiled = _compiler()
    sources = [b"%s = function(...)\n%s\nend,\n" % (name.encode(), _own(name)) for name in EAGER]
    sources += [b"%s = %s,\n" % (name.encode(), _quoted(compiled(_own(name)))) for name in LAZY]
    codes, owners, eager = [], [b'Task = "task",\n'], []
    for number, bridge in enumerate(bridges, 1):
        codes.append(_quoted(compiled(bridge.source.encode(), bridge.name, bridge.debug)) + b",\n")
        owners += [b"[%s] = %d,\n" % (_quoted(name.encode()), number) for name in bridge.globals]
        eager += [] if bridge.globals else [b"%d," % number]
    code = compiled(_PROGRAM % tuple(map(b"".join, (sources, codes, owners, eager))))
    # Lua reads past the end in place of missing line numbers, up to one byte per instruction.
    return Image(code + bytes(len(code) // 4))


def lua_version() -> str:
    """Return the version of Lua that runs spells: "Lua 5.5"."""
    return str(lua55.LuaRuntime(register_eval=False, register_builtins=False).lua_implementation)


def syntax_problem(source: bytes, chunk_name: str, *, memory: int) -> str | None:
    """Return the syntax error of a spell's text, `file:line: …`, or None if it compiles.

    `memory` is the limit in bytes for compiling it.
    """
    state = lua55.LuaRuntime(
        encoding=None, register_eval=False, register_builtins=False, max_memory=0
    )
    # Only Lua's own allocations may fail, so pass no values while the limit is on.
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
    # The second line is the position within `_COMPILE_ONLY`.
    return None if problem is None else problem.split(b"\n")[0].decode("utf-8", "replace")


_COMPILE_ONLY = b"""
local mailbox, load = ..., load
return function()
  mailbox[3] = select(2, load(mailbox[1], mailbox[2], "t"))
end
"""


_PROGRAM = b"""
local sources = { %s }
-- The bridges by number, their numbers by the globals they define, and those to load at once.
local bridges = { codes = { %s }, owners = { %s }, eager = { %s } }
return sources.kernel(sources, bridges, ...)
"""


def _own(name: str) -> bytes:
    return Path(__file__).with_name(f"{name}.lua").read_bytes()


def _quoted(data: bytes) -> bytes:
    """Quote bytes as a Lua string literal."""
    return b'"%s"' % re.sub(rb'[\\"\r\n]', lambda match: b"\\%03d" % match[0][0], data)


def _compiler() -> Callable[..., bytes]:
    """Return a function that compiles Lua to bytecode.

    It takes the source, a name, and whether to keep the name and the line numbers.
    """
    state = lua55.LuaRuntime(encoding=None, register_eval=False, register_builtins=False)
    dump = state.execute(b"""
        return function(source, name, debug)
          return string.dump(assert(load(source, name, 't')), not debug)
        end
    """)

    def compiled(source: bytes, name: str = "llmspell", debug: bool = False) -> bytes:
        return bytes(dump(source, f"={name}.lua".encode(), debug))

    return compiled
