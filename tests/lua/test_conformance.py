"""Programs that plain Lua 5.5 and the guarded library must agree on."""

import re
from pathlib import Path

import pytest
from bare_state import BareState, new_state

PROGRAMS = {
    "closures": """
        local made = {}
        for i = 1, 3 do local j = i * 10 made[i] = function() j = j + i return j end end
        return made[1](), made[1](), made[2](), made[3]()""",
    "goto": """
        local n = 0
        ::again:: n = n + 1
        if n < 5 then goto again end
        for i = 1, 3 do for j = 1, 3 do if j == 2 then goto continue end n = n + i * j ::continue:: end end
        return n""",
    "varargs": """
        local function count(...) return select("#", ...), ... end
        local function tail(...) return select(2, ...) end
        local packed = table.pack(nil, 2, nil)
        return P(count()), P(count(nil)), (count(1, 2)), P(tail(1, 2, 3)), P(select(-1, 4, 5)), packed.n, packed[2]""",
    "integers and floats": """
        return 7 // 2, -7 // 2, 7 // 2.0, 7 % -3, -7 % 3, 7.5 % -2, 1 / 2, 3 | 4, 2 ^ 10, 1e15, 2^53 | 0,
          math.maxinteger + 1 == math.mininteger, 10 == 10.0, "10" + 5, "3" * "4", 0x7fffffffffffffff, 1e308 * 10,
          math.type(3), math.type(3.0), math.type("3"), 3 == 3.0000001, 5 // 0.0, -5 // 0.0, 0/0 ~= 0/0""",
    "integer errors": """
        return P(pcall(function() return 1 // 0 end)), P(pcall(function() return 1 % 0 end)),
          P(pcall(function() return 1.5 | 1 end)), P(pcall(function() return "a" + 1 end)),
          P(pcall(function() return {} .. "x" end)), P(pcall(function() return 1 < "2" end))""",
    "math": """
        return math.floor(-3.5), math.ceil(3.2), math.fmod(-7, 3), math.tointeger(8.0), math.tointeger("x"),
          math.abs(math.mininteger), math.ult(1, -1), math.max(1, 5.5, 3), math.min(2, -1), math.modf(-3.7),
          math.sqrt(16), math.log(8, 2), math.exp(0), math.huge, -math.huge, math.pi, math.deg(math.pi)""",
    "tonumber": """
        return tonumber("  0x10  "), tonumber("1e2"), tonumber("abc"), tonumber("ff", 16), tonumber("z", 36),
          tonumber("8", 8), tonumber(""), tonumber("1 2"), tonumber(nil), tonumber("0x1p4"), tonumber("10", 2),
          tonumber("-0x7"), tonumber(("0"):rep(500) .. "7")""",
    "tostring": """
        return tostring(1), tostring(1.0), tostring(-0.0), tostring(1e100), tostring(true), tostring(nil),
          tostring("x"), tostring(2^63), tostring(math.mininteger), tostring(0/0 ~= 0/0), P(pcall(tostring)), P(pcall(tonumber)),
          tostring(setmetatable({}, {__tostring = function() return "shown" end}))""",
    "strings": """
        local s = "hello"
        return #s, s:upper(), s:sub(2, -2), s:sub(-3), s:sub(10), s:rep(3, "-"), s:reverse(), P(s:byte(1, -1)),
          string.char(72, 105), s:len(), ("x"):rep(0), ("x"):rep(-1), s:sub(0), s:sub(-100, 2), ("%d"):rep(2)""",
    "patterns": """
        local function all(s, p) local t = {} for a, b in s:gmatch(p) do t[#t + 1] = a .. (b or "") end return table.concat(t, "|") end
        return P(("key = value"):match("^(%w+)%s*=%s*(%w+)$")), P(("a,b,,c"):gsub(",", ";")), all("one two  three", "%a+"),
          all("k1=v1;k2=v2", "(%w+)=(%w+)"), P(("f(a(b)c)d"):match("%b()")), P(("THE (quick) fox"):find("%((%a+)%)")),
          ("  trim  "):match("^%s*(.-)%s*$") .. "|", P(("hello"):gsub("", "-")), P(("abc"):gsub("%w", "%0%0")),
          P(("hello world"):gsub("o", {o = "0"})), P(("abc"):gsub("b", function() return nil end)), all("THE FOX", "%f[%a]%a+"),
          P(("x^y"):find("^", 1, true)), P(("a.b"):find(".", 2, true)), P(("abc"):find("b", -2)), P(("abc"):find("", 10)),
          P(("äö"):gsub("[\\x80-\\xff]", "?")), P(("line1\\nline2\\n"):gsub("(.-)\\n", "<%1>")), all("aXbX", "(.-)X")""",
    "format": """
        return ("%5.1f|%-6d|%06d|%x|%X|%o"):format(3.14159, 42, 42, 255, 255, 8), ("%q"):format('a "b"\\n\\0'),
          ("%s %s %s"):format(nil, true, 1.5), ("%10.3s|"):format("abcdef"), ("%g %g"):format(1e20, 0.1),
          ("%c%c"):format(65, 66), ("%%"):format(), ("%i"):format(3.0), ("%a"):format(1),
          ("%q"):format(1/3), P(pcall(string.format, "%d", 1.5)), P(pcall(string.format, "%d", "x"))""",
    "pack": """
        local s = string.pack("<i4 z s1 d", 7, "zero", "pre", 1.5)
        return #s, P(string.unpack("<i4 z s1 d", s)), string.packsize("<i4 i8"), P(pcall(string.unpack, "<i4", "abc"))""",
    "utf8": """
        local s = "aé€😀"
        local codes = {}
        for p, c in utf8.codes(s) do codes[#codes + 1] = p .. ":" .. c end
        return P(utf8.len(s)), utf8.char(228, 8364, 128512), table.concat(codes, " "), utf8.offset(s, 3), utf8.offset(s, -1),
          P(utf8.codepoint(s, 1, -1)), P(utf8.len("\\xff")), #utf8.charpattern, P(pcall(utf8.codepoint, "\\xff")),
          P(pcall(function() for _ in utf8.codes("a\\xff") do end end)), P(utf8.len(s, 5)), P(pcall(utf8.len, s, 99))""",
    "sort": """
        local t, by = {5, 2, 8, 1, 9, 3}, {}
        table.sort(t) local up = table.concat(t, " ")
        table.sort(t, function(a, b) return a > b end)
        for i = 1, 50 do by[i] = {key = (i * 37) % 101} end
        table.sort(by, function(a, b) return a.key < b.key end)
        for i = 1, 50 do by[i] = by[i].key end
        local words = {"pear", "fig", "apple", "Fig"} table.sort(words)
        local v = {} for i = 1, 5 do v[i] = setmetatable({i * 3 % 5}, {__lt = function(a, b) return a[1] < b[1] end}) end
        table.sort(v)
        return up, table.concat(t, " "), table.concat(by, " "), table.concat(words, " "), v[1][1], v[5][1],
          P(pcall(table.sort, {1, 2, "x"})), P(pcall(table.sort, {3, 1, 2, 5, 4}, function() return true end))""",
    "tables": """
        local t = {1, 2, 3}
        table.insert(t, 4) table.insert(t, 1, 0) table.insert(t, #t + 1, 5)
        local a, b, c = table.remove(t), table.remove(t, 1), table.remove({})
        local m = table.move({1, 2, 3}, 2, 3, 1)
        local n = table.move({1, 2, 3}, 1, 3, 3)
        return table.concat(t, ","), a, b, c, table.concat(m, ","), table.concat(n, ","), P(table.unpack({1, 2, 3}, 2)),
          #t, next({}), rawlen({1, 2}), rawequal(t, t), rawget(t, 1), P(table.unpack({}, 1, 3)),
          P(pcall(table.insert, t, 9, 1)), P(pcall(table.remove, t, 9)), P(pcall(table.insert, t)), P(pcall(table.concat, {{}}))""",
    "tables with metatables": """
        local log = {}
        local p = setmetatable({}, {
          __index = function(_, k) log[#log + 1] = "get" .. tostring(k) return k <= 3 and k * 10 or nil end,
          __newindex = function(_, k, v) log[#log + 1] = "set" .. k .. "=" .. tostring(v) end,
          __len = function() return 3 end})
        local joined, x, y, z = table.concat(p, ","), table.unpack(p)
        table.insert(p, 40)
        local sum = 0
        for _, v in ipairs(p) do sum = sum + v end
        return joined, x, y, z, sum, table.concat(log, " ")""",
    "next and pairs": """
        local t, keys = {10, 20, x = 1, y = 2}, {}
        for k in pairs(t) do keys[#keys + 1] = tostring(k) end
        table.sort(keys)
        for k in pairs(t) do t[k] = nil end
        local seen = 0
        for k, v in pairs(setmetatable({}, {__pairs = function() return function(_, k) k = (k or 0) + 1 if k < 4 then return k, k end end end})) do seen = seen + v end
        return table.concat(keys, " "), next(t), seen, P(pcall(next, {}, "nope"))""",
    "metamethods": """
        local V = {} V.__index = V
        V.__add = function(a, b) return setmetatable({x = a.x + b.x}, V) end
        V.__eq = function(a, b) return a.x == b.x end
        V.__lt = function(a, b) return a.x < b.x end
        V.__le = function(a, b) return a.x <= b.x end
        V.__call = function(self, y) return self.x + y end
        V.__concat = function(a, b) return "cat" end
        V.__len = function(a) return a.x end
        V.__unm = function(a) return -a.x end
        V.__close = function() end
        local a, b = setmetatable({x = 1}, V), setmetatable({x = 2}, V)
        return (a + b).x, a == b, a < b, a <= b, a(5), a .. b, #a, -b, rawequal(a, b), getmetatable(a) == V""",
    "protected metatables": """
        local t = setmetatable({}, {__metatable = "locked"})
        return getmetatable(t), (pcall(setmetatable, t, {})), P(pcall(setmetatable, 1, {})), (pcall(setmetatable, {}, 1)),
          getmetatable(setmetatable({}, nil))""",
    "errors": """
        local function thrower(v) error(v) end
        local function deep() thrower("deep") end
        return P(pcall(thrower, "text")), P(pcall(thrower, {1})) , P(pcall(error)), P(pcall(error, "x", 0)), P(pcall(error, nil)), P(pcall(deep)),
          P(pcall(function() local x = nil; return x.y end)), P(pcall(function() return undefined_global() end)),
          P(pcall(function() error("level 2", 2) end)), P(pcall(assert, false)), P(pcall(assert, nil, "why")), P(pcall(assert, 1, 2)),
          P(select("#", pcall(error)))""",
    "xpcall": """
        return P(xpcall(function() return 1, 2 end, print)), P(xpcall(error, function(e) return "<" .. e .. ">" end, "boo")),
          P(xpcall(function(...) return select("#", ...) end, print, nil, nil)), P(xpcall(error, function(e) error("again") end, 1)),
          P(xpcall(error, function(n) if type(n) == "number" and n > 0 then error(n - 1) end return n end, 150)),
          P(xpcall(error, function(n) if type(n) == "number" then error(n + 1) end return n end, 0)),
          P(xpcall(error, function(e) return e:upper() end, "low")), P(pcall(xpcall)), P(xpcall(error, function() return nil, 2 end))""",
    "close": """
        local log = {}
        local function closer(name) return setmetatable({}, {__close = function(_, e) log[#log + 1] = name .. tostring(e) end}) end
        do local a <close> = closer("a") local b <close> = closer("b") end
        pcall(function() local c <close> = closer("c") error("oops", 0) end)
        for i = 1, 2 do local d <close> = closer("d" .. i) if i == 2 then break end end
        return table.concat(log, " ")""",
    "errors of close handlers": """
        local function closer(f) return setmetatable({}, {__close = f}) end
        local function fail(_, e) error("closing after " .. tostring(e), 0) end
        local function down(n, f) if n == 0 then f() end return 1 + down(n - 1, f) end
        local function overflow() return 1 + overflow() end
        local function unwind(f)
          return pcall(function() local a <close> = closer(fail) local b <close> = closer(fail) return f() end)
        end
        local mt = {__close = fail}
        return P(unwind(function() return 1 end)), P(unwind(function() error("deep", 0) end)),
          P(unwind(function() down(1000, function() error("deep", 0) end) end)),
          P(unwind(function() down(10, function() unwind(overflow) error("deep", 0) end) end)),
          P(pcall(function() local a <close> = closer(function() down(1000, fail) end) error("before", 0) end)),
          P(pcall(function() local a <close> = closer(function() pcall(error) fail() end) error("before", 0) end)),
          P(pcall(function() local a <close> = setmetatable({}, mt) mt.__close = nil error("before", 0) end)),
          P(pcall(function() local a <close> = closer(function() error("closing", 0) end) overflow() end)),
          P(unwind(function() local a <close> = closer(function() unwind(overflow) end) overflow() end)),
          P(pcall(coroutine.wrap(function() local a <close> = closer(fail) error("before", 0) end))),
          P(coroutine.wrap(function() return unwind(function() coroutine.yield() error("before", 0) end) end)())""",
    "load where the stack ends": """
        local seen = {}
        local function down(n)
          if n > 0 then return pcall(down, n - 1) end
          local f, message = load("return 1")
          seen[type(f) .. " " .. type(message)] = true
        end
        for n = 150, 200 do down(n) end
        return seen["function nil"], seen["nil string"], seen["string nil"]""",
    "coroutines": """
        local co = coroutine.create(function(a, b)
          local c = coroutine.yield(a + b)
          local d, e = coroutine.yield(c * 2)
          return d, e
        end)
        local gen = coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i) end end)
        local none = coroutine.create(function() coroutine.yield() end)
        local bad = coroutine.create(function() error({code = 7}) end)
        local ok, e = coroutine.resume(bad)
        return P(coroutine.resume(co, 1, 2)), P(coroutine.resume(co, 10)), coroutine.status(co), P(coroutine.resume(co, "d", "e")),
          coroutine.status(co), P(coroutine.resume(co)), P(gen()), P(gen()), P(gen()), P(gen()), P(pcall(gen)),
          P(select("#", coroutine.resume(none))), P(select("#", coroutine.resume(none))), ok, e.code, P(coroutine.close(co)),
          P(pcall(coroutine.wrap(error), "x")), P(pcall(coroutine.resume, 1)), P(pcall(coroutine.create, 1))""",
    "coroutines inside": """
        local inner, outer
        inner = coroutine.create(function()
          return coroutine.status(outer), coroutine.status(inner), coroutine.isyieldable(), select(2, coroutine.running()),
            coroutine.resume(outer), coroutine.running() == inner, pcall(coroutine.close, outer)
        end)
        outer = coroutine.create(function() return coroutine.resume(inner) end)
        return P(coroutine.resume(outer))""",
    "the main thread": """
        local co, main = coroutine.running()
        return main, coroutine.isyieldable(), coroutine.isyieldable(co), coroutine.status(co), (pcall(coroutine.yield, 1)),
          P(coroutine.resume(co)), P(pcall(coroutine.close, co))""",
    "closing coroutines": """
        local log = {}
        local function body()
          local x <close> = setmetatable({}, {__close = function(_, e) log[#log + 1] = tostring(e) end})
          coroutine.yield(1)
        end
        local a = coroutine.create(body)
        coroutine.resume(a)
        local b = coroutine.create(function() error("failed", 0) end)
        coroutine.resume(b)
        local c = coroutine.create(function()
          local y <close> = setmetatable({}, {__close = function() error("in close", 0) end})
          coroutine.yield()
        end)
        coroutine.resume(c)
        local d = coroutine.create(function() coroutine.close() error("unreachable") end)
        return P(coroutine.close(a)), coroutine.status(a), P(coroutine.close(b)), P(coroutine.close(b)), P(coroutine.close(c)),
          P(coroutine.resume(d)), coroutine.status(d), table.concat(log, " ")""",
    "yields across calls": """
        local t = setmetatable({}, {__index = function(_, k) return coroutine.yield(k) end, __add = function(a, b) return coroutine.yield("add") end})
        local co = coroutine.wrap(function()
          local a = t.field
          local ok, b = pcall(function() return coroutine.yield("in pcall") end)
          local c = t + 1
          for v in function() return coroutine.yield("iterator") end do return a, b, c, v end
        end)
        return P(co()), P(co(1)), P(co(2)), P(co(3)), P(co(4))""",
    "load": """
        local n = 0
        local pieces = {"return ", "1 ", "+ 41"}
        return load("return 1 + 1")(), load(function() n = n + 1 return pieces[n] end)(), P(load("syntax error here")),
          load("return x", "chunk", "t", {x = "env"})(), load("return ...", "=c")(7, 8), P(load("x =", "=named")),
          load("error('at')", "@file.lua") and P(pcall(load("error('at')", "@file.lua"))), P(load("return 1", "n", "b")),
          load(function() return nil end) ~= nil""",
    "string coercions": """
        return 1 .. 2, "10" + 0, 10 .. "", ("5"):rep("2"), #tostring(12), ("abc"):sub("2"), ("x"):rep(2.0), P(pcall(string.rep, "x", 1.5)),
          P(pcall(string.rep)), P(string.find(123, 2)), P(string.gsub(112, 1, 9)), table.concat({1, 2.5, "x"}, 0)""",
    "method errors": """
        local s = "x"
        local function call(f) local ok, e = pcall(f) return (e:gsub("^[^:]*:%d+: ", "")) end
        return call(function() local r = s:rep({}) return r end), call(function() local r = s:nothing() return r end),
          call(function() local r = string.rep("x", {}) return r end), call(function() local r = s:find({}) return r end),
          call(function() local r = ("%d"):format("x") return r end), call(function() local r = s:gsub("x", true) return r end)""",
    "environments": """
        local function f() local _ENV = {y = 5} return y end
        x = 3
        local g <const> = _G.x
        return f(), g, _G._G == _G, _ENV == _G, rawget(_G, "undefined")""",
    "lengths that are no integers": """
        local found = {}
        for _, n in ipairs{2.0, "2", " 0x2 ", "1.0", 2.5, "a", true} do
          for _, f in ipairs{table.concat, table.unpack, table.remove} do
            found[#found + 1] = P(pcall(f, setmetatable({10, 20, 30}, {__len = function() return n end})))
          end
          local t = setmetatable({10, 20, 30}, {__len = function() return n end})
          found[#found + 1] = P(pcall(table.insert, t, "added")) .. tostring(rawget(t, 3))
        end
        return table.concat(found, "\\n"), P(pcall(table.unpack)), P(pcall(table.unpack, 1)), P(pcall(table.unpack, "ab", 1, 2))""",
    "names of types": """
        local point = setmetatable({}, {__name = "Point"})
        return P(pcall(string.rep, point, 2)), P(pcall(string.rep, "x", point)), P(pcall(table.concat, {}, point)),
          P(pcall(table.move, {}, 1, point, 1)), P(pcall(table.concat, {}, setmetatable({}, {__name = 1})))""",
    "library names": """
        local names = {}
        for _, t in ipairs{"math", "utf8", "coroutine", "string", "table"} do
          for k in pairs(_G[t]) do if k ~= "dump" and k ~= "create" or t == "coroutine" then names[#names + 1] = t .. "." .. k end end
        end
        table.sort(names)
        return table.concat(names, " ")""",
}

SHOW = """
local function show(v)
  if type(v) == "table" then return "{" .. tostring(v[1]) .. "}" end
  return math.type(v) == "float" and ("%.17g"):format(v) .. "f" or tostring(v)
end
local function shown(separator, ...)
  local out = {}
  for i = 1, select("#", ...) do out[i] = show((select(i, ...))) end
  return table.concat(out, separator)
end
local function P(...) return "(" .. shown(", ", ...) .. ")" end -- every value of a call
local function run()
%s
end
local text = shown("\\n", run())
return text
"""


def lines(text):
    """Without what the guarded library does better: places, and short names of functions."""
    text = re.sub(rb"(?:spell\.lua:\d+: )+", b"", text)
    text = re.sub(rb"to '(?:string|table|utf8|coroutine)\.", b"to '", text)
    text = text.replace(b"got no value", b"got nil").replace(b"value expected", b"nil")
    return text.split(b"\n")


@pytest.mark.parametrize("name", PROGRAMS)
def test_agrees_with_plain_lua(name):
    source = SHOW.replace("%s", PROGRAMS[name])
    plain = new_state().execute(b"return load(..., '=spell.lua')()", source.encode())
    guarded = BareState(seed=1).run(source, memory=128 << 20)
    assert guarded.kind == "value", guarded
    assert lines(guarded.raw[1:-1]) == lines(plain)


def test_math_random_repeats_with_its_seed():
    source = "local t = {} for i = 1, 5 do t[i] = math.random(1000) end return table.concat(t, ' ')"
    first, again, other = (BareState(seed=seed).run(source).text for seed in (5, 5, 6))
    assert first == again != other


def test_what_programs_count_on_holds():
    source = Path(__file__).with_name("conformance.lua").read_text("utf-8")
    plain = new_state().execute(b"return load(..., '=spell.lua')()", source.encode())
    assert plain.decode() == ""
    guarded = BareState(seed=1).run(source, instructions=1e9, seconds=60, memory=256 << 20)
    assert guarded.text == "''"
