"""Plugins in a runtime: how they start and stop, what they bring, and what happens when they fail."""

import asyncio
import logging
import sys
import time
from asyncio import CancelledError
from pathlib import Path
from typing import ClassVar

import anyio
import pytest
from pydantic import BaseModel, model_validator

import llmspell
from llmspell import Modify, Plugin
from llmspell.bridge import Bridge
from llmspell.errors import ConfigError, PluginError
from llmspell.providers.scripted import ScriptedProvider
from llmspell.state import MemoryStore

pytestmark = pytest.mark.anyio


class Diary(Plugin):
    """Keeps a diary."""

    diary: ClassVar = []

    def __init__(self, settings=None, name=None):
        super().__init__(settings)
        self.name = name or type(self).name

    async def on_startup(self, runtime):
        self.diary.append(f"{self.name} started")

    async def on_shutdown(self):
        self.diary.append(f"{self.name} stopped")


class One(Diary):
    name = "one"


class Two(Diary):
    name = "two"


@pytest.fixture(autouse=True)
def diary(monkeypatch):
    diary = []
    monkeypatch.setattr(Diary, "diary", diary)
    monkeypatch.setitem(sys.modules, "company_plugins", sys.modules[__name__])
    return diary


def entry(found, **more):
    return {"module": f"company_plugins:{found}"} | more


def fails(method, error=None):
    """A plugin of which one method raises."""

    def failing(self, *_):
        raise error or OSError("no kettle")

    return type("Broken", (Diary,), {"name": "broken", method: failing})


# Start and stop


async def test_priority_orders_the_start_and_they_stop_in_reverse(new_runtime, diary):
    plugins = [entry("One"), entry("Two", priority=5), entry("One", name="again")]
    async with new_runtime({"plugins": plugins}, plugins=[One(name="given")]) as runtime:
        assert list(runtime.plugins) == ["given", "two", "one", "again"]
        assert all(isinstance(plugin, Diary) for plugin in runtime.plugins.values())
    started = [f"{name} started" for name in ("given", "two", "one", "one")]
    stopped = [f"{name} stopped" for name in ("one", "one", "two", "given")]
    assert diary == started + stopped


async def test_one_that_is_not_enabled_is_not_even_loaded(new_runtime, diary):
    plugins = [entry("One", enabled=False), {"module": "no.such:Thing", "enabled": False}]
    async with new_runtime({"plugins": plugins}) as runtime:
        assert runtime.plugins == {}
    assert diary == []


async def test_they_stop_when_the_body_fails_or_is_cancelled(new_runtime, diary):
    class Slow(Diary):
        name = "slow"

        async def on_shutdown(self):
            await anyio.sleep(0.01)
            await super().on_shutdown()

    with pytest.raises(KeyError):
        async with new_runtime(plugins=[Slow()]):
            raise KeyError
    with anyio.move_on_after(0.01):
        async with new_runtime(plugins=[Slow()]):
            await anyio.sleep_forever()
    assert diary == ["slow started", "slow stopped"] * 2


async def test_what_they_brought_is_closed_before_they_stop(new_runtime, diary):
    class Kept(MemoryStore):
        async def close(self):
            diary.append("store closed")

    class Asked(ScriptedProvider):
        async def close(self):
            diary.append("provider closed")

    class Brings(One):
        def stores(self):
            return {"kept": Kept}

        def providers(self):
            return [Asked(["hello"])]

    settings = {"state": {"backend": "kept"}, "model": "scripted/x"}
    async with new_runtime(settings, store=None, plugins=[Brings()]) as runtime:
        spell = "State.set('a', 1) return State.get('a'), (Agent.create{}:prompt('?'))"
        assert await runtime.execute(
            f"local a, b = (function() {spell} end)() return {{a, b}}"
        ) == [
            1,
            "hello",
        ]
    assert diary == ["one started", "store closed", "provider closed", "one stopped"]


# What they bring


async def test_everything_one_may_bring_is_there(new_runtime):
    class Kitchen(Plugin):
        name = "kitchen"

        async def on_startup(self, runtime):
            self.kettle = "kettle"

        def tools(self):
            def boil(what: str) -> str:
                """Boil something."""
                return f"{what} from the {self.kettle}"

            return [boil]

        def bridges(self):
            bridge = Bridge("kitchen", __file__)
            bridge.lua = "local host = ... return {Kitchen = {lid = host.perform}}"
            bridge.effect("lid")(lambda: "shut")
            return [bridge]

        def hooks(self, hooks):
            hooks.after("tool.call")(lambda call: Modify(f"{call.result}!"))

        def middleware(self):
            async def doubled(effect, call_next):
                result = await call_next(effect)
                return result * 2 if effect.name == "kitchen.lid" else result

            return [doubled]

    async with new_runtime(plugins=[Kitchen()]) as runtime:
        source = "return {boil{what = 'tea'}, Kitchen.lid('kitchen.lid', {})}"
        assert await runtime.execute(source) == ["tea from the kettle!", "shutshut"]


def brew() -> str:
    """Brew."""
    return "tea"


def miswritten():
    bridge = Bridge("odd", __file__)
    bridge.lua = "local host = ...\nreturn {Odd = {}"
    return bridge


CLASHES = {
    "tools": (lambda: [brew, brew], "a tool named 'brew' is already registered"),
    "bridges": (lambda: [Bridge("state", __file__)], "is built in"),
    "providers": (lambda: [ScriptedProvider([]), ScriptedProvider([])], "scripted"),
    "middleware": (lambda: [5], "5 is not an async function"),
    "stores": (lambda: {"sqlite": MemoryStore}, "sqlite"),
    "hooks": (lambda hooks: hooks.before("tool.call")(print) and 1 / 0, "ZeroDivisionError"),
}
NONSENSE = [
    *((method, *clash) for method, clash in CLASHES.items()),
    ("tools", lambda: [5], "its tools() must return tools or typed functions, not 5;"),
    ("tools", lambda: None, "its tools() must return a list, not None;"),
    ("bridges", lambda: [5], "its bridges() must return bridges, not 5;"),
    (
        "bridges",
        lambda: [miswritten()],
        "the Lua of the bridge 'odd' does not compile: odd.lua:2: ",
    ),
    (
        "bridges",
        lambda: [Bridge("odd", __file__, globals=("State",))],
        "the bridges 'state' and 'odd' both define State;",
    ),
    (
        "providers",
        lambda: ["x"],
        "its providers() must return providers, which have a name, not 'x'",
    ),
    ("capabilities", lambda: [5], "5 is not a subclass of Capability;"),
    ("middleware", lambda: 5, "its middleware() must return a list, not 5;"),
    ("stores", lambda: [5], "its stores() must return a dict, not [5];"),
]


@pytest.mark.parametrize(("method", "brings", "said"), NONSENSE)
async def test_one_that_brings_nonsense_is_left_out_whole(
    new_runtime, caplog, diary, method, brings, said
):
    methods = {"tools": lambda self: [brew]} | {method: lambda self, *given: brings(*given)}
    clash = type("Clash", (Diary,), {"name": "clash"} | methods)
    sys.modules["company_plugins"].Clash = clash
    async with new_runtime({"plugins": [entry("Clash"), entry("One")]}) as runtime:
        assert list(runtime.plugins) == ["one"]
        assert "brew" not in runtime.tools
        assert runtime.hooks.own() == []
        assert await runtime.execute("return 1") == 1
    assert diary == ["clash started", "clash stopped", "one started", "one stopped"]
    assert "plugin 'clash' did not start and is skipped: " in caplog.text
    assert said in caplog.text


class Around:
    """Middleware that is told when the runtime starts and stops."""

    after = "trace"

    def __init__(self, diary, name="around", fails_at=None):
        self.diary, self.name, self.fails_at = diary, name, fails_at

    def wrap(self, handler, call, run):
        return call

    def _at(self, when):
        if self.fails_at == when:
            raise OSError("no lid")
        self.diary.append(f"{self.name} {when}")

    def open(self, runtime):
        self._at("open")

    def close(self):
        self._at("close")


async def test_one_whose_middleware_does_not_open_is_left_out_whole(new_runtime, caplog, diary):
    class Kitchen(Diary):
        name = "kitchen"

        def middleware(self):
            return [Around(diary), Around(diary, "broken", "open")]

    sys.modules["company_plugins"].Kitchen = Kitchen
    async with new_runtime({"plugins": [entry("Kitchen"), entry("One")]}) as runtime:
        assert list(runtime.plugins) == ["one"]
        assert not {"around", "broken"} & {one.name for one in runtime.middleware}
    kitchen = ["kitchen started", "around open", "around close", "kitchen stopped"]
    assert diary == [*kitchen, "one started", "one stopped"]
    assert "middleware 'broken' could not be opened: OSError: no lid" in caplog.text


async def test_what_cannot_be_closed_keeps_nothing_else_from_it(new_runtime, caplog, diary):
    class Leaking(MemoryStore):
        async def close(self):
            raise OSError("the store leaks")

    class Leaks(One):
        def stores(self):
            return {"leaking": Leaking}

        def providers(self):
            first, second = ScriptedProvider([]), ScriptedProvider([])
            first.name, second.name = "first", "second"
            first.close = fails_to_close
            second.close = second_closed
            return [first, second]

        def middleware(self):
            return [Around(diary, "broken", "close"), Around(diary)]

    async def fails_to_close():
        raise CancelledError

    async def second_closed():
        diary.append("second closed")

    settings = {"state": {"backend": "leaking"}}
    async with new_runtime(settings, store=None, plugins=[Leaks()]) as runtime:
        assert await runtime.execute("State.set('a', 1) return State.get('a')") == 1
    opened = ["one started", "broken open", "around open"]
    assert diary == [*opened, "second closed", "around close", "one stopped"]
    for said in (
        "the provider 'first' could not be closed: what it waited for was cancelled",
        "the store 'leaking' could not be closed: OSError: the store leaks",
        "middleware 'broken' could not be closed: OSError: no lid",
    ):
        assert said in caplog.text


async def test_what_does_not_end_to_close_is_left_behind(new_runtime, caplog, monkeypatch):
    monkeypatch.setattr("llmspell.shutdown.CLOSE_SECONDS", 0.01)
    provider = ScriptedProvider([])
    provider.close = anyio.sleep_forever
    async with new_runtime(providers=[provider]):
        pass
    said = "the provider 'scripted' could not be closed: it took more than 0.01 seconds"
    assert said in caplog.text


@pytest.mark.parametrize(
    ("maker", "said"),
    [(lambda: 1 / 0, "ZeroDivisionError"), (lambda: 5, "5 is not a store: it has no method read")],
)
async def test_a_store_that_cannot_be_opened_fails_what_asks_it(new_runtime, maker, said):
    class Shelf(One):
        def stores(self):
            return {"shelf": maker}

    settings = {"state": {"backend": "shelf"}}
    async with new_runtime(settings, store=None, plugins=[Shelf()]) as runtime:
        code, message = await runtime.execute(
            "local _, e = try(State.get, 'a') return {e.code, e.message}"
        )
        assert code == "state_error"
        assert f"the store 'shelf' could not be opened: {said}" in message


async def test_an_unknown_store_is_refused_at_the_start(new_runtime):
    with pytest.raises(ConfigError, match=r"state\.backend: no store is named 'redis'") as caught:
        async with new_runtime({"state": {"backend": "redis"}}, store=None):
            pass
    assert "sqlite, memory" in caught.value.hint


# Failures


class BrokenSettings(BaseModel):
    @model_validator(mode="before")
    @classmethod
    def broken(cls, given):
        raise RuntimeError("no such luck")


@pytest.mark.parametrize(
    "how",
    [
        *(
            "raises",
            "hangs",
            "exits",
            "ends a task",
            "is gone",
            "is not a plugin",
            "has no name",
            "has no model",
        ),
        *("has an empty name", "has a broken model"),
    ],
)
async def test_one_that_does_not_start_is_reported_and_left_out(new_runtime, caplog, diary, how):
    class Hangs(Diary):
        name = "broken"

        async def on_startup(self, runtime):
            await anyio.sleep_forever()

    kinds = {
        "raises": fails("on_startup"),
        "hangs": Hangs,
        "exits": fails("on_startup", SystemExit(0)),
        "ends a task": fails("on_startup", asyncio.CancelledError()),
        "is not a plugin": dict,
        "has no model": type("Untyped", (One,), {"settings_model": dict}),
        "has no name": type("Nameless", (Plugin,), {}),
        "has an empty name": type("Nameless", (Plugin,), {"name": ""}),
        "has a broken model": type("Odd", (One,), {"settings_model": BrokenSettings}),
    }
    if how in kinds:
        sys.modules["company_plugins"].Broken = kinds[how]
    broken = {"module": "no_such.plugins:Broken"} if how == "is gone" else entry("Broken")
    broken |= {"name": "broken", "timeout": 0.05}
    said = {
        "raises": "OSError: no kettle (",
        "hangs": "its start-up took more than 0.05 seconds",
        "exits": "SystemExit: 0 (",
        "ends a task": "RuntimeError: what it waited for was cancelled",
        "has no model": "has a settings_model that is not a model",
        "is gone": "No module named 'no_such'",
        "is not a plugin": "is not a plugin",
        "has no name": "has no name",
        "has an empty name": "has no name",
        "has a broken model": "its settings cannot be checked: RuntimeError: no such luck",
    }[how]
    async with new_runtime({"plugins": [entry("One"), broken, entry("Two")]}) as runtime:
        assert await runtime.execute("return 1") == 1
        assert list(runtime.plugins) == ["one", "two"]
    assert "plugin 'broken' did not start and is skipped: " in caplog.text
    assert said in caplog.text
    assert f"({Path(llmspell.__file__).parent}" not in caplog.text

    diary.clear()
    with pytest.raises(PluginError, match="plugin 'broken' did not start: ") as caught:
        async with new_runtime({"plugins": [entry("One"), broken | {"required": True}]}):
            pass
    assert said in caught.value.message
    assert caught.value.hint
    assert diary in ([], ["one started", "one stopped"])


async def test_one_that_blocks_is_named_while_it_does(new_runtime, caplog, monkeypatch):
    monkeypatch.setattr("llmspell.plugins.lifecycle.GRACE", 0.02)

    def block_until(said):
        end = time.monotonic() + 10
        while said not in caplog.text and time.monotonic() < end:
            time.sleep(0.01)

    class Blocks(Plugin):
        name = "slow"

        async def on_startup(self, runtime):
            block_until("the start-up of plugin 'slow' takes more than 0.02 seconds")

        async def on_shutdown(self):
            block_until("the shut-down of plugin 'slow' takes more than 0.02 seconds")

    sys.modules["company_plugins"].Blocks = Blocks
    begun = time.monotonic()
    async with new_runtime({"plugins": [entry("Blocks", timeout=0.02), entry("One")]}) as runtime:
        assert list(runtime.plugins) == ["slow", "one"]
    assert time.monotonic() - begun < 10
    assert caplog.text.count("takes more than") == 2


async def test_what_failed_is_told_on_the_bus(new_runtime):
    sys.modules["company_plugins"].Broken = fails("on_startup")
    told = []
    runtime = new_runtime({"plugins": [entry("Broken")]})
    runtime.events.subscribe("plugin.*", told.append)
    async with runtime:
        await anyio.sleep(0.01)
    assert [(event.topic, event.data["plugin"]) for event in told] == [("plugin.failed", "broken")]
    assert told[0].data["message"].startswith("OSError: no kettle")


async def test_one_handed_over_in_python_has_to_start(new_runtime, diary):
    with pytest.raises(PluginError, match="plugin 'broken' did not start: OSError: no kettle"):
        async with new_runtime(plugins=[One(), Two(), fails("on_startup")()]):
            pass
    assert diary == ["one started", "two started", "two stopped", "one stopped"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([One(), One()], "two plugins are named 'one'"),
        ([One], "<class '.*One'> is not a plugin"),
        ([type("Nameless", (Plugin,), {})()], "Nameless.* is not a plugin"),
        ([5], "5 is not a plugin"),
    ],
)
async def test_what_is_handed_over_has_to_be_plugins_of_different_names(
    new_runtime, diary, given, said
):
    with pytest.raises(PluginError, match=said):
        async with new_runtime(plugins=given):
            pass
    assert diary == []


async def test_a_shut_down_that_fails_or_hangs_holds_nobody_up(new_runtime, caplog, diary):
    class Hangs(One):
        async def on_shutdown(self):
            await anyio.sleep_forever()

    module = sys.modules["company_plugins"]

    class Ends(One):
        name = "ends"

        async def on_shutdown(self):
            task = asyncio.create_task(asyncio.sleep(60))
            task.cancel()
            await task

    module.Hangs, module.Broken, module.Ends = Hangs, fails("on_shutdown"), Ends
    plugins = [entry("Two"), entry("Hangs", timeout=0.02), entry("Broken"), entry("Ends")]
    with anyio.fail_after(5):
        async with new_runtime({"plugins": plugins}):
            pass
    assert diary[-1] == "two stopped"
    assert "the shut-down of plugin 'broken' failed: OSError: no kettle" in caplog.text
    assert "the shut-down of plugin 'ends' failed: RuntimeError: what it waited for" in caplog.text
    assert "the shut-down of plugin 'one' was cancelled after 0.02 seconds" in caplog.text


async def test_a_wrong_setting_of_any_keeps_all_from_starting(new_runtime, diary):
    with pytest.raises(
        ConfigError, match=r"llmspell\.toml: plugins\.two\.settings\.x is not a sett"
    ):
        async with new_runtime({"plugins": [entry("One"), entry("Two", settings={"x": 1})]}):
            pass
    assert diary == []


async def test_keys_that_are_no_field_are_refused_at_any_depth(new_runtime):
    class Inner(BaseModel):
        a: int = 1

    class Outer(BaseModel):
        inner: Inner = Inner()
        secret: str = ""

    class Picky(Plugin):
        name = "picky"
        settings_model = Outer

    sys.modules["company_plugins"].Picky = Picky
    for settings, said in (
        ({"inner": {"b": 1}}, "plugins.picky.settings.inner.b is not a setting"),
        ({"secret": ["hunter2"]}, "plugins.picky.settings.secret: input should be a valid string"),
    ):
        with pytest.raises(ConfigError) as caught:
            async with new_runtime({"plugins": [entry("Picky", settings=settings)]}):
                pass
        assert caught.value.problems == [said]
        assert "hunter2" not in str(caught.value)
    async with new_runtime({"plugins": [entry("Picky", settings={"inner": {"a": 2}})]}) as runtime:
        assert runtime.plugins["picky"].settings.inner.a == 2


async def test_two_of_one_name_are_refused(new_runtime):
    with pytest.raises(ConfigError, match=r"plugins\.one: two plugins have that name"):
        async with new_runtime({"plugins": [entry("One"), entry("One")]}):
            pass


async def test_a_file_of_the_project(new_runtime, tmp_path, caplog):
    (tmp_path / "shop.py").write_text(
        "from llmspell import Plugin\n\nclass Shop(Plugin):\n    name = 'shop'\n"
        "    async def on_startup(self, runtime):\n        raise OSError('closed')\n"
    )
    settings = {"plugins": [{"module": f"{tmp_path}/shop.py:Shop"}]}
    with caplog.at_level(logging.WARNING):
        async with new_runtime(settings):
            pass
    assert f"OSError: closed ({tmp_path}/shop.py:6)" in caplog.text
