"""Compares how random programs raise errors, close variables and yield with plain Lua.

python tests/lua/fuzz_unwinding.py N [seed]
"""

# ruff: noqa: T201 - a program, its output is print
from __future__ import annotations

import sys
from random import Random

from bare_state import BareState, new_state

BATCH = 20  # programs per state

# The end of the stack is told in other words by plain Lua, and lies elsewhere.
PRELUDE = """
local log, print = {}, function() end
local function show(v)
  local kind = type(v)
  if kind == "string" then
    if v:find("stack overflow", 1, true) or v:find("error in error handling", 1, true) then return "OVERFLOW" end
    return (v:gsub("spell%.lua:%d+: ", ""):gsub("to '%S+'", "to a function"))
  elseif kind == "table" then
    return "{" .. show(v[1]) .. "}"
  end
  return (kind == "number" or kind == "boolean" or kind == "nil") and tostring(v) or kind
end
local function L(...)
  local shown = {...}
  for i = 1, select("#", ...) do shown[i] = show(shown[i]) end
  log[#log + 1] = table.concat(shown, " ")
  return ...
end
local function C(f) return setmetatable({}, {__close = f}) end
local function deep(n, f) if n == 0 then return (f()) end local r = deep(n - 1, f) return r end
local function nest(n, f) if n == 0 then return f() end return select(2, pcall(nest, n - 1, f)) end
local function overflow(...) return 1 + overflow(...) end
local function steps(co, n, ...)
  for i = 1, n do L("step", coroutine.resume(co, i)) L(coroutine.status(co)) end
  return co
end
local function P() if park and can_park() then park() end end
local Y, close = coroutine.yield, coroutine.close
-- In plain Lua, what failed in a coroutine is closed when that is.
local function closing(f)
  local function settle(ok, ...) if ok then return ... end error((...), 0) end
  return function(...) return settle(pcall(f, ...)) end
end
local function create(f) return coroutine.create(closing(f)) end
local function wrap(f) return coroutine.wrap(closing(f)) end
"""

ERRORS = ("'e', 0", "'e'", "'e', 2", "nil", "7", "1.5", "true", "{'t'}", "print", "{}")
ERRORS += ("setmetatable({'m'}, {__tostring = function() return 'shown' end})", "C(print)")
FAULTS = ("local x = nil; x.y = 1", "local x = {} + 1", "local x = #5", "local x = nil; x()")
FAULTS += (
    "local x = 1 < {}",
    "local x = {} .. ''",
    "local x <close> = 5",
    "assert(false, {'a'})",
    "assert(nil)",
)
FAULTS += ("setmetatable(5, 5)", "('x'):rep(1, 2, {})", "local x = 1 // 0", "coroutine.resume(1)")
FAULTS += ("overflow()", "overflow(1, 2, 3)")


class Program:
    """Writes a program. `yields` says whether the code being written runs in a coroutine."""

    def __init__(self, rng: Random, *, at_the_end: bool) -> None:
        self.rng, self.budget, self.at_the_end = rng, rng.randint(5, 40), at_the_end
        self.count = 0

    def source(self) -> str:
        body = self.function(3, yields=False)
        if self.at_the_end:  # of C's stack or of Lua's, where an overflow would be nothing new
            body = body.replace("overflow", "error")
            depth = self.rng.choice((199990, 166600, 142800, 111100)) - self.rng.randint(0, 90)
            nested = f"for n = {self.rng.randint(170, 190)}, 205 do nest(n, {body}) end"
            body = f"function() {self.rng.choice((nested, f'pcall(deep, {depth}, {body})'))} end"
        return f"{PRELUDE} L('end', pcall({body})) return table.concat(log, '\\n')"

    def number(self) -> int:
        self.count += 1
        return self.count

    def function(self, depth: int, *, yields: bool) -> str:
        parameters = self.rng.choice(("", "", "...", "a", "a, ..."))
        return f"function({parameters}) {self.block(depth, yields=yields)} end"

    def block(self, depth: int, *, yields: bool, last: bool = True) -> str:
        lines = [
            self.statement(depth - 1, yields=yields)
            for _ in range(self.rng.randint(1, 4) if depth > 0 else 1)
        ]
        if last and self.rng.random() < 0.5:
            lines.append(self.ending(depth - 1, yields=yields))
        return " ".join(lines)

    def ending(self, depth: int, *, yields: bool) -> str:
        kinds = [
            lambda: f"error({self.rng.choice(ERRORS)})",
            lambda: self.rng.choice(FAULTS),
            lambda: f"do return {self.number()}, nil end",
        ]
        if depth > 0:
            kinds.append(lambda: f"do return ({self.function(depth, yields=yields)})(1, 2) end")
            kinds.append(lambda: f"do return pcall({self.function(depth, yields=yields)}) end")
        if yields and self.rng.random() < 0.3:
            kinds.append(lambda: "close()")
        return self.rng.choice(kinds)()

    def closer(self, depth: int, *, yields: bool) -> str:
        end = self.rng.choice(
            ("", "", "error(e, 0)", "error({ e })", f"error('c{self.number()}', 0)")
        )
        name = self.rng.choice(("_, e", "_, e", "_, e, ..."))
        inner = self.block(depth - 1, yields=yields, last=False) if self.rng.random() < 0.4 else ""
        if self.rng.random() < 0.1:
            return self.rng.choice(("C(error)", "C(Y)" if yields else "C(rawlen)", "nil", "false"))
        return f"C(function({name}) L('close', {self.number()}, e) {inner} {end} end)"

    def statement(self, depth: int, *, yields: bool) -> str:
        self.budget -= 1
        rng = self.rng
        if self.budget < 0 or depth <= 0:
            kinds = ["L({n})", "L({n})", "P()", "L({e})"] + ["L('y', Y({n}))"] * yields
            chosen = rng.choice(kinds)
        else:
            kinds = [*STATEMENTS, ("local x{n} <close> = {c}", 8)]
            if yields:
                kinds += [("L('y', Y({n}))", 5), ("if x then {b} end L(Y(Y({n})))", 1)]
            texts, weights = zip(*kinds, strict=True)
            chosen = rng.choices(texts, weights)[0]
        return self.filled(chosen, depth, yields=yields)

    def filled(self, text: str, depth: int, *, yields: bool) -> str:
        fill = {
            "{n}": lambda: str(self.number()),
            "{few}": lambda: str(self.rng.randint(1, 4)),
            "{e}": lambda: self.rng.choice(ERRORS[3:]),
            "{fault}": lambda: self.rng.choice(FAULTS),
            "{d}": lambda: str(self.rng.choice((3, 150, 250, 5000))),
            "{f}": lambda: self.function(depth, yields=yields),
            "{plain}": lambda: self.function(depth - 1, yields=False),
            "{g}": lambda: self.function(depth, yields=True),
            "{b}": lambda: self.block(depth, yields=yields),
            "{c}": lambda: self.closer(depth, yields=yields),
        }
        for mark, make in fill.items():
            while mark in text:
                text = text.replace(mark, make(), 1)
        return text


STATEMENTS = (
    ("L('pcall', pcall({f}, 1, 2))", 8),
    ("L('pcall', pcall(pcall, {f}))", 1),
    ("L('pcall', pcall(error, {e}))", 1),
    ("L('xpcall', xpcall({f}, function(e) return e end))", 3),
    ("L('xpcall', xpcall(function() local ok, e = pcall({f}) error(e, 0) end, function(e) return 'handled' end))", 1),
    ("L('xpcall', xpcall(function() local ok, e = pcall({f}) error(e, 0) end, function(e) if e ~= 1 then error(1) end return 'one' end))", 1),
    ("do {b} end", 3),
    ("for i = 1, {few} do {b} if i > 1 then break end end", 2),
    ("for i = 1, 2 do local x <close> = {c} if i == 1 then goto continue end {b} ::continue:: end", 2),
    ("for v in function(_, v) v = (v or 0) + 1 if v < {few} then return v end end, nil, nil, {c} do {b} end", 2),
    ("for v in {f}, nil, nil, {c} do {b} break end", 1),
    ("for v in wrap({g}) do L('wrap', v) {b} end", 1),
    ("do local co = steps(create({g}), {few}) L('close', close(co)) L(coroutine.status(co)) L(close(co)) end", 5),
    ("do local co <close> = {c} steps(create({g}), {few}) end", 2),
    ("do local w = wrap({g}) L('w', pcall(w)) L('w', pcall(w)) L('w', w()) end", 3),
    ("steps(create(function() local w = wrap({g}) L('w', w()) L('w', w()) end), {few})", 1),
    ("local m{n} = setmetatable({}, {__index = {f}, __add = {f}, __call = {f}}) L(pcall(function() return m.x end))", 1),
    ("do local m = setmetatable({}, {__index = {f}, __call = {f}}) L('mt', m.x) L(m()) end", 2),
    ("do local m = setmetatable({}, {__eq = {f}, __lt = {f}, __concat = {f}, __unm = {f}}) L('op', m == {}, m < m, m .. 1, -m) end", 1),
    ("L('sort', pcall(table.sort, {2, 1}, function() local x = ({plain})() error({e}) end))", 1),
    ("L('gsub', pcall(string.gsub, 'ab', '.', {plain}))", 1),
    ("L('load', load([==[local L, C, P = ... L('loaded') error({'l'})]==]))", 1),
    ("L('load', pcall(load('local L = ... L(1) ' .. ('x = {'):rep({d}))))", 1),
    ("L('reader', load(function() local x = ({plain})() error({e}) end))", 1),
    ("L('deep', deep({d}, {plain}))", 2),
    ("L('deep', pcall(deep, {d}, {f}))", 2),
    ("L('nest', nest({few}, {f}))", 3),
    ("L('nest', nest(40, {f}))", 1),
    ("L('over', pcall(overflow))", 1),
    ("L('over', pcall(function() local x <close> = {c} overflow() end))", 1),
    ("if log then error({e}) end", 1),
    ("if #log > {few} then {fault} end", 2),
    ("P()", 2),
    ("L({n})", 2),
    ("L(coroutine.isyieldable())", 0.3),
)  # fmt: skip

HIDING = """
local hoard, mt = {}, {__close = function() error("hid") end}
pcall(function() local x <close> = setmetatable({}, mt) for i = 1, 1e9 do hoard[i] = {i} end end)"""


def disagreements(rng: Random, *, at_the_end: bool = False) -> list[str]:
    """Return the programs of a batch that differ from plain Lua; `at_the_end` of the stack, only fail."""
    found = []
    state = BareState(seed=1, period=rng.choice((1000, 100, 30)))
    for _ in range(BATCH):
        source = Program(rng, at_the_end=at_the_end).source()
        outcome = state.run(source, instructions=5e8, seconds=60, memory=256 << 20)
        if outcome.kind == "value" and at_the_end:
            continue
        plain = new_state().execute(b"return load(..., '=spell.lua')()", source.encode())
        if outcome.raw[1:-1] != plain:
            found.append(f"{source}\n-- plain: {plain.decode()}\n-- guarded: {outcome}")
            if outcome.limit:
                return found
    if state.run(HIDING, instructions=1e9, seconds=60).limit != "memory":
        found.append("after these programs, a lack of memory can be hidden")
    return found


def main(count: int, seed: int) -> int:
    rng, found = Random(seed), 0
    for done in range(0, count, BATCH):
        for problem in disagreements(rng, at_the_end=done // BATCH % 4 == 3):
            print(problem)
            found += 1
    print(f"{count} programs, {found} disagreements")
    return min(found, 1)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1))
