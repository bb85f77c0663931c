"""The trusted Lua of a state - kernel, library, bridges - as bytecode.

A state is made for every run, so it must be quick and small. What every spell needs becomes one
chunk, compiled once a process and loaded straight from Python's memory. The Lua of a bridge that
says which globals it makes is left out until a spell first touches one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

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
    "reports",
    "scheduler",
    "modules",
    "globals",
    "lockdown",
    "kernel",
)


class LuaPart(NamedTuple):
    """The Lua of a bridge. Without `globals` it is loaded into every state from the start."""

    name: str
    source: str
    globals: tuple[str, ...] = ()


class Lazy(NamedTuple):
    """Bytecode that is loaded when a spell first uses one of the globals it makes."""

    globals: tuple[str, ...]
    code: bytes


@dataclass(frozen=True)
class Image:
    """What a state is made of.

    Attributes:
        code: The chunk with all parts that are needed from the start.
        eager: Names of the bridges among them, in order.
    """

    code: bytes
    eager: tuple[str, ...]
    lazy: tuple[Lazy, ...]


def build(bridges: Sequence[LuaPart]) -> Image:
    """The image with the Lua of these bridges, which are loaded in order.

    Raises:
        PluginError: When the Lua of a bridge does not compile.
    """
    return _build(tuple(bridges))


@cache
def _build(bridges: tuple[LuaPart, ...]) -> Image:
    tasks = LuaPart("tasks", _own("tasks"), ("Task",))
    eager = [part for part in bridges if not part.globals]
    functions = [_function(name, _own(name), "...") for name in PARTS]
    functions += [_function(part.name, part.source, "_ENV, ...") for part in eager]
    for part in eager:
        _bytecode(part)  # by itself, so that a mistake is told of the bridge that has it
    return Image(
        code=_compile(f"local parts = {{\n{''.join(functions)}}}\nreturn parts.kernel(parts, ...)"),
        eager=tuple(part.name for part in eager),
        lazy=tuple(
            Lazy(part.globals, _bytecode(part)) for part in (tasks, *bridges) if part.globals
        ),
    )


def _own(name: str) -> str:
    return Path(__file__).with_name(f"{name}.lua").read_text("utf-8")


def _function(name: str, source: str, parameters: str) -> str:
    return f"[{name!r}] = function({parameters})\n{source}\nend,\n"


def _bytecode(part: LuaPart) -> bytes:
    try:
        return _compile(part.source)
    except lua55.LuaError as error:
        raise PluginError(f"the Lua of the bridge {part.name} does not compile: {error}") from error


def _compile(source: str) -> bytes:
    """Bytecode without line numbers: a frame without one is not the spell's."""
    state = lua55.LuaRuntime(encoding=None, register_eval=False, register_builtins=False)
    dump = b"local source = ... return string.dump(assert(load(source, '=llmspell', 't')), true)"
    return bytes(state.execute(dump, source.encode()))
