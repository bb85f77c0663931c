"""What the guarded library does differently from plain Lua, on purpose."""

import pytest
from bare_state import BareState, run


def value(source, **options):
    outcome = run(source, **options)
    assert outcome.kind == "value", outcome
    return outcome.text


def test_objects_are_numbered_not_addressed():
    assert (
        value("""
        local t, f = {}, function() end
        return tostring(t), tostring(f), tostring(t), ("%s"):format({}), tostring(print),
          tostring(setmetatable({}, {__name = "Point"})), tostring(coroutine.create(f))""")
        == "'table: 1', 'function: 2', 'table: 1', 'table: 3', 'function: 4', 'Point: 5', 'thread: 6'"
    )


def test_what_is_known_of_a_format_changes_nothing():
    """One of more than 200 bytes is looked at each time; the others serve again as they were found."""
    assert (
        value("""
        local values = {1, -7, 2^53, 3.5, -0.0, 1/0, -(0/0), math.mininteger, "text", "12", "a\\0b", "",
          true, false, {}, print, ("x"):rep(2000)}
        local formats = {"%s", "%d", "%i|", "%s=%s", "%s: %d", "%%%d%%", "%s%d%s", "\\0%s\\0", "%5s", "%s %s %s %s"}
        local function call(f, ...)
          local ok, text = pcall(string.format, f, ...)
          return text
        end
        local calls, others = 0, 0
        local function compare(f, ...)
          local long = call(f .. ("%%"):rep(200), ...)
          for _ = 1, 2 do
            local text = call(f, ...)
            calls = calls + 1
            if text ~= long and text .. ("%"):rep(200) ~= long then others = others + 1 end
          end
        end
        for _, f in ipairs(formats) do
          compare(f)
          for _, a in ipairs(values) do
            compare(f, a)
            compare(f, a, nil)
            for _, b in ipairs(values) do compare(f, a, b, a) end
          end
        end
        return calls, others""")
        == "6480, 0"
    )


def test_no_conversion_shows_an_address():
    for conversion in ("%p", "%10p", "%-5p", "%5.3p"):
        outcome = run(f"return string.format('{conversion}', {{}})")
        assert "invalid conversion '%p' to 'format'" in outcome.text


@pytest.mark.parametrize("name", ["io", "debug", "package", "dofile", "loadfile", "warn", "python"])
def test_what_leads_out_is_not_there(name):
    assert value(f"return {name}") == "None"


def test_the_collector_is_out_of_reach():
    assert (
        value("return collectgarbage(), collectgarbage('count'), collectgarbage('step')")
        == "0, 100f, True"
    )
    outcome = run("collectgarbage('stop')")
    assert outcome.text.startswith(
        "error: spell.lua:1: collectgarbage: spells cannot set the collector"
    )


def test_finalizers_are_refused_whenever_they_are_given():
    assert (
        value("""
        local mt = {}
        local t = setmetatable({}, mt)
        mt.__gc = function() end
        return (pcall(setmetatable, {}, {__gc = true})), (pcall(setmetatable, t, mt)), (pcall(setmetatable, {}, mt))""")
        == "False, False, False"
    )


def test_random_seeds_are_not_told():
    assert value("return select('#', math.randomseed()), select('#', math.randomseed(7))") == "0, 0"
    assert (
        value(
            "math.randomseed(7) local a = math.random(0) math.randomseed(7) return a == math.random(0)"
        )
        == "True"
    )


def test_string_methods_are_those_of_the_string_table():
    assert (
        value("function string.twice(s) return s .. s end return ('ab'):twice(), getmetatable('')")
        == "'abab', False"
    )


def test_load_takes_text_only_and_reads_through_parks():
    assert (
        value(r"""
        local n = 0
        local f = load(function() n = n + 1 if n < 4 then return "x" .. n .. " = " .. park() .. " " end end)
        f()
        return x1, x2, x3, load("\27Lua"), select(2, load("\27Lua", "x", "b")), load("return y", "c", "t", {y = 5})()""")
        == "1, 2, 3, None, 'attempt to load a binary chunk (mode is 't')', 5"
    )


def test_load_reports_code_that_is_nested_too_deeply():
    deep = "('do '):rep(500) .. ('end '):rep(500)"
    assert value(f"return load({deep})") == "None, 'C stack overflow'"


def test_load_reports_the_error_of_a_reader():
    assert value("return load(function() error('broken', 0) end)") == "None, 'broken'"
    assert (
        value("return load(function() return {} end)")
        == "None, 'reader function must return a string'"
    )


def test_compiling_can_be_interrupted():
    """A chain of `and` takes the compiler time quadratic in its length: here, half a minute."""
    outcome = run("load('return ' .. ('x and '):rep(300000) .. 'x')", seconds=0)
    assert outcome.limit in ("time", "instructions")
    assert outcome.seconds < 2


def test_sort_is_stable_and_reports_an_inconsistent_order():
    assert (
        value("""
        local t, shown = {}, {}
        for i = 1, 20 do t[i] = {key = i % 3, i = i} end
        table.sort(t, function(a, b) return a.key < b.key end)
        for i, item in ipairs(t) do shown[i] = item.i end
        return table.concat(shown, " ")""")
        == "'3 6 9 12 15 18 1 4 7 10 13 16 19 2 5 8 11 14 17 20'"
    )
    for order in ("function() return true end", "function(a, b) return a <= b end"):
        outcome = run(f"table.sort({{1, 1, 1, 1}}, {order})")
        assert outcome.text == "error: spell.lua:1: invalid order function for sorting"


def test_a_failed_sort_leaves_the_table_as_it_was():
    assert (
        value("local t = {3, 1, 'x', 2} return (pcall(table.sort, t)), t")
        == "False, [3, 1, 'x', 2]"
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("table.sort({1, {}})", "attempt to compare table with number"),
        ("table.sort({{}, {}})", "attempt to compare two table values"),
        ("table.concat({1, {}})", "invalid value (table) at index 2 in table for 'concat'"),
        ("table.insert({}, 5, 1)", "bad argument #2 to 'insert' (position out of bounds)"),
        ("table.insert({})", "wrong number of arguments to 'insert'"),
        ("table.remove({}, 5)", "bad argument #2 to 'remove' (position out of bounds)"),
        ("table.unpack({}, 1, 1e7)", "too many results to unpack"),
        ("table.concat({}, '', 1, 2^53 | 0)", "range too large"),
        ("table.move({}, 1, 2^53 | 0, 2)", "too many elements to move"),
        ("setmetatable(1, {})", "bad argument #1 to 'setmetatable' (table expected, got number)"),
        ("setmetatable({}, {__gc = 1})", "__gc is not available in spells; use a <close> variable"),
        ("('x'):rep(1 << 40)", "resulting string too large"),
        ("('x'):rep({})", "bad argument #1 to 'rep' (number expected, got table)"),
        ("tonumber('1', 99)", "bad argument #2 to 'tonumber' (base out of range)"),
        ("('%d'):format('x')", "bad argument #1 to 'format' (number expected, got string)"),
        ("utf8.len('x', 9)", "bad argument #2 to 'len' (initial position out of bounds)"),
        ("xpcall(error)", "bad argument #2 to 'xpcall' (function expected, got nil)"),
        ("ipairs()", "bad argument #1 to 'ipairs' (table expected, got nil)"),
        ("format_date('%Ez', 0)", "bad argument #1 to 'date' (invalid conversion specifier '%Ez')"),
        ("time_of({})", "field 'year' missing in date table"),
    ],
)
def test_errors_name_the_line_of_the_spell(call, message):
    outcome = BareState(seed=1, memory=16 << 20).run(f"\nlocal r = {call}\n")
    assert outcome.text.startswith(f"error: spell.lua:2: {message}")


def test_an_error_in_our_own_code_shows_no_place_of_ours():
    outcome = run(
        "return pcall(function() return utf8.codepoint(('x'):rep(5e5), 1, -1) end)", memory=64 << 20
    )
    assert "?" not in outcome.text


def test_dates_of_given_times():
    assert (
        value("return format_date('!%Y-%m-%d %H:%M:%S', 86400), format_date('!*t', 0).year")
        == "'1970-01-02 00:00:00', 1970"
    )
    assert (
        value(
            "local d = {year = 2024, month = 14, day = 1, hour = 12} return time_of(d) // 86400, d.month, d.year"
        )
        == "20120, 2, 2025"
    )


@pytest.mark.parametrize(
    ("source", "part_of_hint"),
    [
        ("io.open('x')", "read_file"),
        ("os.execute('ls')", "run_program"),
        ("debug.traceback()", "Debug"),
        ("dofile('x')", "require"),
        ("return unpack({})", "table.unpack"),
        ("string.dump(print)", "bytecode"),
        ("package.path = 'x'", "require"),
        ("for k, v in {1} do end", "pairs(t)"),
        ("for i in 1, 3 do end", "for i = 1, 10"),
    ],
)
def test_errors_about_what_is_missing_have_a_hint(source, part_of_hint):
    hint = value(f"local _, e = pcall(function() {source} end) return explain(e)")
    assert part_of_hint in hint


def test_other_errors_have_no_hint():
    assert (
        value("return explain('attempt to call a nil value (local \\'f\\')'), explain('boo')")
        == "None, None"
    )
