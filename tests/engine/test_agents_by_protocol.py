"""Agents from Lua, and what goes over the wire in each protocol."""

from hashlib import blake2b

import pytest

from llmspell.config import Project, Settings
from llmspell.providers.catalogue import KINDS
from llmspell.providers.endpoints import Endpoint
from llmspell.providers.gemini import Gemini
from llmspell.providers.messages import Refusal, ToolCall
from llmspell.providers.settings import ProviderSettings
from llmspell.testing.fakes import Answer, FakeServer, Reasoning

pytestmark = pytest.mark.anyio

THOUGHT = Reasoning("I need the weather.", "c2lnbmVk")
CALLS = [ToolCall(f"t{n}", "weather", {"city": city}) for n, city in enumerate(("Oslo", "Rome"))]
SPELL = """
    Tool.define{
        name = "weather",
        description = "Weather now.",
        params = {city = "string"},
        run = function(args)
            if args.city == "Rome" then error("no such city") end
            return "4 degrees in " .. args.city
        end,
    }
    local agent = Agent.create{system = "Be brief.", tools = {"weather"}}
    local text = agent:prompt("Oslo or Rome?")
    local pieces = {}
    for piece in agent:stream("And in short?") do pieces[#pieces + 1] = piece end
    return {text, table.concat(pieces), #pieces > 1}
"""


def version(kind):
    """What stands between a server's address and the protocol's paths."""
    return "/v1" if kind.startswith("openai") else ""


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


async def test_tools_thoughts_and_pieces(kind, new_runtime, tmp_path):
    async with FakeServer([[THOUGHT, *CALLS], "Oslo: 4 degrees.", "Four degrees."]) as server:
        own = ProviderSettings(base_url=server.url + version(kind), kind=kind)
        settings = Settings(providers={"mock": own}, model="mock/m")
        async with new_runtime(project=Project(tmp_path, settings)) as runtime:
            result = await runtime.execute(SPELL, name="test.lua")
    assert result == ["Oslo: 4 degrees.", "Four degrees.", True]
    first, second, third = [request.body.decode() for request in server.requests]
    for said in ("Be brief.", "Weather now.", "Oslo or Rome?"):
        assert said in first
    for said in ("4 degrees in Oslo", "no such city"):
        assert said in second
    assert "And in short?" in third


@pytest.mark.parametrize(
    ("name", "known_as", "sent"),
    [("", "no-name", b"no-name"), ("the weather!", "the weather!", b"the_weather_")],
)
async def test_a_call_with_no_possible_name_fails_as_that_of_an_unknown_tool(
    kind, name, known_as, sent, new_runtime, tmp_path
):
    unknown = ToolCall("t0", name, {"city": "Oslo"})
    async with FakeServer([unknown, CALLS[:1], "4 degrees."] * 2) as server:
        own = ProviderSettings(base_url=server.url + version(kind), kind=kind)
        settings = Settings(providers={"mock": own}, model="mock/m")
        async with new_runtime(project=Project(tmp_path, settings)) as runtime:
            results = await runtime.execute("""
                Tool.define{name = "weather", params = {city = "string"}, run = function(args)
                    return "4 degrees in " .. args.city
                end}
                local agent = Agent.create{tools = {"weather"}}
                local stream = agent:stream("Oslo?")
                for _ in stream do end
                return {select(2, agent:prompt("Oslo?")), stream:response()}
            """)
    for answer in results:
        first, second = answer["tool_calls"]
        assert answer["text"] == "4 degrees."
        assert (first["error"], second["result"]) == (
            f"no tool named '{known_as}'",
            "4 degrees in Oslo",
        )
    assert all(sent in server.requests[n].body for n in (1, 4))  # what servers accept


async def test_a_refusal_is_streamed_too(kind, new_runtime, tmp_path):
    async with FakeServer([Answer(Refusal("I will not."))]) as server:
        own = ProviderSettings(base_url=server.url + version(kind), kind=kind)
        settings = Settings(providers={"mock": own}, model="mock/m")
        async with new_runtime(project=Project(tmp_path, settings)) as runtime:
            streamed, text = await runtime.execute("""
                local pieces, stream = {}, Agent.create{}:stream("Help me.")
                for piece in stream, nil, nil, stream do pieces[#pieces + 1] = piece end
                return {table.concat(pieces), stream:response().text}
            """)
    assert streamed == text == "I will not."


async def test_an_attached_text_stands_apart_from_the_prompt(kind, new_runtime, tmp_path):
    source = """
        local note = {data = "Buy tea.", name = "note.md"}
        return (Agent.create{}:prompt{text = "Read this", attachments = {note}})
    """
    async with FakeServer("Done.") as server:
        own = ProviderSettings(base_url=server.url + version(kind), kind=kind)
        settings = Settings(providers={"mock": own}, model="mock/m")
        async with new_runtime(project=Project(tmp_path, settings)) as runtime:
            await runtime.execute(source, name="test.lua")
    body = server.requests[0].json
    turn = (body.get("messages") or body.get("input") or body["contents"])[-1]
    parts = turn.get("content") or turn["parts"]
    assert [part["text"] for part in parts] == ["Read this", "note.md:\nBuy tea.\n"]


SIGNATURE = "dGhvdWdodCB3ZWF0aGVy"


def called(city):
    return {"name": "weather", "arguments": f'{{"city":"{city}"}}'}


KEPT = {
    "openai": {
        "role": "assistant",
        "content": None,
        "reasoning_content": "I need the weather.",
        "tool_calls": [
            {"id": "t0", "type": "function", "function": called("Oslo")},
            {"id": "t1", "type": "function", "function": called("Rome")},
        ],
    },
    "openai-responses": [
        {
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": "I need the weather."}],
            "encrypted_content": "c2lnbmVk",
        },
        {"type": "function_call", "call_id": "t0", **called("Oslo")},
        {"type": "function_call", "call_id": "t1", **called("Rome")},
    ],
    "anthropic": [
        {"type": "thinking", "thinking": "I need the weather.", "signature": "c2lnbmVk"},
        {"type": "tool_use", "id": "t0", "name": "weather", "input": {"city": "Oslo"}},
        {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Rome"}},
    ],
    "gemini": [
        {"thought": True, "text": "I need the weather."},
        {
            "functionCall": {"id": "t0", "name": "weather", "args": {"city": "Oslo"}},
            "thoughtSignature": SIGNATURE,
        },
        {
            "functionCall": {"id": "t1", "name": "weather", "args": {"city": "Rome"}},
            "thoughtSignature": SIGNATURE,
        },
    ],
}


@pytest.mark.parametrize("kind", KEPT)
async def test_what_a_model_said_goes_back_to_it_as_it_came(kind, new_runtime, tmp_path):
    async with FakeServer([[THOUGHT, *CALLS], "Oslo: 4 degrees.", "Four."]) as server:
        settings = Settings(
            providers={"mock": ProviderSettings(base_url=server.url + version(kind), kind=kind)},
            model="mock/gemini-3.8-flash",
        )
        async with new_runtime(project=Project(tmp_path, settings)) as runtime:
            await runtime.execute(SPELL, name="test.lua")
    kept = KEPT[kind]
    if kind == "openai-responses":  # where the id of a thought is of the answer to that request
        answered = blake2b(server.requests[0].body, digest_size=8).hexdigest()
        kept = [kept[0] | {"id": f"item_{answered}00000001"}, *kept[1:]]
    for request in server.requests[1:]:
        assert first_turn_of_the_model(kind, request.json) == kept


def first_turn_of_the_model(kind, body):
    if kind == "openai":
        return next(message for message in body["messages"] if message["role"] == "assistant")
    if kind == "openai-responses":
        begin = next(n for n, item in enumerate(body["input"]) if item.get("type") == "reasoning")
        return body["input"][begin : begin + 3]
    turns = body["messages" if kind == "anthropic" else "contents"]
    return turns[1]["content" if kind == "anthropic" else "parts"]


REWRITTEN = """
    Hook.before("model.request", function(call)
        call.args.%s
        return Hook.modify(call.args)
    end)
    local agent = Agent.create{tools = {}, output = {n = "integer"}}
    local ok, problem = pcall(agent.prompt, agent, "How many?")
    return {problem.code, problem.message}
"""


@pytest.mark.parametrize(
    "part",
    [
        "output = {type = 'object', description = 5}",
        "tools = {{name = 't', schema = {properties = {a = {description = 5}}}}}",
    ],
)
async def test_a_hook_that_makes_nonsense_of_a_schema_is_told(part, new_runtime, tmp_path):
    server = FakeServer()
    where = Endpoint("mock", "https://mock.example")
    provider = Gemini(where, transport=server.transport())
    options = {"providers": [provider], "model": "mock/gemini-3-pro"}
    async with new_runtime(project=Project(tmp_path, Settings()), **options) as runtime:
        code, message = await runtime.execute(REWRITTEN % part, name="test.lua")
    assert code == "invalid_arguments"
    assert "description: " in message
    assert "is not of type 'string'" in message
    assert server.requests == []
