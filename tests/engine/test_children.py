"""Spells that spells run: never with more than their parent has."""

import gc
import time

import anyio
import pytest

from llmspell import Grants, Limits
from llmspell.errors import IsolationError, LimitExceeded, PermissionDenied, SpellRuntimeError
from llmspell.hooks import Halt, Hooks
from llmspell.middleware.metrics import Metrics
from llmspell.state import MemoryStore
from llmspell.testing.effect_recorder import EffectRecorder

pytestmark = pytest.mark.anyio


async def _refusal(lua, source, **options):
    """What a spell that runs another is told of its failure."""
    return await lua(
        f"local ok, e = pcall(function() {source} end) assert(not ok) return e", **options
    )


async def test_the_child_has_a_state_of_its_own(lua):
    source = """
      x = 1
      local inner = Spell.run("x = 2 string.upper = nil return x")
      return {x, inner, ("a"):upper()}"""
    assert await lua(source) == [1, 2, "A"]


async def test_parameters_and_arguments_are_handed_over(lua):
    child = "--- /// spell\\n--- [params]\\n--- n = 1\\n--- ///\\nreturn {params.n, ...}"
    source = f'return Spell.run("{child}", {{params = {{n = "5"}}, arguments = {{"a", "b"}}}})'
    assert await lua(source) == [5, "a", "b"]


async def test_wrong_ones_are_told(lua):
    error = await _refusal(lua, 'Spell.run("return 1", {params = {n = 5}})')
    assert error["code"] == "spell_failed"
    assert "no parameter named 'n'" in error["message"]
    error = await _refusal(lua, 'Spell.run("return 1", {limits = {memroy = 5}})')
    assert error["code"] == "invalid_arguments"
    assert "no such limit" in error["message"]
    error = await _refusal(lua, 'Spell.run("return 1", {grants = {reed = {"x"}}})')
    assert error["code"] == "invalid_arguments"
    error = await _refusal(lua, 'Spell.run("return 1", {grants = {net = {"a.b/c"}}})')
    assert error["message"].startswith("Spell.run: grants.net: 'a.b/c' is not a host")
    error = await _refusal(lua, 'Spell.run("return 1", {name = ""})')
    assert error["message"] == "Spell.run: name: must not be empty"
    error = await _refusal(lua, 'Spell.run("return 1", 5)')
    assert error["code"] == "invalid_arguments"
    error = await _refusal(lua, 'Spell.run("--- /// spell\\n--- nmae = 1\\n--- ///")')
    assert "unknown key 'nmae'" in error["message"]


async def test_what_source_text_takes_is_told(lua):
    child = "--- /// spell\\n--- [params]\\n--- n = {type='integer'}\\n--- loud = false\\n--- ///"
    error = await _refusal(lua, f'Spell.run("{child}")')
    assert error["hint"] == "takes n (integer), loud (boolean, optional)"
    error = await _refusal(lua, 'Spell.run("return 1", {params = {n = 5}})')
    assert error["hint"] == "declare it in [params] of its front matter"


async def test_an_error_of_its_own_keeps_its_code_and_details(lua):
    raised = "error({code = 'too_big', message = 'n is 9', hint = 'less', details = {n = 9}})"
    error = await _refusal(lua, f'Spell.run("{raised}", {{name = "child"}})')
    assert error["code"] == "spell_failed"
    assert error["details"] == {"code": "too_big", "where": "child:1", "n": 9}
    assert (error["message"], error["hint"]) == (
        "the spell child failed: child:1: n is 9",
        "less",
    )
    error = await _refusal(lua, "Spell.run('error({code = 5, details = 6})')")
    assert error["details"] == {"code": "spell_runtime", "where": "spell:1"}


async def test_a_name_finds_a_spell_of_the_project(lua, tmp_path):
    (tmp_path / "spells").mkdir()
    (tmp_path / "spells" / "twice.lua").write_text(
        "--- /// spell\n--- [params]\n--- n = 1\n--- ///\nreturn 2 * params.n"
    )
    assert await lua("return Spell.run('twice', {params = {n = 21}})") == 42
    error = await _refusal(lua, "Spell.run('twise')")
    assert error["details"]["code"] == "spell_not_found"
    assert error["hint"] == "did you mean twice?"


async def test_a_path_is_no_name(lua, tmp_path):
    (tmp_path / "other.lua").write_text("return 'reached'")
    error = await _refusal(lua, f"Spell.run('{tmp_path}/other.lua')")
    assert error["details"]["code"] == "spell_syntax"
    assert f"'{tmp_path}/other.lua' was taken as source text" in error["message"]
    assert "name of a spell in spells/, without .lua" in error["hint"]
    assert f'Spell.run(read_file{{path = "{tmp_path}/other.lua"}})' in error["hint"]


async def test_text_that_ends_like_a_path_is_text(lua):
    assert await lua("return Spell.run('return arg and 5 --other.lua')") == 5
    error = await _refusal(lua, "Spell.run('error(1) --other.lua')")
    assert "source text" not in error["message"]


async def test_failures_say_what_and_where(lua):
    error = await _refusal(lua, 'Spell.run("\\nerror(\'no\')", {name = "inner.lua"})')
    assert error["message"] == "the spell inner.lua failed: inner.lua:2: no"
    assert error["details"]["where"] == "inner.lua:2"
    error = await _refusal(lua, 'Spell.run("x = = 1")')
    assert error["details"]["code"] == "spell_syntax"


async def test_nothing_is_granted_by_itself(lua, tmp_path):
    (tmp_path / "a.txt").write_text("text")
    grants = Grants(read=(str(tmp_path),))
    child = f"return read_file{{path = '{tmp_path}/a.txt'}}"
    error = await _refusal(lua, f'Spell.run("{child}")', grants=grants)
    assert error["details"]["code"] == "permission_denied"
    granted = f'return Spell.run("{child}", {{grants = {{read = {{"{tmp_path}"}}}}}})'
    assert await lua(granted, grants=grants) == "text"


@pytest.mark.parametrize("asked", ["*", "/", "/etc"])
async def test_no_more_is_granted_than_the_parent_has(lua, tmp_path, asked):
    child = "return read_file{path = '/etc/hostname'}"
    source = f'Spell.run("{child}", {{grants = {{read = {{"{asked}"}}}}}})'
    error = await _refusal(lua, source, grants=Grants(read=(str(tmp_path),)))
    assert error["details"]["code"] == "permission_denied"


async def test_nor_by_a_child_of_a_child(lua, tmp_path):
    (tmp_path / "a.txt").write_text("text")
    inner = f"return read_file{{path = [[{tmp_path}/a.txt]]}}"
    outer = f'return Spell.run("{inner}", {{grants = {{read = {{"*"}}}}}})'
    source = f"return Spell.run([==[{outer}]==], {{grants = {{read = {{%s}}}}}})"
    grants = Grants(read=(str(tmp_path),))
    assert await lua(source % '"*"', grants=grants) == "text"
    with pytest.raises(SpellRuntimeError) as caught:
        await lua(source % '"/nowhere"', grants=grants)
    assert "may not read" in caught.value.message


async def test_the_front_matter_of_a_child_grants_nothing(lua, tmp_path):
    child = "--- /// spell\\n--- permissions = {read = [\\\"*\\\"]}\\n--- ///\\nreturn read_file{path = '/etc/hostname'}"
    error = await _refusal(lua, f'Spell.run("{child}")', grants=Grants(read=()))
    assert error["details"]["code"] == "permission_denied"


async def test_limits_are_lowered_never_raised(lua):
    loop = "while true do end"
    error = await _refusal(lua, f'Spell.run("{loop}", {{limits = {{instructions = 50000}}}})')
    assert error["details"]["limit"] == "instructions"
    assert error["details"]["value"] == 50_000
    assert error["hint"] == "raise it: Spell.run(…, {limits = {instructions = …}})"
    limits = Limits(instructions=600_000, memory=4 << 20)
    error = await _refusal(
        lua, f'Spell.run("{loop}", {{limits = {{instructions = 1e9}}}})', limits=limits
    )
    assert error["details"]["value"] == 600_000
    hungry = "local t = {} while true do t[#t + 1] = {} end"
    error = await _refusal(
        lua,
        f'Spell.run("{hungry}", {{limits = {{memory = "1GB"}}}})',
        limits=Limits(memory=4 << 20),
    )
    assert (error["details"]["limit"], error["details"]["value"]) == ("memory", 4 << 20)


async def test_a_childs_effects_are_its_parents(lua):
    child = "for i = 1, 30 do State.get('x') end"
    source = f'for i = 1, 10 do Spell.run("{child}") end'
    with pytest.raises(LimitExceeded, match="too many effects"):
        await lua(source, limits=Limits(effects=100, memory=16 << 20))


async def test_children_at_once_have_no_more_memory_than_their_parent(lua, isolate):
    child = "Task.sleep(0.1) return 1"
    source = f"""
      local n = {{}}
      for i = 1, 6 do n[i] = i end
      return Task.map(n, function() return Spell.run("{child}", {{limits = {{memory = "8MB"}}}}) end)"""
    begin = time.monotonic()
    assert await lua(source, limits=Limits(memory=16 * 10**6)) == [1] * 6
    assert time.monotonic() - begin > 0.3  # two at a time


async def test_a_text_keeps_its_state_to_itself(lua):
    store = MemoryStore()
    child = "State.set('x', 2) return State.get('x')"
    source = f'State.set("x", 1) local y = Spell.run("{child}") return {{State.get("x"), y}}'
    assert await lua(source, store=store) == [1, 2]
    shared = f'Spell.run("{child}", {{state = "project"}}) return State.get("x")'
    assert await lua(shared, store=store) == 2


async def test_hooks_see_what_a_child_does(lua, new_runtime):
    source = """
      local seen = {}
      Hook.before("tool.call", function(call) seen[#seen + 1] = call.args.name end)
      Spell.run("add{a = 1}", {grants = {tool = {"*"}}})
      return seen"""
    assert await lua(source) == ["add"]
    async with new_runtime() as runtime:
        runtime.hooks.register("before:tool.call", lambda call: Halt("not here"))
        with pytest.raises(SpellRuntimeError, match="not here"):
            await runtime.execute('Spell.run("add{a = 1}", {grants = {tool = {"*"}}})')


async def test_paths_tell_children_apart(lua):
    source = """
      local inner = [[return {probe("place"), Task.map({1, 2}, function() return probe("place") end)}]]
      return {probe("place"), Spell.run(inner), Spell.run(inner)}"""
    first, one, two = await lua(source)
    assert first == "0/0"
    assert one == ["0/1/0/0", ["0/1/0.0/0", "0/1/0.1/0"]]
    assert two == ["0/2/0/0", ["0/2/0.0/0", "0/2/0.1/0"]]


async def test_functions_of_a_child_are_called_in_it(lua):
    child = """
      local seen = 0
      Hook.before("state.set", function() seen = seen + 1 end)
      State.set("a", 1)
      State.update("a", function(n) return n + 1 end)
      return {seen, State.get("a")}"""
    assert await lua(f"return Spell.run([[{child}]])") == [1, 2]


async def test_a_child_ends_with_its_parents_patience(lua):
    source = """
      local ok, e = pcall(Task.timeout, 0.2, function() return Spell.run("Task.sleep(60)") end)
      return e.code"""
    assert await lua(source) == "effect_timeout"


async def test_what_a_child_prints_is_printed(lua, lines):
    await lua("Spell.run(\"print('inner')\")")
    assert lines == ["inner"]


async def test_a_text_may_not_ask_models_unless_it_is_granted(lua):
    error = await _refusal(lua, "Spell.run(\"Agent.create{model = 'local/smollm2'}:prompt('x')\")")
    assert error["details"]["code"] == PermissionDenied.code


async def test_what_a_child_writes_counts_for_its_parent(lua):
    source = """
      for i = 1, 10 do pcall(Spell.run, "for i = 1, 50 do print('x') Log.info('x') end") end"""
    with pytest.raises(LimitExceeded, match="output limit exceeded"):
        await lua(source, limits=Limits(output=1000))


@pytest.mark.parametrize("write", ["print('äöü')", "Log.info('äöü')"])
async def test_the_limit_of_output_is_in_bytes(lua, write):
    each = f'pcall(Spell.run, "for i = 1, 9 do {write} end")'
    assert await lua(f"{each} return 1", limits=Limits(output=64)) == 1
    with pytest.raises(LimitExceeded, match="output limit exceeded"):
        await lua(f"{each} {each}", limits=Limits(output=125))


@pytest.mark.parametrize("middleware", [[], [Metrics()], [EffectRecorder()]])
async def test_children_of_a_spell_that_ends_before_they_begin(lua, middleware):
    """Nothing is left of them: Python would warn of a coroutine that nobody awaited."""
    source = """
      for i = 1, 3 do Task.spawn(Spell.run, "return 1") end
      Task.timeout(1, function() Hook.list() end)
      return "done" """
    assert await lua(source, middleware=middleware, record=True) == "done"
    gc.collect()


def registries():
    """The number of registries of hooks: each run has one."""
    gc.collect()
    return sum(isinstance(thing, Hooks) for thing in gc.get_objects())


async def until_no_more_than(most):
    """Waits until some registries have gone: what is left of a run may end after it."""
    with anyio.fail_after(10):
        while registries() > most:  # noqa: ASYNC110 - nobody tells
            await anyio.sleep(0.05)


async def test_what_has_ended_no_longer_listens_to_the_hooks_around_it(new_runtime):
    async with new_runtime() as runtime:
        before = registries()
        for _ in range(4):
            await runtime.execute("Spell.run('return 1') pcall(Spell.run, 'error()')")
        await until_no_more_than(before)


async def test_nor_does_what_could_not_start(new_runtime, monkeypatch):
    async def refuse(self):
        raise IsolationError("no more processes")

    monkeypatch.setattr("llmspell.isolation.workers.Workers.take", refuse)
    async with new_runtime(isolate=True) as runtime:
        before = registries()
        for _ in range(4):
            with pytest.raises(IsolationError):
                await runtime.execute("return 1")
        await until_no_more_than(before)
