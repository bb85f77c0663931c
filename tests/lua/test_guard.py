"""The kill switch: nothing hangs, nothing survives a kill, the host is never harmed."""

import json
import re
import time
from pathlib import Path

import pytest
from bare_state import BareState, run

ATTACKS = [
    attack
    for attack in json.loads(Path(__file__).with_name("attacks.json").read_text("utf-8"))
    if "host." not in attack["code"]
]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack["id"])
def test_known_attack(attack):
    """The attacks that need no host; "killed" by the run's limits, "error" can be caught."""
    kinds, pattern = attack["expect"]
    outcome = run(attack["code"], seconds=0 if (kinds, pattern) == ("killed", "limit") else 5)
    assert outcome.kind in kinds.split("|")
    said = outcome.reason if outcome.kind == "killed" else outcome.text
    assert re.search(pattern, said)
    assert outcome.seconds < 4


# Most keys are in one chain of the hash table, which a search for another key has to walk.
CHAIN = "local t = {} for i = 1, 65600 do t[i * 131071] = true end local from = 131071 * 10^6 + 66000 // 1 | 0 "

# What must be killed: by the instructions, the clock or the memory.
ENDLESS = {
    "handler of an overflow": "local function f() return 1 + f() end while true do xpcall(f, function() while true do end end) end",
    "handler where the hook has no room": """
        local function nest(n, f) if n == 0 then f() else pcall(nest, n - 1, f) end end
        for d = 150, 200 do nest(d, function() xpcall(function() for i = 1, 1e5 do end error("x") end, function() while true do end end) end) end
        while true do end""",
    "loop where the hook has no room": """
        local function nest(n, f) if n == 0 then f() else pcall(nest, n - 1, f) end end
        for d = 150, 200 do nest(d, function() while true do pcall(function() while true do end end) end end) end""",
    "close handler that swaps the error": """
        local thrower = setmetatable({}, {__close = function() error("fooled", 0) end})
        while true do pcall(function() local x <close> = thrower while true do end end) end""",
    "close handler that hides out of memory": """
        local thrower = setmetatable({}, {__close = function() error("fooled", 0) end})
        while true do pcall(function() local x <close> = thrower local t = {} for i = 1, 1e9 do t[i] = {} end end) end""",
    "close handler that yields": """
        local f = coroutine.wrap(function() local x <close> = setmetatable({}, {__close = coroutine.yield}) while true do end end)
        while true do pcall(f) end""",
    "close handler that is C": "while true do pcall(function() local x <close> = setmetatable({}, {__close = error}) while true do end end) end",
    "closing oneself": "coroutine.resume(coroutine.create(function() local x <close> = setmetatable({}, {__close = function() while true do end end}) coroutine.close() end))",
    "a thousand coroutines": """
        local all = {}
        for i = 1, 1000 do all[i] = coroutine.wrap(function() while true do coroutine.yield() end end) end
        while true do for i = 1, #all do all[i]() end end""",
    "iterator": "for _ in coroutine.wrap(function() while true do coroutine.yield(1) end end) do end",
    "pairs": "for _ in pairs(setmetatable({}, {__pairs = function() return function() return 1 end end})) do end",
    "concat metamethod": "local t = setmetatable({}, {__concat = function() while true do end end}) return t .. t",
    "concat of many": "return table.concat(setmetatable({}, {__index = function() return '' end}), '', 1, 1e7)",
    "sort of many": "table.sort(setmetatable({}, {__len = function() return 1 << 30 end}))",
    "sort of long strings": "local s, t = ('x'):rep(4e6), {} for i = 1, 1e5 do t[i] = s end table.sort(t)",
    "many comparisons in C": "local t = {} for i = 1, 3000 do t[i] = ('x'):rep(300) .. i end while true do table.sort(table.move(t, 1, #t, 1, {})) end",
    "tostring in format": "return ('%s'):format(setmetatable({}, {__tostring = function() while true do end end}))",
    "wide formats": "local f, t = ('%s'):rep(1e5), {} for i = 1, 1e5 do t[i] = 'x' end while true do string.format(f, table.unpack(t)) end",
    "quoting": "local s = ('\\0'):rep(1e6) while true do string.format('%q', s) end",
    "long needle": "local s = ('a'):rep(4e6) while true do s:find(('a'):rep(2e6) .. 'b') end",
    "patterns without end": "for i = 1, 1e9 do (('x'):rep(50)):find('a' .. i .. '[b-z]*c') end",
    "growing by gsub": "local s = ('a'):rep(1000) while true do s = s:gsub('a', '%0%0') end",
    "quadratic pattern in C": "local s = (' '):rep(4000) .. 'x' while true do s:find('%s*$') end",
    "optional items in C": "local s = ('a'):rep(16) while true do s:find(('a?'):rep(12) .. ('a'):rep(17)) end",
    "shifting": "local t = {} for i = 1, 3e5 do t[i] = i end while true do table.remove(t, 1) t[#t + 1] = 1 end",
    "comparing long strings": "local a, b = ('x'):rep(3e6) .. 'a', ('x'):rep(3e6) .. 'b' while true do local c = a < b end",
    "numbers of megabytes": "local s = ('1'):rep(4e6) while true do math.abs(s) end",
    "utf8 iterator in rubble": "local s, f = 'a' .. ('\\x80'):rep(5e6), utf8.codes('x') while true do pcall(f, s, 1) end",
    "many arguments": "local t = {} for i = 1, 1e5 do t[i] = i end local function f() end while true do f(table.unpack(t)) end",
    "more and more arguments": "local function f(...) return f(1, ...) end f()",
    "rehashing": "local t = {} for i = 1, 2^16 do t['k' .. i] = 1 end local n = 2^16 while true do t['k' .. n] = nil n = n + 1 t['k' .. n] = 1 end",
    "compiling quadratic chunks": "while true do load('return ' .. ('x and '):rep(3e5) .. 'x') end",
    "compiling deep scopes": """
        local p = {}
        for d = 1, 150 do
          p[#p + 1] = "local function f() "
          for i = 1, 20 do p[#p + 1] = "local a" .. i .. ", b" .. i .. ", c" .. i .. ", d" .. i .. " " end
        end
        p[#p + 1] = ("x = x "):rep(1e5)
        while true do load(table.concat(p)) end""",
    "moving what is hard to find": CHAIN + "table.move(t, from, from + 9e6, 1, {})",
    "unpacking what is hard to find": CHAIN + "table.unpack(t, from, from + 4e5)",
    "reader": "load(function() return ' ' end)",
    "weak tables": "local t = setmetatable({}, {__mode = 'k'}) while true do t[{}] = {} end",
    "globals with newindex": "setmetatable(_G, {__newindex = function() while true do end end}) x = 1",
}


@pytest.mark.parametrize("name", ENDLESS)
def test_endless_work_is_killed(name):
    outcome = run(ENDLESS[name], instructions=5e6, seconds=0)
    assert outcome.kind == "killed"
    assert outcome.seconds < 3


# What must end by itself, well or with an error, and leave the host as it was.
HARMLESS = {
    "closing in a close handler": "local co co = coroutine.create(function() local x <close> = setmetatable({}, {__close = function() coroutine.close(co) end}) coroutine.yield() end) coroutine.resume(co) return coroutine.close(co)",
    "closing oneself twice": "return coroutine.resume(coroutine.create(function() local x <close> = setmetatable({}, {__close = function() coroutine.close() end}) coroutine.close() end))",
    "resuming the main thread": "local main = coroutine.running() return coroutine.wrap(function() return coroutine.resume(main) end)()",
    "resuming oneself": "return coroutine.resume(coroutine.running())",
    "nested coroutines": "local function f() return coroutine.wrap(f)() end return pcall(f)",
    "a value equal to everything": "local t = setmetatable({}, {__eq = function() return true end}) return coroutine.wrap(function() coroutine.yield(t) end)() == t",
    "range from end to end": "return pcall(table.move, {}, math.mininteger, math.maxinteger, 1), pcall(table.unpack, {}, math.mininteger, math.maxinteger)",
    "deep parentheses": "return load(('('):rep(1e6))",
    "a name of megabytes": "return load('local ' .. ('a'):rep(4e6) .. ' = 1') ~= nil",
    "no environment": "local _ENV = nil return 1",
    "no library": "for k in pairs(string) do string[k] = nil end for k in pairs(_G) do _G[k] = nil end return 1",
    "error without a text": "error(setmetatable({}, {__tostring = function() error('again') end}))",
    "error that is nil": "error(nil)",
}


@pytest.mark.parametrize("name", HARMLESS)
def test_odd_code_does_no_harm(name):
    state = BareState(seed=1)
    outcome = state.run(HARMLESS[name], seconds=5)
    assert outcome.kind in ("value", "error")
    assert state.run("return 1 + 1", seconds=5).text == "2"


def test_a_kill_says_which_limit_and_where():
    outcome = run("local function spin()\n  while true do end\nend\nspin()")
    assert (outcome.limit, outcome.reason, outcome.where) == (
        "instructions",
        "instruction limit exceeded",
        "spell.lua:2",
    )
    assert run("local s = 'x'\nwhile true do s = s .. s end").limit == "memory"
    assert run("while true do end", instructions=1e12, seconds=0).limit == "time"


@pytest.mark.parametrize(
    "source",
    [
        "local s, n = 'x', 0\nwhile true do\n  s = s .. s\nend",
        "local function double(s)\n  -- no loop\n  return double(s .. s)\nend\ndouble('x')",
        "local t = {}\nfor i = 1, 1e9 do\n  t[i] = {}\nend",
        "local t = {}\nfor i = 1, 1e9 do\n  t[i] = coroutine.wrap(print)\nend",
        "local s = 'x'\nfor i = 1, 1e9 do\n  s = s:rep(2)\nend",
        "local co = coroutine.wrap(function(s)\n  while true do\n    s = s .. s\n  end\nend)\nco('x')",
        "local t = {}\nwhile true do\n  table.insert(t, {1, 2, 3})\nend",
        "local t = {}\nwhile true do\n  t[#t + 1] = 'a long text of more than forty bytes: ' .. #t\nend",
        "local t, s = {}, ''\nwhile true do\n  s = s .. 'another hundred bytes' t[#t + 1] = s\nend",
        "local t = {}\nlocal function add(i)\n  t[i] = {i}\nend\nfor i = 1, 1e9 do\n  add(i)\nend",
        "local t, n = {}, 0\nwhile true do n = n + 1\n  t[n] = {}\n  n = n + 1\n  t[n] = n\n  if n < 0 then\n    n = 0\n  end\nend",
        "local a = ('x'):rep(6e6)\nlocal b = 1\nlocal c = a .. a .. a",
        "local a = ('x'):rep(6e6)\nlocal b = {}\nlocal c = a:rep(3)",
        "local a = ('x'):rep(6e6)\nlocal b = {}\nlocal c = a:gsub('x', 'abc')",
        "local a = ('x'):rep(6e6)\nlocal b = {a, a, a}\nlocal c = table.concat(b)",
        "local a = ('x'):rep(9e6)\nlocal b = {}\nlocal c = a:upper()",
        "local t = {}\nwhile not pcall(function()\n  while true do t[#t + 1] = {} end\nend) do end",
        "local t = {}\nlocal co = coroutine.wrap(function() while true do\n  t[#t + 1] = {}\n  coroutine.yield()\nend end)\nwhile true do\n  co()\nend",
    ],
)
def test_where_memory_ran_out(source):
    """However few instructions that took; the error itself tells nothing."""
    outcome = run(source, instructions=1e9, seconds=30)
    assert (outcome.limit, outcome.where) == ("memory", "spell.lua:3")


def test_a_killed_run_stays_dead():
    state = BareState(seed=1)
    assert state.run("while true do end").limit == "instructions"
    again = state.run("return 1")
    assert again.limit == "instructions"
    assert again.text == ""


def test_fuel_is_what_is_left():
    few, many = (run(f"for i = 1, {n} do end").fuel for n in (1e4, 1e6))
    assert 49e6 < few < 50e6
    assert 0.5e6 < few - many < 3e6


def test_work_in_c_is_charged_by_its_size():
    before, after = (run(f"return #('x'):rep({n})").fuel for n in (100, 8_000_000))
    assert before - after > 400_000


def test_no_user_code_sees_a_kill():
    outcome = run("""
        for i = 1, 3 do
          pcall(xpcall, function() while true do end end, print)
          local co = coroutine.create(function()
            local x <close> = setmetatable({}, {__close = function() print() end})
            while true do end
          end)
          coroutine.resume(co)
          coroutine.close(co)
          print()
        end""")
    assert outcome.limit == "instructions"
    assert outcome.printed == 0


@pytest.mark.parametrize(
    "attempt",
    [
        "pcall(victim)",
        "xpcall(victim, function() return 'handled' end)",
        "coroutine.resume(coroutine.create(victim))",
        "pcall(coroutine.wrap(victim))",
        "spawn(victim) while true do park() end",
        "pcall(function() local x <close> = hiding coroutine.wrap(eat)() end)",
        "pcall(function() local x <close> = hiding local y <close> = setmetatable({}, {__close = eat}) end)",
        "pcall(function() local x <close> = hiding pcall(error, 'before') eat() end)",
        "pcall(function() local x <close> = hiding local y <close> = setmetatable({}, {__close = eat}) error('before') end)",
        "pcall(function() local x <close>, y = hiding, 1 local z <close> = setmetatable({}, {__close = function() park() eat() end}) error('before') end)",
        "coroutine.wrap(function() local x <close> = hiding local y <close> = setmetatable({}, {__close = eat}) error('before') end)()",
        "pcall(function() local x <close> = setmetatable({}, {__close = error}) eat() end)",
        "local mt = {__close = eat} pcall(function() local x <close> = setmetatable({}, mt) mt.__close = nil eat() end)",
        "pcall(function() local x <close> = setmetatable({}, {__close = function() return nil + 1 end}) eat() end)",
        "pcall(function() local x <close> = setmetatable({}, {__close = function() park() error('hid') end}) park() eat() end)",
        "pcall(function() local x <close> = setmetatable({}, {__close = function() pcall(error) error('hid') end}) eat() end)",
        "local function both(x) if x then error('hid') end local x <close> = setmetatable({}, {__close = both}) eat() end pcall(both)",
        "pcall(function() for _ in function() eat() end, nil, nil, hiding do end end)",
        "load(function() local x <close> = hiding eat() end)",
        "load(('('):rep(300)) pcall(victim)",
        "local function hide() error('error in error handling') end pcall(function() local x <close> = setmetatable({}, {__close = hide}) eat() end)",
        "local function hide(...) error('hid') end pcall(function() local x <close> = setmetatable({}, {__close = function() return hide('x') end}) eat() end)",
        "pcall(function() local x <close> = setmetatable({}, {__close = function(...) error('hid') end}) eat() end)",
        "pcall(function() local x <close> = setmetatable({}, {__close = function(_, e, ...) error('hid') end}) eat() end)",
        "pcall(function() local x <close> = setmetatable({}, {__close = setmetatable({}, {__call = function() error('hid') end})}) eat() end)",
    ],
)
def test_a_close_handler_cannot_hide_that_memory_ran_out(attempt):
    """By an error of its own, which Lua puts in the place of the one that says so."""
    outcome = run(f"""
        local hiding = setmetatable({{}}, {{__close = function() error("hid") end}})
        local function eat() local hoard = {{}} for i = 1, 1e9 do hoard[i] = {{i}} end end
        local function victim() local x <close> = hiding eat() end
        {attempt}
        print()""")
    assert outcome.limit == "memory"
    assert outcome.where == "spell.lua:3"
    assert outcome.printed == 0


@pytest.mark.parametrize(
    ("use", "limit"),
    [
        (
            "pcall(function() local x <close> = setmetatable({}, {__close = fail}) eat() end)",
            "memory",
        ),
        ("pcall(fail)", None),
    ],
)
def test_what_earlier_calls_left_on_the_stack_misleads_nobody(use, limit):
    """A function that has not used its first register yet has something there from before."""
    for count in range(20):
        places = "".join(f"local p{i} " for i in range(count))
        outcome = run(
            f"""
            local refusing = setmetatable({{}}, {{__newindex = function() error("refused") end}})
            local function assign() refusing.x = 1 end
            local function fail() pcall(print) {places} assign() end
            local function eat() local hoard = {{}} for i = 1, 1e9 do hoard[i] = {{i}} end end
            {use}""",
            memory=1 << 20,
        )
        assert outcome.limit == limit


def test_the_cpu_clock_counts_fractions_of_seconds():
    state = BareState(seed=1, clock=True)
    assert state.run("for i = 1, 1e6 do end return 1", seconds=0.5).text == "1"
    begin = time.process_time()
    assert state.run("while true do end", instructions=1e12, seconds=0.2).limit == "time"
    assert 0.2 <= time.process_time() - begin < 0.4


@pytest.mark.parametrize("cpu_clock", [False, True])
@pytest.mark.parametrize(
    "source",
    [
        "local s = ('x'):rep(2e6) while true do local t = s .. s end",
        "local s = ('1'):rep(2e7) while true do local t = s + 1 end",
        "local s = ('a'):gsub('a', ('1'):rep(2e7)) while true do local t = s + 1 end",
        "local s = table.concat({('1'):rep(2e7), '1'}) while true do local t = s + 1 end",
        """local s = ('1'):rep(2e7)
        while true do coroutine.wrap(function() for i = 1, 300 do local t = s + 1 end end)() end""",
    ],
)
def test_the_clock_sees_work_that_costs_few_instructions(source, cpu_clock):
    """Also on the texts that C functions make, which Lua does not count as memory in use."""
    state = BareState(seed=1, clock=cpu_clock)
    outcome = state.run(source, instructions=1e12, seconds=0, memory=64 << 20)
    assert outcome.limit == "time"
    assert outcome.seconds < 2
