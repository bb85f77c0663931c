"""What names an effect or a model that does not exist is refused at the start."""

import pytest

from llmspell import Plugin, Runtime
from llmspell.bridge import Bridge
from llmspell.config import find_project
from llmspell.errors import ConfigError, PluginError, SpellRuntimeError, UnknownEffect
from llmspell.hooks.effect_hook import EffectHook
from llmspell.middleware import middleware
from llmspell.providers.scripted import ScriptedProvider
from llmspell.state import MemoryStore

pytestmark = pytest.mark.anyio


@pytest.fixture
def isolate():
    """Starts differ in nothing between the two kinds of runs."""
    return False


class Audit(EffectHook):
    def before(self, call):
        pass


class Watching(Plugin):
    """Watches an effect of another plugin, in the way that its name says."""

    def __init__(self, name):
        super().__init__()
        self.name = name

    def hooks(self, hooks):
        if self.name == "hook":
            hooks.before("dice.roll")(print)

    def middleware(self):
        async def watch(effect, call_next):
            return await call_next(effect)

        return [middleware(effects="dice.*")(watch)] if self.name == "middleware" else []


class Dice(Plugin):
    name = "dice"

    def bridges(self):
        bridge = Bridge("dice", __file__)

        @bridge.effect()
        def roll() -> int:
            return 6

        return [bridge]


async def refused(runtime):
    with pytest.raises(ConfigError) as caught:
        async with runtime:
            pytest.fail("it started")
    return caught.value


@pytest.mark.parametrize(
    ("effect", "hint"),
    [
        ("tool.cal", "did you mean 'tool.call' or 'tool.list'?"),
        ("tol.*", "did you mean 'tool.*'?"),
        ("tool.cal*ed", "did you mean 'tool.*'?"),
        ("dice.roll", "the effects of a plugin are known once it has started"),
    ],
)
async def test_a_hook_that_no_effect_reaches_is_refused_at_the_start(new_runtime, effect, hint):
    runtime = new_runtime()
    runtime.hooks.after(effect, id="shout")(print)
    error = await refused(runtime)
    assert error.message == (
        f"the runtime: hook 'shout' after {effect}: no effect named {effect!r}"
    )
    assert error.hint == hint


async def test_so_is_a_hook_as_an_object(new_runtime):
    error = await refused(new_runtime(hooks=[Audit(effects=["tool.call", "tool.cal"])]))
    assert "hook 'Audit.before' before tool.call, tool.cal: no effect named" in error.message


async def test_points_of_the_life_cycle_and_wildcards_are_reached(new_runtime):
    runtime = new_runtime(hooks=[Audit(effects=["*", "s*", "probe.e*", "tool.*"])])
    runtime.hooks.at("run.*")(print)
    runtime.hooks.before("pre_state_update")(print)
    async with runtime:
        pass


async def test_a_hook_registered_later_is_refused_at_once(new_runtime):
    async with new_runtime() as runtime:
        with pytest.raises(UnknownEffect) as caught:
            runtime.hooks.before("tool.cal")(print)
        assert caught.value.hint == "did you mean 'tool.call' or 'tool.list'?"
        with pytest.raises(UnknownEffect):
            runtime.hooks.add(Audit(effects="tol.*"))
        assert runtime.hooks.own() == []
        with pytest.raises(SpellRuntimeError, match=r"no effect named .state\.sett."):
            await runtime.execute("Hook.before('state.sett', print)")


@pytest.mark.parametrize(
    ("settings", "place"),
    [
        ('[[hooks]]\nname = "guard"\neffects = ["tool.cal"]\nsettings.deny = ["x"]', "hooks.guard.effects"),
        ('[[middleware]]\nname = "usage"\neffects = ["tool.cal"]', "middleware.usage.effects"),
        ('[[middleware]]\nmodule = "late.py:late"', "middleware.{folder}/late.py:late"),
    ],
)  # fmt: skip
async def test_the_place_in_the_settings_is_named(tmp_path, settings, place):
    file = tmp_path / "llmspell.toml"
    file.write_text(settings)
    (tmp_path / "late.py").write_text(
        "from llmspell.middleware import middleware\n"
        "@middleware(effects='tool.cal')\n"
        "async def late(effect, call_next): ...\n"
    )
    error = await refused(Runtime(project=find_project(tmp_path), store=MemoryStore()))
    assert error.message == f"{file}: {place.format(folder=tmp_path)}: no effect named 'tool.cal'"
    assert error.hint == "did you mean 'tool.call' or 'tool.list'?"


async def test_middleware_passed_in_python(new_runtime):
    @middleware(effects=["tool.call", "modle.request"])
    async def patient(effect, call_next): ...

    error = await refused(new_runtime(middleware=[patient]))
    assert error.message == "the runtime: middleware 'patient': no effect named 'modle.request'"


async def test_effects_of_plugins_are_known_once_they_have_started(new_runtime):
    watching = [Watching("hook"), Watching("middleware")]
    hooks = [Audit(effects="dice.roll")]
    async with new_runtime(plugins=[Dice(), *watching], hooks=hooks) as runtime:
        assert list(runtime.plugins) == ["dice", "hook", "middleware"]
    for one in watching:
        with pytest.raises(PluginError, match=f"'{one.name}' did not start: .*no effect") as caught:
            async with new_runtime(plugins=[one, Dice()]):
                pytest.fail("it started")
        assert "known once it has started" in caught.value.hint


@pytest.mark.parametrize(
    ("model", "problem"),
    [
        ("opnai/gpt", "no provider named 'opnai'"),
        ("gpt", "'gpt' does not name a provider and a model"),
    ],
)
async def test_models_are_checked_at_the_start(tmp_path, new_runtime, model, problem):
    error = await refused(new_runtime(model=model))
    assert error.message == f"model: {problem}"
    assert error.hint
    file = tmp_path / "llmspell.toml"
    for key in ("model", "embedder"):
        file.write_text(f'{key} = "{model}"')
        error = await refused(Runtime(project=find_project(tmp_path), store=MemoryStore()))
        assert error.message == f"{file}: {key}: {problem}"


async def test_models_need_neither_a_key_nor_a_server_at_the_start(new_runtime):
    scripted = ScriptedProvider([])
    for model in ("openai/none", "ollama/none", "local/none", "scripted/any"):
        async with new_runtime(model=model, providers=[scripted]) as runtime:
            assert await runtime.execute("return 1") == 1
