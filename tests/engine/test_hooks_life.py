"""Points in the life of a runtime and its runs, as hooks in Python see them."""

import asyncio

import anyio
import pytest

from llmspell import Halt, Hook, Limits, Runtime
from llmspell.config import find_project
from llmspell.errors import (
    ConfigError,
    HookFailed,
    HookHalted,
    LimitExceeded,
    LlmspellError,
    SpellRuntimeError,
)

pytestmark = pytest.mark.anyio


class Life(Hook):
    def __init__(self):
        self.seen = []

    async def on_runtime_start(self, call):
        self.seen.append("runtime.start")

    async def on_runtime_stop(self, call):
        self.seen.append("runtime.stop")

    async def on_run_start(self, call):
        self.seen.append(("run.start", call.effect.args["spell"], call.effect.args["params"]))

    async def on_run_end(self, call):
        args = call.effect.args
        assert args["run"] == call.effect.run.id
        self.seen.append(("run.end", args.get("result"), args.get("error", {}).get("code")))

    async def on_limit_exceeded(self, call):
        self.seen.append(("limit.exceeded", call.effect.args["limit"]))


@pytest.fixture
def life():
    return Life()


@pytest.fixture
def runtime(new_runtime, life):
    return new_runtime(hooks=[life], limits=Limits(instructions=1_000_000))


async def test_a_life(runtime, life):
    async with runtime:
        await runtime.execute("return 5", name="s.lua")
    assert life.seen == [
        "runtime.start",
        ("run.start", "s.lua", {}),
        ("run.end", 5, None),
        "runtime.stop",
    ]


async def test_the_end_comes_however_it_comes(runtime, life):
    async with runtime:
        with pytest.raises(SpellRuntimeError):
            await runtime.execute("error('oops')")
        with pytest.raises(LimitExceeded):
            await runtime.execute("while true do end")
        with anyio.move_on_after(0.2):
            await runtime.execute("Task.sleep(60)")
    ends = [entry for entry in life.seen if entry[0] in ("run.end", "limit.exceeded")]
    assert ends == [
        ("run.end", None, "spell_runtime"),
        ("limit.exceeded", "instructions"),
        ("run.end", None, "limit_exceeded"),
        ("run.end", None, "cancelled"),
    ]


async def test_hooks_perform_effects_at_the_start_and_at_the_end(new_runtime):
    async with new_runtime() as runtime:

        @runtime.hooks.at("run.start")
        async def begin(call):
            await call.effect.perform("state.set", key="begun", value=1)

        @runtime.hooks.at("run.end")
        async def end(call):
            await call.effect.perform("state.set", key="ended", value=call.effect.args["result"])

        assert await runtime.execute("return {State.get('begun'), State.get('ended')}") == [1]
        assert await runtime.execute("return State.get('ended')") == [1]


async def test_a_function_of_a_spell_that_is_over_is_not_waited_for(new_runtime, caplog):
    async with new_runtime() as runtime:

        @runtime.hooks.at("run.end")
        async def end(call):
            await call.effect.perform("tool.call", name="gone", args={})

        assert await runtime.execute("Tool.define{name = 'gone', run = print} return 1") == 1
    assert "the spell has ended, so its functions can no longer be called" in caplog.text


async def test_the_runtime_does_not_start_without_a_hook_it_requires(new_runtime):
    class Gate(Hook):
        required = True

        async def on_runtime_start(self, call):
            raise ValueError("no licence")

    with pytest.raises(HookFailed, match="no licence"):
        async with new_runtime(hooks=[Gate()]):
            pytest.fail("it started")


async def test_a_hook_may_halt_the_runtimes_start(new_runtime):
    runtime = new_runtime()
    runtime.hooks.at("runtime.start", id="gate")(lambda call: Halt("not now"))
    with pytest.raises(HookHalted, match="not now"):
        async with runtime:
            pytest.fail("it started")


async def test_outside_of_runs_nothing_can_be_performed(new_runtime, caplog):
    runtime = new_runtime()

    @runtime.hooks.at("runtime.*")
    async def eager(call):
        await call.effect.perform("state.get", key="k")

    async with runtime:
        pass
    assert caplog.text.count("state.get cannot be performed outside of a run") == 2


async def test_denials_are_told_once(new_runtime):
    denied = []
    async with new_runtime() as runtime:
        runtime.hooks.at("permission.denied")(
            lambda call: denied.append((call.effect.args["effect"], call.effect.args["kind"]))
        )
        await runtime.execute("try(read_file, {path = '/etc/hostname'}) add{a = 1}")
    assert denied == [("tool.call", "read")]


@pytest.mark.parametrize("sync", [False, True])
async def test_state_changes_are_told_with_both_values(new_runtime, sync):
    seen = []

    class Watch(Hook):
        async def on_state_change(self, call, old, new):
            seen.append((call.effect.name, old, new))

    class SyncWatch(Hook):
        def on_state_change(self, call, old, new):
            seen.append((call.effect.name, old, new))

    async with new_runtime(hooks=[SyncWatch() if sync else Watch()]) as runtime:
        await runtime.execute("""
            State.set("k", 1)
            State.set("k", 1)
            State.update("k", function(v) return v + 1 end)
            State.increment("k", 2)
            State.delete("k")
            State.delete("k")
        """)
    assert seen == [
        ("state.set", None, 1),
        ("state.update", 1, 2),
        ("state.increment", 2, 4),
        ("state.delete", 4, None),
    ]


# Changes of the configuration


@pytest.fixture
def settings(tmp_path):
    def write(text):
        (tmp_path / "llmspell.toml").write_text(text, "utf-8")

    write("[limits]\neffects = 10\n")
    return write


async def test_changed_settings_are_told_and_used_by_the_next_run(settings, tmp_path):
    told = []
    async with Runtime(project=find_project(tmp_path)) as runtime:
        runtime.hooks.at("config.change")(lambda call: told.append(call.effect.args["changed"]))
        assert await runtime.reload() == []
        settings("model = 'a/b'\n[limits]\neffects = 20\n[permissions]\nread = ['.']\n")
        assert await runtime.reload() == ["permissions", "limits"]
        assert (await runtime.execute("return Config.limits.effects")) == 20
        assert runtime.project.settings.permissions.read == (str(tmp_path),)
    [changed] = told
    assert changed["limits"]["old"]["effects"] == 10
    assert changed["limits"]["new"]["effects"] == 20
    assert changed.keys() == {"permissions", "limits"}


async def test_the_last_of_several_reloads_at_once_wins(settings, tmp_path):
    told = []
    async with Runtime(project=find_project(tmp_path)) as runtime:

        @runtime.hooks.at("config.change")
        async def slow(call):
            told.append(call.effect.args["changed"]["limits"]["new"]["effects"])
            await asyncio.sleep(0.05)

        settings("[limits]\neffects = 20\n")
        first = asyncio.create_task(runtime.reload())
        await asyncio.sleep(0.01)
        settings("[limits]\neffects = 30\n")
        assert await runtime.reload() == ["limits"] == await first
        assert (await runtime.execute("return Config.limits.effects")) == 30
    assert told == [20, 30]


async def test_a_hook_at_a_change_of_the_settings_cannot_reload_them(settings, tmp_path):
    async with Runtime(project=find_project(tmp_path)) as runtime:

        @runtime.hooks.at("config.change")
        async def again(call):
            await asyncio.sleep(0)
            await runtime.reload()

        settings("[limits]\neffects = 20\n")
        with pytest.raises(LlmspellError, match="cannot reload the settings itself"):
            await runtime.reload()


async def test_what_the_program_says_goes_on_to_go_before_the_settings(settings, tmp_path):
    limits = Limits(effects=7)
    async with Runtime(project=find_project(tmp_path), limits=limits) as runtime:
        settings("[limits]\neffects = 20\n")
        await runtime.reload()
        assert (await runtime.execute("return Config.limits.effects")) == 7


async def test_a_changed_rule_of_approval_that_matches_nothing_is_refused(settings, tmp_path):
    async with Runtime(project=find_project(tmp_path)) as runtime:
        settings("[approve]\neffects = ['state.st']\n")
        with pytest.raises(ConfigError, match=r"approve\.effects: state\.st: no effect named"):
            await runtime.reload()
        assert await runtime.execute("return State.set('a', 1)") is None
    with pytest.raises(ConfigError, match=r"llmspell\.toml: approve\.effects: state\.st"):
        async with Runtime(project=find_project(tmp_path)):
            pass


async def test_a_hook_may_refuse_changed_settings(settings, tmp_path):
    async with Runtime(project=find_project(tmp_path)) as runtime:
        runtime.hooks.at("config.change")(lambda call: Halt("frozen"))
        settings("[limits]\neffects = 20\n")
        with pytest.raises(HookHalted, match="frozen"):
            await runtime.reload()
        assert (await runtime.execute("return Config.limits.effects")) == 10
