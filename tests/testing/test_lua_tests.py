"""What tests in Lua can say, and what is told of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmspell.config import Project, Settings, ToolSettings
from llmspell.limits import Limits
from llmspell.permissions import Grants
from llmspell.testing.lua_file_run import Plan
from llmspell.testing.lua_files import find_tests, run_tests
from llmspell.testing.snapshots import Snapshots

pytestmark = pytest.mark.anyio


@pytest.fixture
def run(tmp_path):
    """Runs a file of tests: {name: status}, and what it came to."""

    async def running(source, *, name="some_test.lua", **options):
        file = tmp_path / name
        file.write_text(source)
        plan = Plan(**{k: options.pop(k) for k in list(options) if k in Plan.__annotations__})
        patient = Settings(limits=Limits(time=600))  # instructions run out before, on any machine
        return await run_tests(file, Project(tmp_path, patient), plan, **options)

    return running


@pytest.fixture
def failure(run):
    """The failure of a test of one line, or None."""

    async def failing(line, **options):
        result = await run(f'it("works", function()\n{line}\nend)', **options)
        assert result.failure is None
        (test,) = result.tests
        return test.failure

    return failing


def statuses(result):
    assert result.failure is None
    return {test.name: test.status for test in result.tests}


# expect

HOLDS = [
    "expect(1):to_equal(1)",
    "expect({a = {1, 2}}):to_equal({a = {1, 2}})",
    "expect({a = {1, 2}}).never:to_equal({a = {1, 3}})",
    "expect(0/0):to_equal(0/0)",
    "local t = {} t.t = t local u = {} u.t = u expect(t):to_equal(u)",
    "local t = {} expect(t):to_be(t) expect(t).never:to_be({})",
    "expect(nil):to_be_nil() expect(false).never:to_be_nil()",
    "expect(true):to_be_true() expect(false):to_be_false() expect(1).never:to_be_true()",
    "expect(0):to_be_truthy() expect(nil):to_be_falsy()",
    'expect("x"):to_be_a("string") expect({}):to_be_a("table")',
    "expect(0.1 + 0.2):to_be_close_to(0.3) expect(5):to_be_close_to(4, 1)",
    "expect(1):to_be_less_than(2) expect(2):to_be_greater_than(1)",
    'expect("abc"):to_have_length(3) expect({1, 2}):to_have_length(2)',
    'expect("a.b"):to_contain("a.") expect({1, {2}}):to_contain({2})',
    "expect({a = 1, b = 2}):to_contain({a = 1})",
    "expect({a = 1, b = 2}).never:to_contain({a = 2})",
    'expect("v12"):to_match("^v%d+$")',
    'expect(function() error("no") end):to_fail()',
    'expect(function() error("no way") end):to_fail_with("no w")',
    'expect(function() Tool.call("nothing") end):to_fail_with("unknown_effect")',
    "expect(function() end).never:to_fail()",
    "expect(JSON.null):to_equal(JSON.null) expect(JSON.null).never:to_equal({})",
]


@pytest.mark.parametrize("line", HOLDS)
async def test_what_holds_passes(line, failure):
    assert await failure(line) is None


FAILS = [
    ("expect(1):to_equal(2)", "expected 2, got 1"),
    (
        "expect({a = {1, 2}, b = 1}):to_equal({a = {1, 3}, c = true})",
        "they differ:\n  .a[2]: expected 3, got 2\n  .b: expected nil, got 1\n  .c: expected true, got nil",
    ),
    ("expect({[true] = 1}):to_equal({})", "[true]: expected nil, got 1"),
    (
        r'expect("a\nb\nc\nd\n"):to_equal("a\nb\nx\nd\n")',
        "line 3 differs (- expected, + actual):\n  a\n  b\n- x\n+ c\n  d\n  ",
    ),
    (r'expect("a"):to_equal("a\nb")', "line 2 differs (- expected, + actual):\n  a\n- b"),
    ("expect({}):to_be({})", "expected {} to be {}"),
    ("expect(3).never:to_equal(3)", "expected 3 never to equal 3"),
    ('expect("tea"):to_contain("coffee")', 'expected "tea" to contain "coffee"'),
    ('expect("tea"):to_match("^%d")', 'expected "tea" to match "^%d"'),
    ("expect({1}):to_have_length(2)", "expected { 1 } to have the length 2, not 1"),
    ('expect(1):to_be_a("table")', "expected 1 to be a table"),
    ("expect(function() end):to_fail()", "expected the function to fail"),
    ('expect(function() end):to_fail_with("x")', "it did not fail"),
    (
        'expect(function() Tool.call("nothing") end):to_fail_with("tool_error")',
        "it failed with unknown_effect: some_test.lua:2: no tool named 'nothing'",
    ),
    (
        'expect(function() error("no") end).never:to_fail()',
        "expected the function never to fail: it failed with some_test.lua:2: no",
    ),
]


@pytest.mark.parametrize(("line", "message"), FAILS)
async def test_what_does_not_hold_says_where_and_why(line, message, failure):
    found = await failure(line)
    assert found.message == message
    assert found.where == "some_test.lua:2"
    assert found.line == line


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("expect(1):to_eqal(1)", "expect has no to_eqal"),
        ("expect(1, 2)", "expect takes one value"),
        ("expect(1).to_be(1)", "to_be is called with a colon"),
        ("expect(1).to_match_snapshot()", "to_match_snapshot is called with a colon"),
        ("expect({}):to_be_less_than(1)", "to_be_less_than: attempt to compare table with number"),
        ('expect("tea"):to_match("[")', "to_match: malformed pattern (missing ']')"),
        ("expect(1):to_fail()", "expect(…):to_fail takes a function, or what Test.run returned"),
        ('it("inner", function() end)', "it within a test"),
        ("snapshot(1, 2)", "snapshot: argument 2 must be a string"),
    ],
)
async def test_mistakes_of_tests_are_told(line, message, failure):
    found = await failure(line)
    assert found.message == message
    assert found.where == "some_test.lua:2"


async def test_many_differences_are_cut(failure):
    line = "local t = {} for i = 1, 50 do t[i] = i end expect(t):to_equal({})"
    lines = (await failure(line)).message.split("\n")
    assert len(lines) == 12
    assert lines[-1] == "  …"


# describe and it


async def test_names_groups_and_order(run):
    result = await run("""
        it("first", function() end)
        describe("outer", function()
          it("second", function() expect(1):to_be(2) end)
          describe("inner", function() it("third", function() error("no") end) end)
        end)
        it("later")
    """)
    assert statuses(result) == {
        "first": "passed",
        "outer > second": "failed",
        "outer > inner > third": "failed",
        "later": "skipped",
    }
    failure = result.tests[2].failure
    assert (failure.message, failure.where) == ("no", "some_test.lua:5")


async def test_befores_and_afters(run):
    printed = []
    await run(
        """
        local function say(text) return function() print(text) end end
        before_all(say "before all") after_all(say "after all")
        before(say "before") after(say "after")
        describe("group", function()
          before(say "inner before") after(say "inner after")
          before_all(say "inner before all") after_all(say "inner after all")
          it("a", say "a")
          it("b", function() print("b") error("no") end)
        end)
        it("c", say "c")
        """,
        output=printed.append,
    )
    assert printed == [
        *("before all", "inner before all"),
        *("before", "inner before", "a", "inner after", "after"),
        *("before", "inner before", "b", "inner after", "after"),
        "inner after all",
        *("before", "c", "after", "after all"),
    ]


async def test_a_before_that_fails_fails_its_tests(run):
    source = """
        {} (function() error("no") end)
        it("a", function() print("ran") end)
    """
    printed = []
    for word, failed in (("before", ["a"]), ("after", ["a"]), ("before_all", ["before_all"])):
        result = await run(source.replace("{}", word), output=printed.append)
        assert [t.name for t in result.tests if t.status == "failed"] == failed
        assert result.tests[0].failure.where == "some_test.lua:2"
    assert printed == ["ran"]  # only where `after` failed
    result = await run(source.replace("{}", "after_all"))
    assert statuses(result) == {"a": "passed", "after_all": "failed"}


async def test_focus_and_skip(run):
    result = await run("""
        it("a", function() end)
        it.only("b", function() end)
        describe.only("c", function()
          it("d", function() end)
          it.skip("e", function() error("no") end)
        end)
        describe("f", function() it("g", function() end) end)
    """)
    run_ = {name for name, status in statuses(result).items() if status == "passed"}
    assert run_ == {"b", "c > d"}
    result = await run("""
        describe.skip("a", function() it("b", function() error("no") end) end)
        it("c", function() end)
    """)
    assert statuses(result) == {"a > b": "skipped", "c": "passed"}


async def test_a_filter_is_for_names_and_their_groups(run):
    source = """
        describe("Tea", function()
          before_all(function() print("tea") end)
          it("is hot", function() end)
        end)
        describe("coffee", function()
          before_all(function() print("coffee") end)
          it("is hot", function() end)
        end)
    """
    printed = []
    result = await run(source, filter="tea > is", output=printed.append)
    assert statuses(result) == {"Tea > is hot": "passed"}
    assert printed == ["tea"]


async def test_each(run):
    result = await run("""
        it.each({1, 2}, "adds", function(n, i) expect(n):to_be(i) end)
        it.each({"100%", {a = 1}}, "knows %s", function() end)
    """)
    names = ["adds 1", "adds 2", "knows 100%", "knows { a = 1 }"]
    assert statuses(result) == dict.fromkeys(names, "passed")


async def test_fail_fast(run):
    source = 'for _, n in ipairs{"a", "b"} do it(n, function() error("no") end) end'
    assert statuses(await run(source, fail_fast=True)) == {"a": "failed"}


async def test_a_test_that_takes_too_long(run):
    result = await run(
        'it("waits", function() Task.sleep(60) end) it("next", function() end)', patience=0.05
    )
    assert statuses(result) == {"waits": "failed", "next": "passed"}
    assert result.tests[0].failure.message == "not done within 0.05 seconds"


@pytest.mark.parametrize(
    ("source", "message", "where"),
    [
        ("it('x', function()\nlocal = 1\nend)", "<name> expected near '='", "some_test.lua:2"),
        ("local x = 1\nend", "<eof> expected near 'end'", "some_test.lua:2"),
        ("\nerror('no')", "no", "some_test.lua:2"),
        ("while true do end", "instruction limit exceeded", "some_test.lua:1"),
        ("describe('a')", "describe: argument 2 must be a function, not nil", "some_test.lua:1"),
        ("describe('a', 1)", "describe: argument 2 must be a function, not a number", None),
    ],
)
async def test_a_file_that_cannot_be_run(source, message, where, run):
    result = await run(source)
    assert message in result.failure.message
    assert where is None or result.failure.where == where
    assert result.count("failed") == 1


async def test_a_limit_in_a_test_ends_the_file_and_what_was_before_counts(run):
    source = 'it("a", function() end)\nit("b", function() while true do end end)'
    result = await run(source)
    assert [t.name for t in result.tests] == ["a"]
    assert result.failure.where == "some_test.lua:2"


async def test_a_file_is_a_spell_like_any_other(run, tmp_path):
    (tmp_path / "words.lua").write_text("return {tea = 'hot'}")
    source = """#!/usr/bin/env llmspell
--- /// spell
--- [limits]
--- effects = 1000
--- ///
local words = require "words"
it("has what spells have", function() expect(words.tea):to_be("hot") end)
it("has not what they have not", function()
  expect(io):to_be_nil()
  expect(function() read_file{path = "/etc/passwd"} end):to_fail_with("permission_denied")
  expect(function() Agent.create{}:prompt("hi") end):to_fail_with("no reply for request 1")
end)
return 1
"""
    result = await run(source)
    assert set(statuses(result).values()) == {"passed"}, result.tests


# Test.run

SPELL = """
    print("asked", params.n)
    local answer, response = Agent.create{tools = {"hash"}}:prompt("Hi.")
    State.increment("runs")
    return answer
"""


async def test_what_a_run_tells(run, tmp_path):
    (tmp_path / "spell.lua").write_text(f"--- /// spell\n--- params.n = 1\n--- ///\n{SPELL}")
    result = await run("""
        it("tells", function()
          local run = Test.run("spell.lua", {
            params = {n = 2},
            script = {Test.call("hash", {data = "x"}), "Bye."},
            tools = {hash = function(args) return args.data .. "!" end},
            state = {runs = 4},
          })
          expect(run.result):to_be("Bye.")
          expect(run.error):to_be_nil()
          expect(run.output):to_be("asked\\t2\\n")
          expect(run.calls):to_equal({{name = "hash", args = {data = "x"}, result = "x!"}})
          expect(run.calls_of("hash")):to_have_length(1)
          expect(run.calls_of("other")):to_have_length(0)
          expect(run.requests[2].messages[3].content[1].content):to_be("x!")
          expect(run.remaining):to_be(0)
          expect(run.state.runs):to_be(5)
          local names = {}
          for i, effect in ipairs(run.effects) do names[i] = effect.name end
          expect(names):to_contain("agent.run")
        end)
    """)
    assert statuses(result) == {"tells": "passed"}, result.tests


LINES = {
    "text": 'expect(Test.run("return 1 + 1").result):to_be(2)',
    "arguments": 'expect(Test.run("return arg[1]", {arguments = {"x"}}).result):to_be("x")',
    "functions as replies": """
        local script = {function(r) return "to " .. r.messages[1].content end}
        local run = Test.run("return (Agent.create{}:prompt('me'))", {script = script})
        expect(run.result):to_be("to me")""",
    "data as a reply": """
        local spell = "return (Agent.create{output = {n = 'integer'}}:prompt('?'))"
        expect(Test.run(spell, {script = {{n = 3}}}).result):to_equal({n = 3})""",
    "an error as a reply": """
        local run = Test.run("Agent.create{}:prompt('?')", {
          script = {{error = "busy", status = 503}}, catch = true})
        expect(run):to_fail_with("provider_error")
        expect(run.error.details.status):to_be(503)""",
    "replies left over": """
        expect(Test.run("return 1", {script = {"a", "b"}}).remaining):to_be(2)""",
    "any model": """
        local spell = "return (Agent.create{model = 'openai/gpt-9'}:prompt('?'))"
        local run = Test.run(spell, {script = {"Hi."}})
        expect(run.requests[1].model):to_be("openai/gpt-9")""",
    "a tool that fails": """
        local tools = {now = function() error("no clock") end}
        expect(function() Test.run("now{}", {tools = tools}) end):to_fail_with("no clock")""",
    "a tool of the test's own": """
        local run = Test.run("return weather{city = 'Oslo'}.c", {tools = {weather = {c = 4}}})
        expect(run.result):to_be(4)""",
    "a tool keeps its schema": """
        local tools = {hash = function() return "x" end}
        expect(function() Test.run("hash{dta = 1}", {tools = tools}) end)
          :to_fail_with("invalid_arguments")""",
    "faults": """
        local spell = "local n = 0 for i = 1, 4 do if pcall(now, {}) then n = n + 1 end end return n"
        expect(Test.run(spell, {faults = {["tool.call:now"] = {at = 2}}}).result):to_be(3)
        expect(Test.run(spell, {faults = {["tool.*"] = {at = {1, 4}}}}).result):to_be(2)
        expect(Test.run(spell, {faults = {["tool.call"] = true}}).result):to_be(0)""",
    "faults that are none": """
        local function fails(faults, problem)
          expect(function() Test.run("return 1", {faults = faults}) end):to_fail_with(problem)
        end
        fails({["tool.cal:now"] = true}, "faults: tool.cal:now: no effect named 'tool.cal'")
        fails({["tool.call:now@1"] = true}, "a rule names no version")
        fails({["tool.call"] = {att = 2}}, "faults: tool.call: att is not a field of a fault")
        fails({["tool.call"] = {at = "x"}}, "at: must be a number from 1 on")
        fails({["tool.call"] = {at = {1, 0}}}, "at: must be a number from 1 on")
        fails({["tool.call"] = {code = "tol_error"}}, "no error has the code 'tol_error'")
        fails({["tool.call"] = false}, "write true, a message")""",
    "calls of tools that are none": """
        for _, calls in ipairs{5, {{nme = "now"}}, {{name = "now", arguments = 5}}} do
          expect(function() Test.run("return 1", {script = {{tool_calls = calls}}}) end)
            :to_fail_with("script: tool_calls is a list of calls")
        end""",
    "answers that are none": """
        for _, spell in ipairs{"Human.ask('Tea?')", "Human.approve('Tea?')"} do
          expect(function() Test.run(spell, {answers = {5}}) end):to_fail_with("the test's answers: ")
        end
        expect(Test.run("return Human.ask('Tea?')", {answers = "yes"}).result):to_be("yes")""",
    "the code of a fault": """
        local faults = {["state.get"] = {code = "effect_timeout", message = "too slow"}}
        local run = Test.run("State.get('x')", {faults = faults, catch = true})
        expect(run.error):to_contain({code = "effect_timeout", message = "too slow"})""",
    "standard input": """
        local spell = "return {Console.read_line(), Console.read_line(), Console.read_line()}"
        expect(Test.run(spell, {lines = {"a", "b"}}).result):to_equal({"a", "b"})""",
    "people": """
        local spell = "return {Human.ask('Tea?'), Human.approve('x', {n = 1}).n}"
        local run = Test.run(spell, {answers = {"yes", {approved = true, args = {n = 2}}}})
        expect(run.result):to_equal({"yes", 2})
        expect(run.asked[1].question):to_be("Tea?")
        expect(run.asked[2]):to_equal({what = "x", args = {n = 1}})
        local refuse = {answers = function(asked) return false end}
        expect(function() Test.run("Human.approve('x')", refuse) end):to_fail_with("not_approved")
        expect(function() Test.run(spell, {answers = {}}) end):to_fail_with("no answer for: Tea?")
        expect(function() Test.run(spell) end):to_fail_with("nobody_to_ask")""",
    "limits": """
        local run = Test.run("while true do end", {limits = {instructions = 1000}, catch = true})
        expect(run):to_fail_with("limit_exceeded")
        expect(function() Test.run("", {limits = {tea = 1}}) end):to_fail_with("invalid_arguments")""",
    "a syntax error": 'expect(function() Test.run("return return") end):to_fail_with("spell_syntax")',
    "no such spell": 'expect(function() Test.run("nix.lua") end):to_fail_with("spell_not_found")',
    "functions among arguments": """
        local run = Test.run("Hook.before('tool.call', function() end)")
        expect(run.effects[1].args["function"]):to_match("^<Lua function")""",
    "state is the run's own": """
        State.set("x", 1)
        expect(Test.run("return State.get('x', 'none')").result):to_be("none")
        Test.run("State.set('x', 2)")
        expect(State.get("x")):to_be(1)""",
    "scopes": """
        local run = Test.run("local s = State.scope('a') s.set('n', s.get('n') + 1)",
          {scopes = {a = {n = 1}}})
        expect(run.scopes):to_equal({a = {n = 2}})""",
}


@pytest.mark.parametrize("name", LINES)
async def test_options_of_a_run(name, failure):
    found = await failure(LINES[name])
    assert found is None, found


async def test_a_test_grants_no_more_than_it_was_granted(failure, tmp_path):
    (tmp_path / "note.txt").write_text("tea")
    (tmp_path / "spell.lua").write_text("return read_file{path = arg[1]}")
    path = str(tmp_path / "note.txt")
    line = (
        f"""Test.run("spell.lua", {{arguments = {{"{path}"}}, grants = {{read = {{"{path}"}}}}}})"""
    )
    found = await failure(line)
    assert found.message.startswith("Test.run grants more than the tests were granted")
    assert f"run them with --allow-read={path}" in found.hint
    assert await failure(line, grants=Grants(read=(str(tmp_path),))) is None


async def test_what_is_denied_to_a_test_is_denied_to_what_it_runs(failure, tmp_path):
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "note.txt").write_text("tea")
    line = f"""Test.run("return read_file{{path = arg[1]}}", {{
      arguments = {{"{tmp_path}/keys/note.txt"}}, grants = {{read = {{"{tmp_path}"}}}}}})"""
    granted, denied = Grants(read=(str(tmp_path),)), Grants(read=(str(tmp_path / "keys"),))
    assert await failure(line, grants=granted) is None
    found = await failure(line, grants=granted, denied=denied)
    assert "it is denied" in found.message


async def strange(folder, line, project, **options):
    """The failure of a test of one line, in a file outside of the project."""
    file = folder / "some_test.lua"
    file.write_text(f'it("works", function() {line} end)')
    result = await run_tests(file, project, **options)
    assert result.failure is None
    (test,) = result.tests
    return test.failure


@pytest.fixture
def project(tmp_path):
    """A project with a tool that says nothing of what it touches, beside a folder `elsewhere`."""
    root = tmp_path / "project"
    for folder in (root / "spells", tmp_path / "elsewhere"):
        folder.mkdir(parents=True)
    (root / "shop.py").write_text(
        "from llmspell import tool\n@tool\ndef price() -> int:\n    'What it costs.'\n    return 3\n"
    )
    for name in ("project/spells/buy.lua", "project/beside.lua", "elsewhere/beside.lua"):
        (tmp_path / name).write_text("return price{}")
    return Project(root, Settings(tools=ToolSettings(modules=[str(root / "shop.py")])))


@pytest.mark.parametrize("spell", ["return price{}", "beside.lua", "buy"])
async def test_what_a_strangers_test_runs_is_a_strangers(project, tmp_path, spell):
    line = f'expect(Test.run("{spell}").result):to_be(3)'
    found = await strange(tmp_path / "elsewhere", line, project)
    assert "may not call the tool price" in found.message
    assert await strange(project.root, line, project) is None


async def test_a_test_reads_no_file_that_is_not_its_own(project, tmp_path):
    away = tmp_path / "away.lua"
    away.write_text("no Lua")
    for folder, path in (
        (project.root, away),
        (tmp_path / "elsewhere", away),
        (tmp_path / "elsewhere", project.root / "beside.lua"),
    ):
        for line in (
            f'Test.run("{path}", {{catch = true}})',
            f'Test.run("buy", {{recorded = "{path}"}})',
        ):
            found = await strange(folder, line, project)
            assert f"Test.run may not read {path}" in found.message
    line = f'expect(Test.run("{away}", {{catch = true}}).error.code):to_be("spell_syntax")'
    granted = Grants(read=(str(away),))
    assert await strange(project.root, line, project, grants=granted) is None


async def test_a_folder_is_granted_and_goes_away(failure, tmp_path):
    line = """
      local folder = Test.folder{["in/a.txt"] = "tea"}
      local grants = {read = {folder}, write = {folder}}
      local spell = "write_file{path = arg[1] .. '/b.txt', content = read_file{path = arg[1] .. '/in/a.txt'}}"
      Test.run(spell, {arguments = {folder}, grants = grants})
      expect(read_file{path = folder .. "/b.txt"}):to_be("tea")
      error(folder)
    """
    found = await failure(line.replace("\n", " "))
    folder = found.message.rpartition(" ")[2]
    assert folder.startswith("/")
    assert find_tests([tmp_path]) == [tmp_path / "some_test.lua"]
    with pytest.raises(Exception, match="no file"):
        find_tests([tmp_path / folder])
    found = await failure("Test.folder{['../x'] = ''}")
    assert found.message == "Test.folder: '../x' is not in the folder"


# Snapshots


async def test_snapshots_are_kept_compared_and_updated(run, tmp_path):
    source = """
        it("a", function() snapshot({n = N}) expect("x"):to_match_snapshot("named") end)
        it("b", function() snapshot("tea\\n\\n  hot\\n") end)
    """
    first = await run(source.replace("N", "1"))
    assert (statuses(first), first.written) == ({"a": "passed", "b": "passed"}, 3)
    kept = (tmp_path / "__snapshots__" / "some_test.snap").read_text()
    assert "=== a: 1\n    {\n      n = 1\n    }\n" in kept
    again = await run(source.replace("N", "1"))
    assert (statuses(again), again.written) == ({"a": "passed", "b": "passed"}, 0)
    other = await run(source.replace("N", "2"))
    (failed,) = [t for t in other.tests if t.status == "failed"]
    assert "the snapshot differs: line 2 differs" in failed.failure.message
    assert "-   n = 1\n+   n = 2" in failed.failure.message
    assert "llmspell test --update" in failed.failure.message
    updated = await run(source.replace("N", "2"), update=True)
    assert (statuses(updated)["a"], updated.written) == ("passed", 1)
    fewer = await run('it("b", function() snapshot("tea\\n\\n  hot\\n") end)', update=True)
    assert fewer.stale == 2
    assert "=== a" not in (tmp_path / "__snapshots__" / "some_test.snap").read_text()


async def test_snapshots_of_bytes_and_of_a_file_that_is_no_text(run, tmp_path):
    source = r"""
        it("a", function() snapshot("\255\r\nb") snapshot({"\254"}, "n\253") end)
        it("\255 b", function() snapshot("\\xff") end)
    """
    for written in (3, 0):
        result = await run(source)
        assert statuses(result) == {"a": "passed", "\\xff b": "passed"}
        assert result.written == written
    other = await run(source.replace("255", "250"))
    assert "- \\xff\r\n+ \\xfa\r" in other.tests[0].failure.message
    (tmp_path / "__snapshots__" / "some_test.snap").write_bytes(b"\xff\xfe=== a")
    assert (await run(source)).written == 3


@pytest.mark.parametrize(
    ("raised", "message", "where"),
    [
        ('"\\255 bad"', "\\xff bad", "some_test.lua:2"),
        ("{code = 1, of = {2}}", "{ code = 1, of = { 2 } }", None),
        ("{message = {1}}", "{ message = { 1 } }", None),
        ("{message = 'cold', where = 5, hint = {}}", "cold", None),
        ("setmetatable({}, {__tostring = function() return 'tea' end})", "tea", None),
        ("false", "false", None),
    ],
)
async def test_whatever_a_test_raises_is_told(raised, message, where, failure):
    found = await failure(f"error({raised})")
    assert (found.message, found.where) == (message, where)


async def test_a_filter_drops_no_snapshots(run, tmp_path):
    source = 'it("a", function() snapshot("1") end) it("b", function() snapshot("2") end)'
    await run(source)
    result = await run(source, filter="a", update=True)
    assert result.stale == 0


@given(st.dictionaries(st.text("ab :=\n ", min_size=1), st.text("a= \n\r\t{é\udcff"), max_size=4))
def test_every_text_comes_back_as_it_was(tmp_path_factory, texts):
    file = tmp_path_factory.mktemp("snapshots") / "x_test.lua"
    first, second = Snapshots(file), Snapshots(file)
    for name, text in texts.items():
        first.compare(text, name)
    first.save(whole=True)
    second = Snapshots(file)
    for name, text in texts.items():
        assert second.compare(text, name) is None
    assert second.written == 0


# Files


def test_which_files_are_tests(tmp_path):
    for name in ("b_test.lua", "a/c_test.lua", "a.lua", ".x/d_test.lua", "node_modules/e_test.lua"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.touch()
    found = [str(f.relative_to(tmp_path)) for f in find_tests([tmp_path, tmp_path / "a.lua"])]
    assert found == ["a/c_test.lua", "b_test.lua", "a.lua"]
