"""Answers that reach the spell while the model still gives them, from a server that trickles."""

import asyncio
import gc
import json
from contextlib import asynccontextmanager

import anyio
import pytest

from llmspell import tool
from llmspell.agents.streams import Stream
from llmspell.config import Project, Settings
from llmspell.errors import ProviderError, SpellRuntimeError
from llmspell.hooks import Replace
from llmspell.providers.messages import TextDelta, ToolCall
from llmspell.providers.scripted import ScriptedProvider
from llmspell.providers.settings import ProviderSettings
from llmspell.runtime import Runtime
from llmspell.state import MemoryStore

pytestmark = pytest.mark.anyio


def chunk(delta=None, **fields):
    choice = {"index": 0, "delta": delta or {}, "finish_reason": None} | fields
    data = {"id": "1", "object": "chat.completion.chunk", "model": "m", "choices": [choice]}
    return f"data: {json.dumps(data)}\n\n".encode()


END = chunk(finish_reason="stop") + b"data: [DONE]\n\n"


KEEP = "Hook.before('{}', function() return Hook.cache('answer') end)"


class Trickle:
    """A server that gives an answer's words one at a time, each when it is told to."""

    def __init__(self):
        self.may_go_on = asyncio.Semaphore(0)
        self.hung_up = asyncio.Event()
        self.words = ["one ", "two ", "three"]
        self.written = 0

    async def talk(self, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        await reader.readexactly(length)
        watch = asyncio.create_task(self._watch(reader, asyncio.current_task()))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        try:
            for word in self.words:
                await self.may_go_on.acquire()
                writer.write(chunk({"content": word}))
                await writer.drain()
                self.written += 1
            writer.write(END)
            await writer.drain()
        except ConnectionError:
            self.hung_up.set()
        finally:
            watch.cancel()
            writer.close()

    async def _watch(self, reader, talking):
        """See that the other side goes, for which the end of the server would wait."""
        await reader.read()
        self.hung_up.set()
        talking.cancel()


@pytest.fixture
def trickle(tmp_path, isolate, lines):
    """A server and a runtime whose model is there; spells let it go on with `go_on()`."""

    @asynccontextmanager
    async def started():
        server = Trickle()

        @tool
        async def go_on(times: int = 1) -> None:
            for _ in range(times):
                server.may_go_on.release()

        @tool
        async def hung_up(seconds: float = 5) -> bool:
            with anyio.move_on_after(seconds):
                await server.hung_up.wait()
            return server.hung_up.is_set()

        async with await asyncio.start_server(server.talk, "127.0.0.1", 0) as listening:
            port = listening.sockets[0].getsockname()[1]
            provider = ProviderSettings(base_url=f"http://127.0.0.1:{port}/v1")
            project = Project(tmp_path, Settings(providers={"slow": provider}, model="slow/m"))
            async with Runtime(
                project=project,
                tools=[go_on, hung_up],
                store=MemoryStore(),
                isolate=isolate,
                output=lines.append,
            ) as runtime:
                server.runtime = runtime
                yield server

    return started


async def test_each_piece_arrives_before_the_next_is_sent(trickle):
    with anyio.fail_after(20):
        async with trickle() as server:
            result = await server.runtime.execute("""
                go_on{}
                local pieces = {}
                local stream = Agent.create{}:stream("Count.")
                for piece in stream do
                  pieces[#pieces + 1] = piece
                  go_on{}
                end
                local response = stream:response()
                return {pieces, response.text, response.finish_reason, response.steps}
            """)
    assert result == [["one ", "two ", "three"], "one two three", "stop", 1]


async def test_a_break_closes_the_connection_and_leaves_no_trace(trickle):
    with anyio.fail_after(20):
        async with trickle() as server:
            result = await server.runtime.execute("""
                go_on{}
                local agent = Agent.create{}
                local seen = {}
                local stream = agent:stream("Count.")
                for piece in stream, nil, nil, stream do
                  seen[#seen + 1] = piece
                  break
                end
                local response = stream:response()
                return {seen, hung_up{}, response.text, response.finish_reason,
                        response.usage.input_tokens > 0, #agent:history()}
            """)
    assert result == [["one "], True, "one ", "interrupted", True, 0]


@pytest.mark.parametrize(
    "source",
    [
        "for _ in agent:stream('Count.') do break end",
        "pcall(function() for _ in agent:stream('Count.') do error('enough') end end)",
        "local function first() for piece in agent:stream('Count.') do return piece end end first()",
        "do local stream <close> = agent:stream('Count.') stream() end",
        "Task.all{function() agent:stream('Count.')() end}",
        "pcall(Task.timeout, 1.5, function() for _ in agent:stream('Count.') do end end)",
        "local t = Task.spawn(function() for _ in agent:stream('Count.') do end end) Task.sleep(1.5) t:cancel()",
        "agent:prompt('Count.', {on_text = function() end, timeout = 1.5})",
    ],
)
async def test_whatever_ends_the_loop_ends_the_request(trickle, source):
    with anyio.fail_after(20):
        async with trickle() as server:
            assert await server.runtime.execute(f"""
                go_on{{}}
                local agent = Agent.create{{}}
                pcall(function() {source} end)
                return hung_up{{}}
            """)


async def test_the_end_of_the_run_ends_the_request(trickle):
    with anyio.fail_after(20):
        async with trickle() as server:
            await server.runtime.execute("go_on{} Agent.create{}:stream('Count.')()")
            with anyio.fail_after(5):
                await server.hung_up.wait()


async def test_a_slow_spell_holds_up_the_model(trickle):
    """What is not read stays in the server, but for what fits into buffers on the way."""
    with anyio.fail_after(60):
        async with trickle() as server:
            server.words = ["x" * 30_000] * 3000
            result = await server.runtime.execute("""
                go_on{times = 3000}
                local stream <close> = Agent.create{}:stream("Much.")
                stream()
                Task.sleep(1)
            """)
            assert result is None
            assert server.written < 1500


@pytest.fixture
def script(new_runtime):
    async def run(source, replies, *, before=None, after=None, **options):
        provider = ScriptedProvider(replies)
        async with new_runtime(model="scripted/m", providers=[provider], **options) as runtime:
            if before:
                runtime.hooks.before("model.request")(before)
            if after:
                runtime.hooks.after("model.request")(after)
            return await runtime.execute(source, name="test.lua"), provider.requests

    return run


async def test_all_that_happens_is_an_event(script):
    result, _ = await script(
        """
        local events = {}
        local agent = Agent.create{name = "clerk", tools = {"add"}}
        for event in agent:events("go") do events[#events + 1] = event end
        return {events, #agent:history()}
        """,
        [["adding", ToolCall("1", "add", {"a": 2}), ToolCall("2", "add", {})], "so three"],
    )
    failed = result[0][5].pop("error")
    assert "required" in failed
    assert result == [
        [
            {"type": "step", "number": 1, "agent": "clerk"},
            {"type": "text", "text": "adding"},
            {"type": "tool_call", "id": "1", "name": "add", "arguments": {"a": 2}},
            {"type": "tool_call", "id": "2", "name": "add", "arguments": []},
            {"type": "tool_result", "id": "1", "name": "add", "result": 3},
            {"type": "tool_result", "id": "2", "name": "add"},
            {"type": "step", "number": 2, "agent": "clerk"},
            {"type": "text", "text": "so"},
            {"type": "text", "text": " three"},
            {"type": "answer", "text": "so three"},
        ],
        4,
    ]


async def test_on_text_is_told_and_prompt_answers_as_ever(script):
    result, _ = await script(
        """
        local pieces = {}
        local function add_piece(piece) pieces[#pieces + 1] = piece end
        local agent = Agent.create{on_text = add_piece}
        local first = agent:prompt("go")
        local text, response = agent:fork():prompt("go", {on_text = function(p) add_piece(p:upper()) end})
        return {pieces, first, text, response.steps}
        """,
        ["a b", "c d"],
    )
    assert result == [["a", " b", "C", " D"], "a b", "c d", 1]


async def test_the_pieces_are_in_the_result_of_the_request(script):
    seen = []

    def watch(call):
        seen.append((call.effect.args["stream"], call.result["pieces"][0][0]))

    result, _ = await script(
        """
        local pieces = {}
        for piece in Agent.create{}:stream("go") do pieces[#pieces + 1] = piece end
        return pieces
        """,
        ["a b"],
        after=watch,
    )
    assert result == ["a", " b"]
    assert seen == [(True, "a")]


@pytest.mark.parametrize(
    ("fields", "told"),
    [({"pieces": [["k", {"reasoning": "r"}], ["ept"]]}, ["k", "ept"]), ({}, ["kept"])],
)
async def test_a_result_from_elsewhere_is_told_as_it_was_cut(script, fields, told):
    kept = {"message": {"role": "assistant", "content": "kept"}, "finish_reason": "stop"} | fields
    result, requests = await script(
        """
        local pieces = {}
        for piece in Agent.create{}:stream("go") do pieces[#pieces + 1] = piece end
        return pieces
        """,
        [],
        before=lambda _: Replace(kept),
    )
    assert (result, requests) == (told, [])


async def test_an_error_is_raised_by_the_loop(script):
    result, _ = await script(
        """
        local agent = Agent.create{}
        local ok, e = pcall(function() for _ in agent:stream("go") do end end)
        local again = agent:stream("go")
        local ok2, e2 = pcall(again.response, again)
        local ok3, e3 = pcall(again.response, again)
        return {e.code, e2.message, e3.message, #agent:history()}
        """,
        [ProviderError("no"), ProviderError("nor now")],
    )
    assert result == ["provider_error", "nor now", "nor now", 0]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("for _ in Agent.create{}:stream('') do end", "empty"),
        ("Agent.create{}:prompt('x', {on_text = 5})", "on_text must be a function"),
        ("for _ in Agent.create{model = 'nobody/x'}:stream('x') do end", "no provider named"),
    ],
)
async def test_mistakes_are_explained(script, source, said):
    with pytest.raises(SpellRuntimeError, match=said):
        await script(source, [])


@pytest.mark.parametrize(("at", "done"), [("tool_call", []), ("tool_result", ["began", "ended"])])
async def test_a_break_cancels_a_tool_in_progress_and_begins_nothing(script, at, done):
    did = []

    @tool
    async def quick() -> None:
        pass

    @tool
    async def linger() -> None:
        did.append("began")
        try:
            await anyio.sleep(30)
        finally:
            did.append("ended")

    with anyio.fail_after(10):
        result, requests = await script(
            f"""
            local stream = Agent.create{{tools = {{"quick", "linger"}}}}:events("go")
            for event in stream, nil, nil, stream do
              if event.type == "{at}" then break end
            end
            return stream:response().finish_reason
            """,
            [[ToolCall("1", "quick"), ToolCall("2", "linger")], "never"],
            tools=[quick, linger],
        )
    assert (result, did, len(requests)) == ("interrupted", done, 1)


async def test_who_breaks_off_is_not_told_of_errors(new_runtime):
    class Failing(ScriptedProvider):
        async def stream(self, request):
            yield TextDelta("one")
            raise ProviderError("broken")

    async with new_runtime(model="scripted/m", providers=[Failing([])]) as runtime:
        result = await runtime.execute("""
            local stream = Agent.create{}:stream("go")
            for piece in stream, nil, nil, stream do Task.sleep(0.05) break end
            local ok, e = pcall(stream.response, stream)
            return {ok, e.message}
        """)
    assert result == [False, "broken"]


async def test_no_fallback_follows_a_part_of_an_answer_that_a_hook_asks_for_again(new_runtime):
    class Failing(ScriptedProvider):
        async def stream(self, request):
            yield TextDelta("one")
            raise ProviderError("broken")

    providers = [Failing([]), ScriptedProvider(["another"], name="other")]
    async with new_runtime(model="scripted/m", providers=providers) as runtime:
        result = await runtime.execute("""
            Hook.on_error("model.request", function() return Hook.retry() end)
            local heard = {}
            local agent = Agent.create{fallback = {"other/m"}}
            local ok, e = pcall(function()
              for piece in agent:stream("go") do heard[#heard + 1] = piece end
            end)
            return {heard, ok, e.details.pieces}
        """)
    assert result == [["one"], False, [["one"]]]


@pytest.mark.parametrize("keep", ["Hook.use('cache')", KEEP.format("agent.run")])
async def test_a_part_of_an_answer_is_not_cached(trickle, keep):
    with anyio.fail_after(20):
        async with trickle() as server:
            result = await server.runtime.execute(f"""
                {keep}
                go_on{{}}
                for piece in Agent.create{{}}:stream("Count.") do break end
                local heard = {{}}
                go_on{{times = 8}}
                for piece in Agent.create{{}}:stream("Count.") do heard[#heard + 1] = piece end
                return table.concat(heard)
            """)
    assert result == "one two three"


async def test_a_break_at_the_last_piece_is_a_break(script):
    """Whether the model was done by then depends on who is faster, so it must not matter."""
    result, _ = await script(
        """
        local agent = Agent.create{}
        local stream = agent:stream("go")
        for piece in stream, nil, nil, stream do
          Task.sleep(0.05)
          if piece == " b" then break end
        end
        return {stream:response().finish_reason, #agent:history()}
        """,
        ["a b"],
    )
    assert result == ["interrupted", 0]


@pytest.mark.parametrize(
    "prompt",
    [
        "agent:prompt('again')",
        "agent:stream('again')()",
        "Task.map({1}, function() agent:prompt('again') end)",
    ],
)
async def test_an_agent_is_not_waited_for_by_who_takes_what_it_says(script, prompt):
    with anyio.fail_after(10):
        result, _ = await script(
            f"""
            local agent = Agent.create{{}}
            local ok, e
            for piece in agent:stream("go") do
              ok, e = pcall(function() {prompt} end)
              break
            end
            return {{e.code, (agent:fork():prompt("fork")), (agent:prompt("after"))}}
            """,
            ["one two", "forked", "done"],
        )
    assert result == ["agent_error", "forked", "done"]


async def test_tasks_take_turns_with_streams_of_one_agent(script):
    with anyio.fail_after(10):
        result, _ = await script(
            """
            local agent = Agent.create{}
            local texts = Task.map({"a", "b", "c"}, function(word)
              local text = ""
              for piece in agent:stream(word) do text = text .. piece end
              return text
            end)
            return {texts, #agent:history()}
            """,
            lambda request: request.messages[-1].text * 2,
        )
    assert result == [["aa", "bb", "cc"], 6]


@pytest.mark.parametrize(
    ("answer", "heard"),
    [
        ("Hook.replace{text = 'tea'}", ["tea", "answer=tea", "tea", "tea"]),
        ("Hook.replace{data = {1}}", ["", "answer=nil", "table", "nil"]),
        ("Hook.skip()", ["", "", "nil", "nil"]),
    ],
)
async def test_a_stream_ends_when_a_hook_answers_instead_of_the_agent(script, answer, heard):
    result, requests = await script(
        f"""
        Hook.before("agent.run", function() return {answer} end)
        local agent = Agent.create{{}}
        local pieces, events = "", ""
        for piece in agent:stream("go") do pieces = pieces .. piece end
        for event in agent:events("go") do events = event.type .. "=" .. tostring(event.text) end
        local said = agent:prompt("go", {{on_text = function() end}})
        local response = agent:execute("go")
        return {{pieces, events, type(said) == "string" and said or type(said), tostring(response and response.text)}}
        """,
        [],
    )
    assert result == heard
    assert requests == []


@pytest.mark.parametrize("phase", ["before", "after"])
@pytest.mark.parametrize("how", ["prompt('go')", "stream('go'):response()"])
async def test_an_answer_of_a_hook_that_is_no_table_is_refused(script, phase, how):
    source = f"""
        Hook.{phase}("model.request", function() return Hook.replace("tea") end)
        Agent.create{{}}:{how}
    """
    said = "model.request: the result that a hook gave it must be a table .*, not 'tea'"
    with pytest.raises(SpellRuntimeError, match=said):
        await script(source, ["coffee"])


@pytest.mark.parametrize("how", ["prompt('go')", "stream('go')()"])
async def test_an_agent_whose_request_is_skipped_has_no_answer(script, how):
    source = f"""
        Hook.before("model.request", function() return Hook.skip() end)
        Agent.create{{}}:{how}
    """
    with pytest.raises(SpellRuntimeError, match="a hook skipped the request to scripted/m, so"):
        await script(source, [])


@pytest.mark.parametrize("how", ["prompt('go')", "stream('go')()", "events('go'):response()"])
async def test_no_hook_answers_a_prompt_with_what_is_no_table(script, how):
    source = f"""
        Hook.before("agent.run", function() return Hook.replace("tea") end)
        Agent.create{{}}:{how}
    """
    said = (
        r"agent.run: the result that a hook gave it must be a table such as \{text = …\}, not 'tea'"
    )
    with pytest.raises(SpellRuntimeError, match=said):
        await script(source, [])


async def test_many_streams_at_once_do_not_mix(script):
    result, _ = await script(
        """
        local list = {}
        for i = 1, 64 do list[i] = tostring(i) end
        return Task.map(list, function(word)
          local text = ""
          for piece in Agent.create{}:stream(word) do text = text .. piece end
          return text
        end)
        """,
        lambda request: f"{request.messages[0].text} is the word",
    )
    assert result == [f"{i} is the word" for i in range(1, 65)]


async def test_streams_leave_nothing_behind(script):
    await script(
        """
        for i = 1, 20 do
          for _ in Agent.create{}:stream("go") do if i % 2 == 0 then break end end
          Task.all{function() Agent.create{}:stream("go")() end}
          if i == 20 then count{} end
        end
        """,
        lambda _: "some words to say",
        tools=[_count_streams],
    )
    assert _count_streams.found == 0


def _count() -> None:
    gc.collect()
    _count_streams.found = sum(isinstance(o, Stream) for o in gc.get_objects())


_count_streams = tool(name="count")(_count)


async def test_a_text_without_pieces_is_one_piece(new_runtime):
    class Whole(ScriptedProvider):
        async def stream(self, request):
            yield await self.complete(request)

    async with new_runtime(providers=[Whole(["One two."])], model="scripted/any") as runtime:
        source = "local s = Agent.create{}:stream('Hi') return {s(), s()}"
        assert await runtime.execute(source) == ["One two."]


@pytest.mark.parametrize("begun", ["", "s()"])
@pytest.mark.parametrize("read", ["s()", "s:response()"])
async def test_a_stream_cannot_be_read_when_its_task_has_ended(new_runtime, begun, read):
    """Nobody runs its prompt any more, so the reader would wait for ever."""
    provider = ScriptedProvider(["One two."])
    async with new_runtime(providers=[provider], model="scripted/any") as runtime:
        source = f"""
            local agent, s = Agent.create{{}}
            Task.timeout(5, function() s = agent:stream("Hi") {begun} end)
            local _, problem = try(function() {read} end)
            return {{problem.code, problem.message, #agent:history()}}
        """
        with anyio.fail_after(10):
            code, message, length = await runtime.execute(source)
    assert (code, length) == ("agent_error", 0)
    assert message == "the stream is closed: the task that opened it has ended"


async def test_two_tasks_cannot_wait_for_the_same_stream(trickle):
    """One of them would miss pieces, and wait for ever at the end."""
    async with trickle() as server:
        source = """
            local s = Agent.create{}:stream("Hi")
            local function read() return s() end
            local timed_out = try(Task.timeout, 0.05, read) == nil
            local _, problem = try(Task.all, {read, read})
            go_on{}
            local first = s()
            s:close()
            return {timed_out, problem.message, first}
        """
        with anyio.fail_after(10):
            result = await server.runtime.execute(source)
    assert result == [True, "the stream is being read by another task", "one "]
