"""Effects from Lua's side: where they can be performed, and how they fail."""

import pytest

from llmspell import Limits, tool
from llmspell.errors import (
    InvalidArguments,
    LimitExceeded,
    PermissionDenied,
    SpellRuntimeError,
    SpellSyntaxError,
    ToolError,
    UnknownEffect,
)

pytestmark = pytest.mark.anyio

VALUES = [
    None,
    True,
    False,
    0,
    -(1 << 63),
    (1 << 63) - 1,
    1.5,
    1e300,
    float("inf"),
    "",
    "text with ünïcödé \0 and zero",
    b"\xff\xfe not UTF-8",
    [1, 2, [3]],
    {"a": {"b": [1, {"c": None}]}},
    {1: "x", 3: "y", "k": 2.5},
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
@pytest.mark.parametrize("effect", ["echo", "echo_now"])
async def test_values_come_back_as_they_went(lua, value, effect):
    @tool
    async def value_of_python() -> object:
        """The value."""
        return value

    result = await lua(
        f"return probe('{effect}', {{value = value_of_python()}})", tools=[value_of_python]
    )
    expected = {"a": {"b": [1, []]}} if value == VALUES[13] else value
    assert result == expected
    assert type(result) is type(expected)


async def test_integers_beyond_64_bits_become_floats(lua):
    @tool
    async def huge() -> int:
        """Much."""
        return 1 << 70

    @tool
    async def keyed() -> dict[int, int]:
        """Much to find."""
        return {1 << 70: 1 << 70}

    source = "return {huge(), math.type(huge()), next(keyed())}"
    found = await lua(source, tools=[huge, keyed])
    assert found == [2.0**70, "float", 2.0**70, 2.0**70]


async def test_null_keeps_the_place_in_a_list(lua):
    assert await lua("""
        local list = probe("echo", {value = {1, JSON.null, 3}})
        return {#list, list[2] == JSON.null, tostring(list[2]), list}
    """) == [3, True, "null", [1, None, 3]]


async def test_a_list_with_holes_or_names_is_a_table(lua):
    assert await lua("return {1, nil, 3}") == {1: 1, 3: 3}
    assert await lua("return {1, 2, x = 3}") == {1: 1, 2: 2, "x": 3}
    assert await lua("return {1, nil, 3, x = 4}") == {1: 1, 3: 3, "x": 4}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("coroutine.create(print)", "a thread cannot be passed"),
        ("{[true] = 1}", "boolean as key"),
        ("{{{[{}] = 1}}}", "table as key"),
        ("(function() local t = {} t.t = t return t end)()", "nested too deeply"),
        ("('x'):rep(2000000)", "too large"),
    ],
)
async def test_what_cannot_cross_is_an_error_at_the_line(lua, value, said):
    result = await lua(
        f"""
        local v = {value}
        local ok, e = pcall(probe, "echo", {{value = v}})
        return {{ok, e.code, e.message, probe("echo", {{value = "still alive"}})}}
        """,
        limits=Limits(message=1 << 20),
    )
    assert result[:2] == [False, "invalid_arguments"]
    assert said in result[2]
    assert result[3] == "still alive"


async def test_effects_work_wherever_lua_yields(lua):
    assert await lua("""
        local t = setmetatable({}, {
          __index = function(_, k) return probe("echo", {value = k .. "!"}) end,
          __add = function(a, b) return probe("echo", {value = b + 1}) end,
          __lt = function() return probe("echo", {value = true}) end,
          __concat = function() return probe("echo", {value = "cat"}) end,
          __call = function(_, v) return probe("echo", {value = v}) end,
          __eq = function() return probe("echo", {value = true}) end,
          __len = function() return probe("echo", {value = 7}) end,
          __unm = function() return probe("echo", {value = "neg"}) end,
          __close = function() probe("echo") end,
        })
        local numbers = coroutine.wrap(function()
          for i = 1, 3 do coroutine.yield(probe("echo", {value = i})) end
        end)
        local sum = 0
        for n in numbers do sum = sum + n end
        local ok, e = pcall(probe, "fail", {message = "soup"})
        local handled = select(2, xpcall(probe, function(e) return "seen " .. e.code end, "fail", {message = "x"}))
        do local closing <close> = t end
        local chunk = load("return probe('echo', {value = ...})")
        return {t.key, t + 5, t < t, t .. "", t(9), t == setmetatable({}, getmetatable(t)), #t, -t,
                sum, ok, e.code, handled, chunk("loaded")}
    """) == [
        "key!",
        6,
        True,
        "cat",
        9,
        True,
        7,
        "neg",
        6,
        False,
        "tool_error",
        "seen tool_error",
        "loaded",
    ]


async def test_effects_work_in_sort_and_gsub_callbacks(lua):
    assert await lua("""
        local t = {3, 1, 2}
        table.sort(t, function(a, b) return probe("echo", {value = a < b}) end)
        local s = ("abc"):gsub("%w", function(c) return probe("echo", {value = c:upper() .. "."}) end)
        return {t, s}
    """) == [[1, 2, 3], "A.B.C."]


async def test_nested_coroutines_of_several_tasks_do_not_mix(lua):
    assert await lua("""
        local function generator(name)
          return coroutine.wrap(function()
            local inner = coroutine.wrap(function()
              for i = 1, 3 do coroutine.yield(probe("wait", {seconds = 0.001 * i, value = name .. i})) end
            end)
            for v in inner do coroutine.yield(v) end
          end)
        end
        return Task.map({"a", "b"}, function(name)
          local out = {}
          for v in generator(name) do out[#out + 1] = v end
          return table.concat(out)
        end)
    """) == ["a1a2a3", "b1b2b3"]


async def test_the_error_of_a_handler_is_a_table_at_the_calling_line(lua):
    result = await lua("""
        local function inner()
          probe("fail", {message = "no soup"})
        end
        local ok, e = pcall(inner)
        return {e.code, e.message, e.hint, e.details.n, e.retryable, e.where, tostring(e), "said: " .. e}
    """)
    assert result == [
        "tool_error",
        "no soup",
        "try again",
        1,
        False,
        "test.lua:3",
        "test.lua:3: no soup (try again)",
        "said: test.lua:3: no soup (try again)",
    ]


async def test_an_uncaught_error_ends_the_run_with_line_and_traceback(lua):
    with pytest.raises(SpellRuntimeError) as caught:
        await lua("""
            local function inner()
              probe("fail", {message = "no soup"})
            end
            local function outer()
              inner()
              return 1
            end
            outer()
        """)
    error = caught.value
    assert error.where == "test.lua:3"
    assert error.message == "no soup"
    assert error.hint == "try again"
    assert isinstance(error.cause, ToolError)
    assert [line.strip().split(" ")[0] for line in error.lua_traceback.splitlines()] == [
        "test.lua:3:",
        "test.lua:6:",
        "test.lua:9:",
    ]


@pytest.mark.parametrize(
    "returned",
    ["probe('fail', {message = 'x'})", "error('x', 0)", "(function() return error('x', 0) end)()"],
)
async def test_a_call_that_is_returned_has_its_line(lua, returned):
    with pytest.raises(SpellRuntimeError) as caught:
        await lua(f"\nif true then\n  return {returned}\nend")
    assert (caught.value.where, caught.value.message) == ("test.lua:3", "x")


async def test_a_spell_may_have_as_many_variables_as_lua_allows(lua):
    variables = "".join(f"local v{n} = {n}\n" for n in range(200))
    assert await lua(f"{variables}return v199") == 199
    with pytest.raises(SpellSyntaxError, match="too many local variables") as caught:
        await lua(f"local more\n{variables}")
    assert caught.value.where.startswith("test.lua:20")


async def test_the_traceback_of_a_task_reaches_into_the_task(lua):
    with pytest.raises(SpellRuntimeError) as caught:
        await lua("""
            Task.map({1}, function()
              error("inside")
            end)
            return 1
        """)
    assert caught.value.where == "test.lua:3"
    assert "test.lua:3:" in caught.value.lua_traceback
    assert "test.lua:2:" in caught.value.lua_traceback


@pytest.mark.parametrize(
    ("raised", "shown"),
    [
        ("'text'", "text"),
        ("{code = 'mine', message = 'own table'}", None),
        ("nil", None),
        ("42", "42"),
        ("setmetatable({}, {__tostring = function() return 'shown' end})", "shown"),
        ("setmetatable({}, {__tostring = function() error('again') end})", None),
        ("function() end", None),
    ],
)
async def test_anything_can_be_raised(lua, raised, shown):
    with pytest.raises(SpellRuntimeError) as caught:
        await lua(f"error({raised})")
    if shown:
        assert caught.value.message == shown


async def test_a_defect_of_a_handler_does_not_show_its_insides(lua, caplog):
    result = await lua("""
        local ok, e = pcall(probe, "fail", {message = "secret", code = "defect"})
        return {e.code, e.message}
    """)
    assert result[0] == "effect_error"
    assert "secret" not in result[1]
    assert "ValueError" in result[1]
    assert "secret" in caplog.text


async def test_a_result_that_is_not_plain_is_an_error(lua):
    assert await lua("""
        local ok, e = pcall(probe, "unplain")
        return {ok, e.code}
    """) == [False, "invalid_result"]


async def test_an_unknown_effect_has_suggestions(lua):
    with pytest.raises(SpellRuntimeError) as caught:
        await lua("probe('ekko')")
    assert isinstance(caught.value.cause, UnknownEffect)
    assert "probe.echo" in (caught.value.hint or "")


async def test_wrong_arguments_name_every_field(lua):
    with pytest.raises(SpellRuntimeError) as caught:
        await lua("add{b = 'x', c = 1}")
    assert isinstance(caught.value.cause, InvalidArguments)
    for word in ("a is required", "b:", "c is not a parameter"):
        assert word in caught.value.message


async def test_a_tool_takes_one_table(lua):
    with pytest.raises(SpellRuntimeError, match="one table of named arguments"):
        await lua("add(1, 2)")
    with pytest.raises(SpellRuntimeError, match="add: takes named arguments, not a list") as caught:
        await lua("add{1, 2}")
    assert caught.value.hint == "write add{name = value}"


async def test_permission_denied_reaches_the_spell_and_the_host(lua, tmp_path):
    with pytest.raises(SpellRuntimeError) as caught:
        await lua(f"local x = read_file{{path = '{tmp_path}/x'}}")
    assert isinstance(caught.value.cause, PermissionDenied)
    assert caught.value.run_exit_code == 3
    assert f"--allow-read={tmp_path}/x" in caught.value.hint


async def test_syntax_errors_have_their_line(lua):
    with pytest.raises(SpellSyntaxError) as caught:
        await lua("local a = 1\nlocal = 2")
    assert caught.value.where == "test.lua:2"
    assert "near '='" in caught.value.message


async def test_bytecode_is_refused(lua):
    with pytest.raises(SpellSyntaxError, match="binary"):
        await lua("\x1bLua")


async def test_a_yield_outside_a_coroutine_is_an_error(lua):
    with pytest.raises(SpellRuntimeError, match="outside a coroutine"):
        await lua("coroutine.yield(1)")


async def test_print_is_in_order_with_effects_and_at_once(lua, lines):
    seen = []

    @tool
    async def look() -> None:
        """Note what has been printed so far."""
        seen.append(list(lines))

    await lua("print('a', 1, nil) look() print('b') look()", tools=[look])
    assert seen == [["a\t1\tnil"], ["a\t1\tnil", "b"]]


async def test_functions_given_to_the_host_come_back_as_tasks(lua):
    assert await lua("""
        local count = 0
        local r = probe("call", {["function"] = function(a, b)
          count = count + 1
          return probe("wait", {seconds = 0.001, value = a + b})
        end, args = {1, 2}})
        return {r, count, probe("call_twice", {["function"] = function(n)
          return probe("wait", {seconds = 0.002 / n, value = n})
        end})}
    """) == [3, 1, [1, 2]]


async def test_an_error_in_a_callback_comes_out_of_the_effect(lua):
    assert await lua("""
        local ok, e = pcall(probe, "call", {["function"] = function() error("mine") end})
        local ok2, e2 = pcall(probe, "call", {["function"] = function() probe("fail", {message = "deep"}) end})
        return {ok, e.message, tostring(e), e2.code, e2.message}
    """) == [False, "mine", "test.lua:2: mine", "tool_error", "deep"]


async def test_cancelling_a_task_cancels_its_effect_and_the_callback_of_that(lua, lines):
    await lua("""
        local t = Task.spawn(function()
          probe("call", {["function"] = function() Task.sleep(10) print("never") end})
        end)
        Task.sleep(0.01)
        t:cancel()
        print("over")
    """)
    assert lines == ["over"]


async def test_a_callback_may_cancel_the_task_whose_effect_called_it(lua, lines):
    await lua("""
        local t
        t = Task.spawn(function()
          probe("call", {["function"] = function() t:cancel() Task.sleep(0) print("never") end})
          print("never")
        end)
        pcall(t.await, t)
        print("over", probe("echo", {value = 1}))
    """)
    assert lines == ["over\t1"]


@pytest.mark.parametrize(
    ("limits", "source", "limit"),
    [
        (Limits(instructions=1_000_000), "while true do end", "instructions"),
        (
            Limits(instructions=1_000_000),
            "while true do pcall(function() while true do end end) end",
            "instructions",
        ),
        (Limits(memory=8 << 20), "local s = 'x' while true do s = s .. s end", "memory"),
        (Limits(effects=100), "while true do probe('echo_now') end", "effects"),
        (Limits(effects=100), "while true do pcall(probe, 'echo') end", "effects"),
        (Limits(output=1000), "while true do print('flood') end", "output"),
        (Limits(time=1, instructions=10**12), "while true do end", "time"),
    ],
    ids=["loop", "pcall", "memory", "effects", "effects-in-pcall", "output", "time"],
)
async def test_limits_end_the_run(lua, limits, source, limit):
    with pytest.raises(LimitExceeded) as caught:
        await lua(f"local x = 1\n{source}", limits=limits)
    assert caught.value.limit == limit
    assert limit in caught.value.hint
    if limit != "memory":
        assert caught.value.where == "test.lua:2"


async def test_a_limit_breached_in_a_callback_ends_the_run(lua):
    with pytest.raises(LimitExceeded):
        await lua(
            "probe('call', {['function'] = function() while true do end end})",
            limits=Limits(instructions=1_000_000),
        )


async def test_the_state_is_closed_to_python(lua):
    assert (
        await lua("""
        local bad = {}
        for _, name in ipairs{"python", "io", "debug", "package", "dofile", "loadfile", "warn"} do
          if _G[name] ~= nil then bad[#bad + 1] = name end
        end
        for _, name in ipairs{"execute", "exit", "remove", "rename", "tmpname", "setlocale"} do
          if os[name] ~= nil then bad[#bad + 1] = "os." .. name end
        end
        return table.concat(bad, " ")
    """)
        == ""
    )


@pytest.mark.parametrize(
    "line", ["Log.info('a line')", "Log.debug('', {of = ('x'):rep(90)})", "print(('x'):rep(90))"]
)
async def test_what_is_logged_counts_as_output(lua, line):
    source = f"print('first')\nfor i = 1, 100 do {line} Log.info('x') end"
    with pytest.raises(LimitExceeded, match="output limit exceeded") as caught:
        await lua(source, limits=Limits(output=800))
    assert caught.value.limit == "output"
    assert caught.value.where.endswith(":2")
    await lua(source, limits=Limits(output=20_000))


async def test_json_of_too_many_values_is_refused(lua):
    """Each of them takes the host some 60 bytes; what stands in strings is none."""
    error = await lua("return select(2, pcall(JSON.decode, '[' .. ('[],'):rep(1000001) .. '1]'))")
    assert error["code"] == "invalid_arguments"
    assert "over 1,000,000 values" in error["message"]
    assert (
        await lua(r"""return #JSON.decode('["' .. ('\\",'):rep(1000001) .. '"]')[1]""") == 2000002
    )


@pytest.mark.parametrize(
    ("call", "said", "hint"),
    [
        ("State.set('k', 1, {tll = 3})", "state.set: tll is not a parameter", "ttl"),
        ("State.watch('k', print, {timout = 3})", "state.watch: timout is not", "timeout"),
        ("State.set('k', 1, 3)", "State.set: the options must be a table, not a number", None),
        ("Event.subscribe('k', {relpay = 3})", "event.subscribe: relpay is not", "replay"),
        ("Event.subscribe('k', print, {siz = 3})", "event.subscribe: siz is not", "size"),
        ("Event.stream('k', {timout = 3})", "event.subscribe: timout is not", "timeout"),
        ("Event.wait('k', {timout = 3})", "event.wait: timout is not", "timeout"),
        ("Event.wait('k', 'x')", "Event.wait: the options must be a table, not a string", None),
        ("Hook.before('x.y', print, {prioriy = 3})", "hook.register: prioriy is not", "priority"),
        (
            "Hook.at('run.end', print, true)",
            "Hook: the options must be a table, not a boolean",
            None,
        ),
        ("Human.ask('k', {choises = {}})", "human.ask: choises is not", "choices"),
        ("Agent.create{tols = {}}", "agent.create: tols is not", "tools"),
        ("Agent.create('k')", "Agent.create: the options must be a table, not a string", None),
        ("Spell.run('k', {grant = {}})", "spell.run: grant is not", "grants"),
        ("Spell.run('k', 1)", "Spell.run: the options must be a table, not a number", None),
        ("JSON.encode(1, 5)", "JSON.encode: the options must be a table, not a number", None),
        ("JSON.encode(1, {ident = 2})", "json.encode: ident is not a parameter", "indent"),
        ("Agent.create{}:recall('k', 5)", "agent:recall: the options must be a table", None),
        ("Agent.create{}:recall('k', {moost = 5})", "agent.recall: moost is not", "most"),
        ("Agent.create{}:as_tool(5)", "agent:as_tool: the options must be a table", None),
        ("Agent.builder():with(5)", "agent:with: takes a table of capabilities", None),
        (
            "Team.sequential{Agent.create{}}:as_tool(5)",
            "team:as_tool: the options must be a table",
            None,
        ),
        ("Human.ask('k', 1)", "Human.ask: the options must be a table, not a number", None),
    ],
)
async def test_an_option_that_is_not_there_is_refused(lua, call, said, hint):
    problem = await lua(
        f"local e = select(2, try(function() {call} end)) return {{e.message, e.hint}}"
    )
    assert problem[0].startswith(said)
    assert hint is None or problem[1] == f"did you mean {hint}?"
