"""Events as spells see them, and what the runtime says of its own life."""

import asyncio
import logging

import pytest

from llmspell import Grants, Limits, tool
from llmspell.errors import LimitExceeded, SpellRuntimeError
from llmspell.events.run_subscriptions import MAX_SUBSCRIPTIONS
from llmspell.providers.scripted import ScriptedProvider
from llmspell.spell import parse_spell

pytestmark = pytest.mark.anyio


@tool
async def fetch_price(item: str) -> float:
    """Look a price up.

    Args:
        item: Of what.
    """
    if item == "unicorn":
        raise ValueError("no such thing")
    return 2.5


@pytest.fixture
def heard(new_runtime):
    """Runs Lua; what was published meanwhile: `(topic, data)` of each event of a pattern."""

    async def run(source, pattern, *, fails=None, **options):
        async with new_runtime(**options) as runtime:
            stream = runtime.events.stream(pattern)
            if fails:
                with pytest.raises(fails):
                    await runtime.execute(source, name="test.lua")
            else:
                await runtime.execute(source, name="test.lua")
            events = []
            while event := await stream.receive(0):
                assert event.source == "runtime"
                events.append((event.topic, event.data))
            return events

    return run


@pytest.mark.parametrize(
    "follow",
    [
        "Event.subscribe('count.up', wait) Event.publish('count.up')",
        "State.watch('count', wait) State.set('count', 1)",
    ],
)
async def test_a_function_that_the_end_of_its_spell_interrupts_has_not_failed(
    new_runtime, caplog, follow
):
    failures = []
    async with new_runtime() as runtime:
        runtime.events.subscribe("subscriber.failed", failures.append)
        with pytest.raises(SpellRuntimeError, match="enough"):
            await runtime.execute(f"""
                local busy
                local function wait() busy = true Task.sleep(60) end
                {follow}
                while not busy do Task.sleep(0.001) end
                error("enough")
            """)
    assert failures == []
    assert caplog.messages == []


async def test_callbacks_get_each_event_in_order(lua):
    source = """
        local seen = {}
        Event.subscribe("order.*", function(event)
          Task.sleep(0.001)
          seen[#seen + 1] = event.topic .. " " .. event.data.n
        end)
        for n = 1, 3 do
          Event.publish("order.paid", {n = n})
        end
        Event.publish("other", {n = 4})
        Task.sleep(0.1)
        return seen
    """
    assert await lua(source) == ["order.paid 1", "order.paid 2", "order.paid 3"]


async def test_what_was_published_is_still_handled_when_the_spell_has_returned(new_runtime, lines):
    source = """
        local subscription = Event.subscribe("a", function(event)
          Task.sleep(0.01)
          print(event.data)
          if event.data == 1 then
            Event.publish("a", "too late")
          end
        end)
        Event.publish("a", 1)
        Event.publish("a", 2)
        return "done"
    """
    async with new_runtime() as runtime:
        assert await runtime.execute(source) == "done"
        assert runtime.events.statistics().subscriptions == 0
    assert lines == ["1", "2"]


async def test_a_spell_with_subscriptions_ends(lua):
    source = """
        Event.subscribe("*", function() end)
        Event.subscribe("never", function() end, {overflow = "wait"})
        Event.subscribe("polled")
        return 1
    """
    async with asyncio.timeout(5):
        assert await lua(source) == 1


async def test_a_limit_that_a_callback_breaks_after_the_spell_returned_ends_the_run(lua):
    source = """
        Event.subscribe("a", function() while true do end end)
        Event.publish("a")
        return 1
    """
    with pytest.raises(LimitExceeded, match="instruction"):
        await lua(source, limits=Limits(instructions=1_000_000))


async def test_a_run_that_is_cancelled_in_a_callback_leaves_nothing(new_runtime):
    source = """
        Event.subscribe("a", function() Task.sleep(60) end)
        Event.publish("a")
    """
    before = asyncio.all_tasks()
    async with new_runtime() as runtime:
        run = asyncio.create_task(runtime.execute(source))
        await asyncio.sleep(0.5)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        assert runtime.events.statistics().subscriptions == 0
    assert asyncio.all_tasks() == before


async def test_a_callback_that_fails_or_hangs_is_told_and_the_rest_goes_on(lua, caplog):
    source = """
        local failures, seen = {}, {}
        Event.subscribe("subscriber.failed", function(event) failures[#failures + 1] = event.data.error end)
        Event.subscribe("a", function(event)
          if event.data == "raise" then error("oh no") end
          if event.data == "hang" then Task.sleep(60) end
          seen[#seen + 1] = event.data
        end, {timeout = 0.05})
        for _, data in ipairs{"raise", "hang", "fine"} do
          Event.publish("a", data)
        end
        Task.sleep(0.3)
        return {failures = failures, seen = seen, failed = Event.list()[2].failed}
    """
    with caplog.at_level(logging.WARNING, "llmspell.events"):
        result = await lua(source)
    assert result["seen"] == ["fine"]
    assert result["failed"] == 2
    assert "oh no" in result["failures"][0]
    assert "test.lua:5" in result["failures"][0]
    assert result["failures"][1] == "it took more than 0.05 s"
    assert "oh no" in caplog.text


async def test_a_callback_may_end_its_own_subscription(lua):
    source = """
        local seen = 0
        local subscription
        subscription = Event.subscribe("a", function()
          seen = seen + 1
          subscription:unsubscribe()
        end)
        for _ = 1, 3 do Event.publish("a") end
        Task.sleep(0.05)
        return {seen, #Event.list(), subscription:unsubscribe()}
    """
    assert await lua(source) == [1, 0, False]


async def test_streams_end_by_timeout_break_and_error(lua):
    source = """
        local seen = {}
        local function read(pattern, stop)
          for event in Event.stream(pattern, {timeout = 0.1}) do
            seen[#seen + 1] = event.data
            if event.data == stop then break end
            if event.data == "error" then error("stop") end
          end
        end
        local one = Task.spawn(read, "a", 2)
        local two = Task.spawn(pcall, read, "b")
        Task.sleep(0)
        for n = 1, 3 do Event.publish("a", n) end
        Event.publish("b", "error")
        one:await()
        two:await()
        table.sort(seen, function(a, b) return tostring(a) < tostring(b) end)
        read("c")
        return {seen, #Event.list()}
    """
    assert await lua(source) == [[1, 2, "error"], 0]


async def test_a_stream_whose_task_is_cancelled_ends(lua):
    source = """
        for _ = 1, 100 do
          try(Task.timeout, 0, function()
            for _ in Event.stream("never") do end
          end)
        end
        Task.sleep(0.01)
        return #Event.list()
    """
    assert await lua(source) == 0


async def test_polling(lua):
    source = """
        local subscription = Event.subscribe("a.*", {size = 2})
        for n = 1, 3 do Event.publish("a.b", n) end
        local list = Event.list()[1]
        local first = Event.receive(subscription)
        local second = Event.receive(subscription.id, 1)
        return {
          list.waiting, list.dropped, list.pattern,
          first.data, second.data, Event.receive(subscription, 0.01) == nil,
          Event.unsubscribe(subscription), Event.unsubscribe(subscription),
          select(2, pcall(Event.receive, subscription)).code,
        }
    """
    expected = [2, 1, "a.*", 2, 3, True, True, False, "invalid_arguments"]
    assert await lua(source) == expected


async def test_waiting(lua):
    source = """
        local task = Task.spawn(function() return Event.wait("job.*", {timeout = 5}) end)
        Task.sleep(0.01)
        Event.publish("job.done", {ok = true})
        local event = task:await()
        return {
          event.topic, event.data.ok, math.type(event.number), math.type(event.time),
          Event.wait("job.*", {replay = 1}).topic,
          Event.wait("job.*", {timeout = 0.01}) == nil,
        }
    """
    assert await lua(source) == ["job.done", True, "integer", "float", "job.done", True]


async def test_back_pressure_from_a_callback(lua):
    source = """
        local handled = 0
        Event.subscribe("a", function() Task.sleep(0) handled = handled + 1 end, {size = 5, overflow = "wait"})
        for n = 1, 50 do Event.publish("a", n) end
        local before = handled
        Task.sleep(0.2)
        return {before >= 40, handled, Event.statistics().dropped}
    """
    assert await lua(source) == [True, 50, 0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("Event.publish('a.*')", "only a pattern"),
        ("Event.publish('')", "a topic must be"),
        ("Event.publish('a', {f = print})", "function"),
        ("Event.publish('a', ('x'):rep(9 << 20))", "at most"),
        ("Event.subscribe('a..b')", "not a pattern"),
        ("Event.subscribe('a', 7)", "must be a function"),
        ("Event.subscribe('a', print, 7)", "must be a table"),
        ("Event.subscribe('a', {size = 0})", "size"),
        ("Event.subscribe('a', {size = 1e6 // 1 | 0})", "size: at most"),
        ("Event.subscribe('a', {overflow = 'x'})", "overflow"),
        ("Event.subscribe('a', {replay = -1})", "replay"),
        ("Event.subscribe('a', print, {timeout = 0 / 0})", "timeout"),
        ("Event.wait('a', {timeout = -1})", "timeout"),
        ("Event.wait('a.b*')", "not a pattern"),
        ("Event.receive('nobody')", "no subscription"),
        ("Event.receive(7)", "must be a subscription"),
        ("Event.stream('')", "a pattern must be"),
    ],
)
async def test_wrong_arguments(lua, call, message):
    code, text = await lua(
        f"local ok, e = pcall(function() {call} end) return {{e.code, e.message}}"
    )
    assert code == "invalid_arguments"
    assert message in text


async def test_a_spell_has_so_many_subscriptions(lua):
    source = f"""
        for _ = 1, {MAX_SUBSCRIPTIONS} do Event.subscribe("a") end
        return select(2, pcall(Event.subscribe, "a")).message
    """
    assert f"already has {MAX_SUBSCRIPTIONS} subscriptions" in await lua(source)


async def test_runs_share_the_bus_and_subscriptions_end_with_theirs(new_runtime):
    listener = """
        local seen = {}
        Task.spawn(Event.publish, "listener.ready")
        for event in Event.stream("news.*", {timeout = 20}) do
          seen[#seen + 1] = {event.data, event.source}
          if event.data == 3 then return seen end
        end
    """
    async with new_runtime(isolate=False) as runtime:
        listening = asyncio.create_task(runtime.execute(listener))
        await runtime.events.wait("listener.ready", 20)
        ids = runtime.events.stream("run.started")
        await runtime.execute("for n = 1, 2 do Event.publish('news.x', n) end")
        await runtime.events.publish("news.host", 3)
        speaker = (await ids.receive()).data["run"]
        assert await listening == [[1, speaker], [2, speaker], [3, "host"]]
        ids.close()
        assert runtime.events.statistics().subscriptions == 0


async def test_a_strangers_spell_hears_and_publishes_only_among_itself(new_runtime):
    source = """
        local heard = Event.subscribe("**", {replay = 100})
        Event.publish("mine", 1)
        Event.publish("run.ended", "a lie")
        add{a = 1}
        local topics = {}
        while true do
          local event = heard:receive(0)
          if not event then return topics end
          topics[#topics + 1] = event.topic
        end
    """
    stranger = parse_spell(source.encode(), name="x", file="x.lua", trusted=False)
    async with new_runtime(grants=Grants(tool=())) as runtime:
        await runtime.execute("Event.publish('secret', 1)")
        around = runtime.events.stream("**")
        assert await runtime.run(stranger) == [
            "run.started",
            "mine",
            "run.ended",
            "tool.started",
            "tool.ended",
        ]
        seen = [await around.receive(0) for _ in range(5)]
    assert [event and (event.topic, event.source) for event in seen] == [
        ("run.started", "runtime"),
        ("tool.started", "runtime"),
        ("tool.ended", "runtime"),
        ("run.ended", "runtime"),
        None,
    ]


CHILD = """
    local code = [[
      Event.publish("from.child", 1)
      local event = Event.wait("from.parent", {replay = 1, timeout = 0.05})
      return event and event.data
    ]]
    Event.publish("from.parent", "hello")
    local subscription = Event.subscribe("from.child")
    local heard = Spell.run(code, {OPTIONS})
    local event = subscription:receive(0)
    return {heard or "nothing", event and event.data or "nothing"}
"""


@pytest.mark.parametrize(
    ("options", "expected"),
    [("", ["nothing", "nothing"]), ('events = "shared"', ["hello", 1])],
)
async def test_a_text_shares_its_parents_events_only_if_granted(lua, options, expected):
    assert await lua(CHILD.replace("OPTIONS", options)) == expected


async def test_a_spell_with_a_name_shares_them_unless_told_otherwise(new_runtime, tmp_path):
    (tmp_path / "spells").mkdir()
    (tmp_path / "spells" / "child.lua").write_text("Event.publish('from.child', params)")
    source = """
        local subscription = Event.subscribe("from.child")
        Spell.run("child")
        Spell.run("child", {events = "own"})
        return Event.list()[1].waiting
    """
    async with new_runtime() as runtime:
        assert await runtime.execute(source) == 1


async def test_the_life_of_a_run(heard):
    events = await heard("return 1", "run.*")
    assert [topic for topic, _ in events] == ["run.started", "run.ended"]
    started, ended = (data for _, data in events)
    assert started == {"run": started["run"], "spell": "test.lua"}
    assert ended["run"] == started["run"]
    assert 0 < ended["seconds"] < 10


async def test_the_life_of_a_run_that_fails(heard):
    events = await heard("error('oh no')", "run.failed", fails=SpellRuntimeError)
    ((_, data),) = events
    assert data["error"]["code"] == "spell_runtime"
    assert "oh no" in data["error"]["message"]


async def test_the_life_of_a_runtime(new_runtime):
    topics = []
    runtime = new_runtime()
    runtime.events.subscribe("runtime.*", lambda event: topics.append(event.topic))
    async with runtime:
        pass
    assert topics == ["runtime.started", "runtime.stopped"]


async def test_tools_are_told_with_what_became_of_them(heard):
    source = """
        fetch_price{item = "tea"}
        pcall(fetch_price, {item = "unicorn"})
    """
    events = await heard(source, "tool.*", tools=[fetch_price])
    assert [topic for topic, _ in events] == [
        "tool.started",
        "tool.ended",
        "tool.started",
        "tool.failed",
    ]
    _, first = events[0]
    assert first == {"tool": "fetch_price", "run": first["run"], "path": "0/0"}
    _, failed = events[3]
    assert failed["error"]["code"] == "tool_error"
    assert failed["seconds"] >= 0


async def test_agents_are_told(heard):
    provider = ScriptedProvider(["hello"])
    source = 'Agent.create{name = "greeter"}:prompt("hi")'
    events = await heard(source, "agent.*", providers=[provider], model="scripted/x")
    assert [topic for topic, _ in events] == ["agent.started", "agent.ended"]
    assert events[0][1]["agent"] == "greeter"


async def test_changes_of_state_are_told(heard):
    source = """
        State.set("a", 1)
        State.update("a", function(old) return old + 1 end)
        State.increment("n")
        State.scope("cart").set("tea", 2)
        State.get("a")
        State.delete("a")
        State.delete("not there")
        pcall(State.set, "", 1)
    """
    events = await heard(source, "state.changed")
    assert [(d["effect"], d["scope"], d["key"]) for _, d in events] == [
        ("state.set", "", "a"),
        ("state.update", "", "a"),
        ("state.increment", "", "n"),
        ("state.set", "cart", "tea"),
        ("state.delete", "", "a"),
    ]


async def test_denials_and_limits_are_told(heard):
    source = "pcall(read_file, {path = '/etc/hostname'})"
    ((_, denied),) = await heard(source, "permission.denied")
    assert denied["effect"] == "tool.call"
    assert denied["kind"] == "read"
    ((_, exceeded),) = await heard(
        "while true do end",
        "limit.exceeded",
        fails=LimitExceeded,
        limits=Limits(instructions=1_000_000),
    )
    assert exceeded["limit"] == "instructions"
    assert exceeded["value"] == 1_000_000
    assert exceeded["where"] == "test.lua:1"


async def test_a_python_subscriber_that_hangs_or_raises_does_not_hold_up_a_run(new_runtime, caplog):
    async def hang(_):
        await asyncio.sleep(60)

    def fail(_):
        raise OSError("full disk")

    async with new_runtime() as runtime:
        runtime.events.subscribe("**", hang, overflow="wait", size=1)
        runtime.events.subscribe("tool.*", fail)
        async with asyncio.timeout(10):
            assert await runtime.execute("return add{a = 1}") == 2
    assert "full disk" in caplog.text


async def test_hooks_see_the_effects_of_events(new_runtime):
    seen = []
    async with new_runtime() as runtime:
        runtime.hooks.before("event.*")(lambda call: seen.append(call.effect.name))
        await runtime.execute("Event.publish('a') Event.wait('a', {replay = 1})")
    assert seen == ["event.publish", "event.wait"]


async def test_hooks_that_fail_are_told(new_runtime):
    def fail(_):
        raise ZeroDivisionError("oops")

    async with new_runtime() as runtime:
        runtime.hooks.before("tool.call", id="careless")(fail)
        stream = runtime.events.stream("hook.failed")
        assert await runtime.execute("return add{a = 1}") == 2
        event = await stream.receive(0)
    assert event.source == "runtime"
    assert event.data["hook"] == "careless"
    assert "oops" in event.data["message"]


async def test_a_hook_that_halts_receiving_ends_the_subscription(new_runtime, caplog):
    from llmspell import Halt

    async with new_runtime() as runtime:
        runtime.hooks.before("event.receive")(lambda _: Halt("no"))
        source = "Event.subscribe('a', print) Task.sleep(0.01) return #Event.list()"
        assert await runtime.execute(source) == 0
    assert "has ended: stopped by hook" in caplog.text
