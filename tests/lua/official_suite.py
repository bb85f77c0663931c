"""Runs Lua's own test suite as spells: the one that comes with the source of lupa's Lua 5.5.

Left out is what a spell does not have on purpose; docs/permissions-and-limits.md lists it.
"""

# ruff: noqa: T201 - a program, its output is print
from __future__ import annotations

import asyncio
import subprocess
import sys
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

import lupa

from llmspell import Limits, Runtime
from llmspell.config import Project
from llmspell.errors import LlmspellError
from llmspell.spell import parse_spell

VERSION = "2.8"  # of lupa, to whose files the line numbers belong
CACHE = Path(__file__).parents[2] / ".venv" / "lua-suite"
LIMITS = Limits(instructions=10**10, memory=1 << 30, time=100, output=1 << 24)

# Before the first line of each file: the suite's own settings for portable and shorter tests, and
# as much of `debug` and `package` as tests use in passing.
PRELUDE = b"""_port, _soft, _nomsg = true, true, true debug = { \
getinfo = function() return { name = "F", what = "C", currentline = 0 } end, \
getupvalue = function() return "_ENV", _ENV end, traceback = function(m) return m end, \
getmetatable = getmetatable, setmetatable = setmetatable, \
sethook = function() end, gethook = function() end } \
package = { preload = { debug = function() return debug end, \
tracegc = function() return { start = function() end, stop = function() end } end }, \
loaded = { _G = _G, coroutine = coroutine, debug = debug, math = math, os = os, \
string = string, table = table, utf8 = utf8 } } package.loaded.package = package local required = require \
function require(name) return package.preload[name] and package.preload[name]() or required(name) end """

# By file: the first and last lines of what is left out.
LEFT_OUT: dict[str, list[tuple[int, int]]] = {
    "big": [],
    "bitwise": [(6, 6), (26, 27), (71, 98)],  # methods added to strings
    "calls": [
        *[(210, 219), (344, 344)],  # debug
        *[(360, 362), (365, 384), (396, 403), (421, 464), (485, 538), (540, 563)],  # bytecode
    ],
    "closure": [(239, 278)],  # debug
    "code": [],
    "constructs": [],
    "coroutine": [
        *[(291, 339), (344, 344), (378, 396)],  # callbacks that must not yield; they may
        *[(400, 417), (421, 422), (1027, 1035)],  # debug
        (478, 478),  # collectgarbage
    ],
    "cstack": [],
    "errors": [
        *[(251, 251), (269, 269), (272, 272), (274, 274), (277, 277), (298, 298), (365, 365)],  # io
        *[(261, 266), (661, 661)],  # debug
        (301, 314),  # bytecode
        (359, 359),  # collectgarbage
        (381, 381),  # the name of a function in a message
        (398, 399),  # callbacks that must not yield
    ],
    "events": [(196, 196), (458, 486)],  # io; metatables of numbers, booleans and nil
    "goto": [(166, 230)],  # debug
    "heavy": [],
    "literals": [
        *[(40, 40), (237, 257)],  # debug
        (208, 235),  # addresses
        (298, 322),  # os.setlocale
    ],
    "locals": [
        *[
            (86, 86),
            (169, 169),
            (288, 288),
            (480, 480),
            (486, 486),
            (495, 495),
            (503, 503),
        ],  # debug
        *[(534, 537), (542, 544), (825, 832), (851, 852)],
    ],
    "math": [(879, 890)],  # what math.randomseed returns
    "nextvar": [
        *[(76, 92), (333, 346)],  # table.create
        (479, 497),  # io
        (637, 637),  # table.insert with __len
    ],
    "pm": [(411, 440)],  # addresses
    "sort": [(16, 42), (76, 85)],  # table.create; metatables of numbers
    "strings": [(165, 215)],  # addresses
    "tpack": [],
    "utf8": [],
    "vararg": [],
    "verybig": [],
}


def suite() -> Path:
    """Return the folder of the suite, fetched at the first time."""
    if not CACHE.exists():
        print("fetching the source of lupa; building its metadata takes minutes", file=sys.stderr)
        with TemporaryDirectory() as folder:
            wanted = ["--no-deps", "--no-binary", "lupa", f"lupa=={VERSION}", "-d", folder]
            subprocess.run([sys.executable, "-m", "pip", "download", "-q", *wanted], check=True)
            with tarfile.open(next(Path(folder).iterdir())) as archive:
                found = [m for m in archive if "/lua55/testes/" in m.name and m.isfile()]
                for member in found:
                    member.name = Path(member.name).name
                archive.extractall(CACHE, found, filter="data")
    return CACHE


def spell_of(name: str, folder: Path) -> bytes:
    lines = (folder / f"{name}.lua").read_bytes().split(b"\n")
    for first, last in LEFT_OUT[name]:
        lines[first - 1 : last] = [b""] * (last - first + 1)
    return PRELUDE + b"\n".join(lines).replace(b"#!", b"--", 1)


async def failures(folder: Path) -> list[str]:
    found = []
    async with Runtime(project=Project(folder), record=False, limits=LIMITS) as runtime:
        for name in LEFT_OUT:
            spell = parse_spell(spell_of(name, folder), name=name, file=f"{name}.lua")
            try:
                await runtime.run(spell, output=lambda _: None)
            except LlmspellError as error:
                found.append(f"{error.where}: {error.message}")
    return found


def main() -> int:
    if lupa.__version__ != VERSION:
        sys.exit(f"the line numbers are those of lupa {VERSION}, not {lupa.__version__}")
    failed = asyncio.run(failures(suite()))
    print(*failed, sep="\n", end="\n" if failed else "")
    print(f"{len(LEFT_OUT) - len(failed)} files passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
