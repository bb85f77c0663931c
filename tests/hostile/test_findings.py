"""What the campaigns of fuzz.py found, as small as it can be told."""

import gc
import threading
import time
from contextlib import suppress

import anyio
import pytest

from llmspell import Limits, Runtime, tool
from llmspell.config import Project
from llmspell.errors import LimitExceeded, LlmspellError, SpellRuntimeError
from llmspell.isolation.watchdog import Watchdog
from llmspell.isolation.worker import Worker
from llmspell.state import MemoryStore
from llmspell.threads import THREADS

pytestmark = pytest.mark.anyio


@pytest.fixture
def lua(tmp_path):
    async def run(source, **options):
        options |= {"project": Project(tmp_path), "store": MemoryStore()}
        async with Runtime(**options) as runtime:
            return await runtime.execute(source)

    return run


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            "Tool.define{name = 'made', timeout = 0/0, run = function() end} made{}",
            "must be a number of seconds above 0, such as 1m30s, not nan",
        ),
        (
            "local a = Agent.create{model = 'x/y', timeout = 0/0} a:prompt('hello')",
            "must be a number of seconds above 0, such as 1m30s, not nan",
        ),
        (
            "Tool.define{name = 'm', params = {a = 'any'}, run = print} Tool.call('m', JSON.null)",
            "'a' is a required property",
        ),
        ("Tool.call('hash', JSON.null)", "data"),
        (
            """
            local params = {type = "object", ["$ref"] = "#/default"}
            params.default = {patternProperties = {["^(a+)+$"] = {}}}
            Tool.define{name = "made", run = print, params = params}
            """,
            "does not lead to a part of the schema",
        ),
        ("template{text = ('{{a}}'):rep(100000), values = {a = ('x'):rep(100000)}}", "characters"),
    ],
)
async def test_what_was_a_fault_of_the_host_is_an_error_of_the_spell(lua, caplog, source, said):
    with pytest.raises(SpellRuntimeError, match=said) as caught:
        await lua(source)
    assert caught.value.cause.code in {"invalid_arguments", "tool_error"}
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_an_effect_that_is_cancelled_before_it_begins_leaves_nothing(lua, recwarn):
    """Its asyncio task is made at the end of a long slice, and cancelled in the next one."""
    await lua("""
        for _ = 1, 10 do
          local t = Task.spawn(Task.sleep, 1)
          print("it waits")
          for i = 1, 1200000 do end
          print("the slice is over")
          t:cancel()
        end
    """)
    gc.collect()
    assert not [str(warning.message) for warning in recwarn]


async def test_an_effect_that_takes_no_notice_of_its_cancellation_does_no_harm(lua, caplog):
    @tool
    async def stubborn() -> str:
        """Goes on for ever."""
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            return "no"

    assert (
        await lua(
            """
        local t = Task.spawn(stubborn, {})
        local other = Task.spawn(Task.sleep, 0.02)
        Task.sleep(0.01)
        t:cancel()
        other:await()
        return select(2, pcall(t.await, t)).code
        """,
            tools=[stubborn],
        )
        == "cancelled"
    )
    gc.collect()
    assert not caplog.records


async def test_a_worker_nobody_waits_for_may_be_lost(caplog):
    worker = Worker(Watchdog(), lambda *_: None)
    worker.connection_lost(None)
    with pytest.raises(EOFError):
        await worker.greet()
    del worker
    Worker(Watchdog(), lambda *_: None).connection_lost(None)
    gc.collect()
    assert not caplog.records


async def test_calls_that_are_given_up_do_not_pile_up_threads(lua):
    may_end, at_work = threading.Event(), []

    @tool
    def slow() -> str:
        """Blocks its thread."""
        at_work.append(threading.current_thread())
        may_end.wait(30)
        return "done"

    @tool
    async def release() -> None:
        """Lets the threads go on."""
        may_end.set()

    result = await lua(
        """
        local function give_up() pcall(Task.timeout, 0.001, slow, {}) end
        for _ = 1, 100 do give_up() end
        release()
        return slow()
        """,
        tools=[slow, release],
    )
    assert result == "done"
    assert len(at_work) == THREADS + 1


FILL = "local t = {} for i = 1, %d do t[i * %d] = true end "
CHAIN, HARMLESS = (
    (1 << 19) - 1,
    3,
)  # steps between keys; with the first, they are one chain in Lua's hash table


async def seconds_of_work(lua, source, **options):
    begin = time.process_time()
    with suppress(LlmspellError):
        await lua(source, limits=Limits(time=1), **options)
    return time.process_time() - begin


@pytest.mark.parametrize(
    ("n", "then"),
    [
        (262200, "pcall(State.set, 'a', t)"),
        (262200, "for i = 0, 61 do t[1 << i] = true end pcall(State.set, 'a', t)"),
        (32760, "for i = 1, 9 do Task.spawn(pcall, State.set, 'a' .. i, t) end"),
        (262200, "for i = 0, 61 do t[1 << i] = true end return t"),
    ],
    ids=["a table", "what looks like a list", "many at once", "a result"],
)
async def test_tables_whose_keys_are_hard_to_find_do_not_hold_up_the_host(lua, n, then):
    harmless = await seconds_of_work(lua, FILL % (n, HARMLESS) + then)
    hard = await seconds_of_work(lua, FILL % (n, CHAIN) + then)
    assert hard - harmless < 3


async def test_an_answer_whose_keys_are_hard_to_find_is_given_up(lua):
    @tool
    def numbers(step: int) -> dict[int, bool]:
        """What a server may have chosen."""
        return {n * step: True for n in range(320_000)}

    harmless = await seconds_of_work(lua, f"numbers{{step = {HARMLESS}}}", tools=[numbers])
    begin = time.process_time()
    with pytest.raises(LimitExceeded, match="time limit exceeded"):
        await lua(f"numbers{{step = {CHAIN}}}", tools=[numbers], limits=Limits(time=1))
    assert time.process_time() - begin - harmless < 3


async def test_a_value_has_not_too_many_numbers_as_keys(lua):
    """Python finds them by hashes that the spell can choose."""
    source = """
        local t = {}
        for i = 1, 1 << 15 do t[i + 0.5] = i end
        State.set("a", t)
        t[0] = 0
        State.set("a", t)
    """
    with pytest.raises(SpellRuntimeError, match="more than 32768 numbers as keys") as caught:
        await lua(source)
    assert caught.value.where == "chunk:6"


@pytest.mark.parametrize("isolate", [False, True], ids=["first", "second"])
async def test_what_the_host_keeps_is_limited(lua, isolate):
    """400 definitions of agents of a megabyte took 430 MB of the host."""
    source = """
        local s = ("x"):rep(1000000)
        for _ = 1, 400 do
          pcall(Agent.create, {system = s})
        end
    """
    with pytest.raises(LimitExceeded, match=r"too much kept by the host \(256 MiB\)"):
        await lua(source, isolate=isolate)


async def test_a_store_in_memory_is_limited(lua, monkeypatch):
    monkeypatch.setattr("llmspell.state.memory.ROOM", 1_000_000)
    source = """
        local s = ("x"):rep(100000)
        for _ = 1, 2 do
          for i = 1, 9 do State.set("k" .. i, s) end
          for i = 1, 9 do State.delete("k" .. i) end
        end
        for i = 1, 9 do State.set("k", s) end
        for i = 1, 20 do State.set("k" .. i, {s}) end
    """
    with pytest.raises(SpellRuntimeError, match="the store in memory is full") as caught:
        await lua(source)
    assert caught.value.cause.code == "state_error"
