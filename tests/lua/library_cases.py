"""Random calls of the string and table libraries, and the comparison of two states on them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from bare_state import BareState, new_state

if TYPE_CHECKING:
    from random import Random

ITEMS = (
    *("a", "b", "c", "x", ".", "%a", "%d", "%s", "%w", "%W", "%p", "%%", "%.", "%S"),
    *("[ab]", "[^a]", "[a-c]", "[%a_]", "[^%s]", "[]]", "[^]]", "[a-]", "[%]]", "[%w.]"),
)
ODD_ITEMS = (
    *("(", ")", "%", "[", "[a", "%1", "%2", "%0", "%b", "%f", "%b()", "%bab", "%baa"),
    *("%f[%a]", "%f[^a]", "%f[%z]", "$", "^", "*", "?", "-", "()", "]", "\0", "%f[a"),
)
REPLACEMENTS = ("", "x", "%0", "%1", "<%1%0>", "%2%1", "%%", "%", "%x", "%9", "a%0b%0c", "\0%0")
CALLBACKS = (
    "function(a, b) return b and a .. b or a end",
    "function(a) if a == 'a' or a == 1 then return 'Z' end end",
    "function(a) return false end",
    "function(a, ...) return select('#', ...) end",
    "function(a) return {} end",
    "string.upper",
    "{a = 'A', b = 2, [1] = 'one', aa = false}",
    "{a = {}}",
    "setmetatable({}, {__index = function(_, k) return '[' .. tostring(k) .. ']' end})",
)
FORMATS = ("%d", "%5d", "%-5d|", "%05.1f", "%s", "%10s", "%-4s|", "%.2s", "%q", "%x", "%i", "%c")
FORMATS += ("%g", "%e", "%a", "%%", "%5.3s", "%+d", "%", "%y", "%10", "text", "%#x", "% d", "%u")
OFTEN = ("%s", "%d", "%s=%s", "%%%s: %d%%", "%s%s%s", "\0%i\0%s", "%s %d %s %s", "%d %5s")
VALUES = ("1", "-7", "3.5", "'str'", "'12'", "nil", "true", "2^53", "math.huge", "''", "'a\\0b'")
VALUES += ("-0.0", "'longer text here'", "0x7fffffffffffffff", "false", "65")


def lua_string(text: str) -> str:
    return '"' + "".join(f"\\{byte:03d}" for byte in text.encode("latin-1")) + '"'


def pattern(rng: Random) -> str:
    items = []
    if rng.random() < 0.2:
        items.append("^")
    for _ in range(rng.randint(0, 6)):
        odd = rng.random() < 0.15
        item = rng.choice(ODD_ITEMS if odd else ITEMS)
        if rng.random() < 0.45:
            item += rng.choice("*+-?")
        if rng.random() < 0.2:
            item = f"({item})"
        items.append(item)
    if rng.random() < 0.2:
        items.append("$")
    return "".join(items)


def subject(rng: Random) -> str:
    text = "".join(rng.choice("aaabbcx1 .)(_]\n\0") for _ in range(rng.randint(0, 14)))
    return text * rng.randint(2, 12) if rng.random() < 0.1 else text


def position(rng: Random) -> str:
    return rng.choice(
        ("nil", "nil", "1", "2", "-1", "-3", "0", "5", "99", "-99", "2.0", "'3'", "1.5")
    )


def find_call(rng: Random) -> str:
    plain = rng.choice(("", "", ", true"))
    return f"string.find, {texts(rng)}, {position(rng)}{plain}"


def match_call(rng: Random) -> str:
    return f"string.match, {texts(rng)}, {position(rng)}"


def gmatch_call(rng: Random) -> str:
    return f"all_matches, {texts(rng)}, {position(rng)}"


def gsub_call(rng: Random) -> str:
    new = rng.choice((lua_string(rng.choice(REPLACEMENTS)), rng.choice(CALLBACKS)))
    most = rng.choice(("nil", "nil", "0", "1", "2", "-1"))
    return f"string.gsub, {texts(rng)}, {new}, {most}"


def texts(rng: Random) -> str:
    return f"{lua_string(subject(rng))}, {lua_string(pattern(rng))}"


def format_call(rng: Random) -> str:
    count = rng.randint(0, 4)
    shape = " ".join(rng.choice(FORMATS) for _ in range(count))
    if rng.random() < 0.5:  # a frequent format, to exercise its cache
        shape = rng.choice(OFTEN)
    values = "".join(", " + rng.choice(VALUES) for _ in range(rng.randint(0, count + 1)))
    return f"string.format, {lua_string(shape)}{values}"


def sort_call(rng: Random) -> str:
    numbers = [
        str(rng.choice((rng.randint(-9, 9), rng.randint(-999, 999), 2.5)))
        for _ in range(rng.randint(0, 40))
    ]
    strings = [lua_string(subject(rng)[:3]) for _ in range(rng.randint(0, 20))]
    items = rng.choice((numbers, numbers, strings, [*numbers[:2], *strings[:1]]))
    order = rng.choice(
        ("nil", "nil", "function(a, b) return a < b end", "function(a, b) return a > b end")
    )
    return f"sorted, {{{', '.join(items)}}}, {order}"


def table_call(rng: Random) -> str:
    items = (
        "{"
        + ", ".join(rng.choice(("1", "2", "'a'", "'b'", "3.5")) for _ in range(rng.randint(0, 6)))
        + "}"
    )

    def number() -> int:
        return rng.randint(-2, 8)

    proxied = rng.choice((items, f"proxy({items})"))
    return rng.choice(
        (
            f"table.concat, {proxied}, {rng.choice(('nil', lua_string(', '), '1'))}, {number()}, {number()}",
            f"after, table.insert, {items}, {number()}, 'new'",
            f"after, table.insert, {items}, 'new'",
            f"after, table.remove, {items}, {number()}",
            f"after, table.remove, {items}",
            f"after, table.move, {items}, {number()}, {number()}, {number()}",
            f"table.unpack, {proxied}, {number()}, {number()}",
        )
    )


CALLS = (find_call, find_call, match_call, gmatch_call, gsub_call, gsub_call)
CALLS += (format_call, sort_call, table_call)


def call(rng: Random) -> str:
    """Generate a call as Lua source: a function and its arguments."""
    return rng.choice(CALLS)(rng)


PROGRAM = """
local function show(v)
  if math.type(v) == "float" then return string.format("%.17g", v) .. "f" end
  if type(v) == "string" then return string.format("%q", v) end
  if type(v) ~= "table" then return tostring(v) end
  local items = {}
  for k, x in pairs(v) do items[#items + 1] = show(k) .. "=" .. show(x) end
  table.sort(items)
  return "{" .. table.concat(items, ",") .. "}"
end
local function all_matches(s, p, init)
  local found = {}
  for a, b in string.gmatch(s, p, init) do
    found[#found + 1] = show(a) .. show(b)
    if #found > 40 then break end
  end
  return table.concat(found, ";")
end
local function sorted(t, order)
  table.sort(t, order)
  return t
end
local function after(f, t, ...)
  return t, f(t, ...)
end
local function proxy(t)
  return setmetatable({}, {__index = t, __len = function() return #t end})
end
local function result(ok, ...)
  local shown = {tostring(ok)}
  for i = 1, select("#", ...) do shown[i + 1] = show((select(i, ...))) end
  return table.concat(shown, " ")
end
local out = {}
%s
return table.concat(out, "\\n\\0")
"""


def program(calls: list[str]) -> str:
    lines = (f"out[{i}] = result(pcall({call}))" for i, call in enumerate(calls, 1))
    return PROGRAM.replace("%s", "\n".join(lines))


_PLACE = re.compile(r'"(?:[\w.]+:\d+: )+')
_CALLEE = re.compile(r"bad argument #\d+ to '[^']*' \(")
_TABLE = re.compile(r"table: \w+")


def comparable(line: str) -> str:
    """Remove what may differ: places in errors, the callee's name, addresses."""
    if line.startswith("false"):
        line = _CALLEE.sub("bad argument (", _PLACE.sub('"', line)).replace(
            "got no value", "got nil"
        )
        line = line.replace("(no value)", "(got nil)")
    return _TABLE.sub("table", line)


class Plain:
    """Unmodified Lua."""

    def __init__(self) -> None:
        self._run = new_state().execute(b"return function(s) return load(s, '=spell.lua')() end")

    def lines(self, source: str) -> list[str]:
        return [
            comparable(line) for line in self._run(source.encode()).decode("latin-1").split("\n\0")
        ]


class Guarded:
    """The guarded library; its matcher in C may take the given number of steps."""

    def __init__(self, **config: Any) -> None:
        self._state = BareState(seed=1, **config)

    def lines(self, source: str) -> list[str]:
        outcome = self._state.run(source, instructions=1e12, memory=256 << 20, seconds=60)
        assert outcome.kind == "value", outcome
        text = outcome.raw[1:-1].decode("latin-1")
        return [comparable(line) for line in text.split("\n\0")]


def disagreements(calls: list[str], plain: Plain, others: dict[str, Guarded]) -> list[str]:
    source = program(calls)
    expected = plain.lines(source)
    return [
        f"{name}: {call}\n  plain   {want}\n  guarded {got}"
        for name, guarded in others.items()
        for call, want, got in zip(calls, expected, guarded.lines(source), strict=True)
        if want != got
    ]


def states() -> dict[str, Guarded]:
    return {
        "default": Guarded(),
        "C only": Guarded(matcher_steps=float("inf")),
        "Lua only": Guarded(matcher_steps=0),
        "after a look": Guarded(matcher_steps=150),
    }
