from typing import Any

import anyio
import pytest

from llmspell.agents.agent import Agent, Agents
from llmspell.agents.answer import as_text
from llmspell.agents.loop import prompt
from llmspell.agents.model_calls import PATIENCE
from llmspell.effects import Effect
from llmspell.errors import AgentError, LimitExceeded, ProviderError, ToolError, UnknownEffect
from llmspell.hooks import Hooks, Modify
from llmspell.providers.messages import Message, ModelResponse, Refusal, ToolCall, Usage
from llmspell.tools.lua_tool import LuaTool
from llmspell.tools.registry import Tools
from llmspell.tools.tool import tool
from llmspell.values import LuaFunction

pytestmark = pytest.mark.anyio


@tool
async def add(a: int, b: int = 1) -> int:
    """Adds."""
    return a + b


@tool
async def fail(kind: str = "tool") -> None:
    if kind == "limit":
        raise LimitExceeded("full", limit="effects", value=5)
    raise ToolError("broken", hint="mend it")


def call(name, /, **arguments):
    return ToolCall("", name, arguments)


@pytest.fixture
def ask(new_run):
    """Prompts an agent whose model is scripted; gives the answer, the agent and the run."""

    async def ask(*replies, text="hi", path="0/4", **fields):
        run = new_run(replies=replies)
        for entry in (add, fail):
            run[Tools].register(entry.name, entry)
        agent = Agent("agent-1", **fields)
        run[Agents][agent.id] = agent
        ask.agent, ask.run = agent, run
        return await again(text, path)

    async def again(text, path="0/5"):
        effect = Effect("agent.run", {}, path, ask.run)
        return await prompt(effect, ask.agent, Message.of("user", text), model="scripted/any")

    ask.again = again
    return ask


def texts(messages):
    return [(m.role, m.text) for m in messages]


async def test_a_text_is_the_answer(ask):
    answer = await ask("hello", system="Be brief.", asks={"temperature": 0.5, "max_tokens": 9})
    assert (answer.text, answer.data, answer.steps, answer.tool_calls) == ("hello", None, 1, [])
    assert (answer.finish_reason, answer.model) == ("stop", "scripted/any")
    [request] = ask.run.model.requests
    assert (request.system, request.temperature, request.max_tokens) == ("Be brief.", 0.5, 9)
    assert texts(ask.agent.history) == [("user", "hi"), ("assistant", "hello")]
    assert ask.agent.active == set()


async def test_the_conversation_goes_on(ask):
    await ask("one", "two")
    await ask.again("more")
    assert texts(ask.run.model.requests[1].messages) == [
        ("user", "hi"),
        ("assistant", "one"),
        ("user", "more"),
    ]
    assert len(ask.agent.history) == 4


async def test_tools_are_described_called_and_answered_in_order(ask):
    answer = await ask(
        [call("add", a=1, b=2), call("add", a=5)], "done", tools=("add",), path="0/4"
    )
    assert (answer.text, answer.steps) == ("done", 2)
    assert answer.tool_calls == [
        {"name": "add", "arguments": {"a": 1, "b": 2}, "result": 3},
        {"name": "add", "arguments": {"a": 5}, "result": 6},
    ]
    first, second = ask.run.model.requests
    assert [(t.name, t.description) for t in first.tools] == [("add", "Adds.")]
    assert first.tools[0].schema["required"] == ["a"]
    results = second.messages[-1].content
    assert [Message("tool", r.content).text for r in results] == ["3", "6"]
    assert [r.id for r in results] == [c.id for c in second.messages[-2].tool_calls]
    assert ask.run.paths == [
        ("0/4/0", "model.request"),
        ("0/4/1", "tool.call"),
        ("0/4/2", "tool.call"),
        ("0/4/3", "model.request"),
    ]


async def test_paths_and_results_do_not_depend_on_timing(ask):
    @tool
    async def slow(n: int) -> int:
        await anyio.sleep(0.02 / n)
        return n

    answer = await ask([call("slow", n=n) for n in (1, 2, 3)], "done", tools=(slow,))
    assert [c["result"] for c in answer.tool_calls] == [1, 2, 3]
    assert [p for p, _ in ask.run.paths] == ["0/4/0", "0/4/1", "0/4/2", "0/4/3", "0/4/4"]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (call("fail"), "broken (mend it)"),
        (call("add"), "a is required"),
        (call("add", a="x"), "a: "),
        (call("ad", a=1), "add"),
        (ToolCall("", "add", {}, problem="not JSON", raw="{"), "not JSON"),
    ],
)
async def test_what_goes_wrong_is_told_to_the_model(ask, asked, said):
    answer = await ask(asked, "sorry", tools=("add", "fail"))
    result = ask.run.model.requests[1].messages[-1].content[0]
    assert result.is_error
    assert said in Message("tool", result.content).text
    assert answer.text == "sorry"
    assert "result" not in answer.tool_calls[0]
    assert answer.tool_calls[0]["error"]


async def test_a_limit_breached_in_a_tool_ends_the_run_as_it_is(ask):
    with pytest.raises(LimitExceeded) as caught:
        await ask(
            [call("add", a=1), call("fail", kind="limit"), call("add", a=2)], tools=("fail", "add")
        )
    assert caught.value.limit == "effects"
    assert ask.agent.active == set()
    assert not ask.agent.lock.locked()


@pytest.mark.parametrize(
    "replies",
    [
        [],
        [ProviderError("down")],
        [call("add", a=1), ProviderError("down")],
        [call("add", a=1)] * 3,
    ],
)
async def test_a_failed_prompt_leaves_no_trace(ask, replies):
    with pytest.raises((AgentError, ProviderError)):
        await ask(*replies, tools=("add",), max_steps=3)
    assert ask.agent.history == []
    assert ask.agent.active == set()


async def test_too_many_steps_are_told_with_what_was_done(ask):
    with pytest.raises(AgentError, match="2 steps") as caught:
        await ask(call("add", a=1), call("add", a=2), tools=("add",), max_steps=2)
    assert caught.value.details["max_steps"] == 2
    assert [c["result"] for c in caught.value.details["tool_calls"]] == [2, 3]
    assert "max_steps" in caught.value.hint
    assert len(ask.run.model.requests) == 2


async def test_an_unknown_tool_is_found_before_the_model_is_asked(ask):
    with pytest.raises(UnknownEffect, match="ad"):
        await ask("x", tools=("ad",))
    assert ask.run.model.requests == []


async def test_an_agents_own_tool_goes_before_the_runs(ask):
    await ask("ready", call("add", a=1), "done")
    ask.run.functions.append(lambda args: {"sum": args["a"], "raw": b"\xff", "f": LuaFunction(1)})
    own = LuaTool("add", LuaFunction(0), params={"a": "integer"}, description="Mine.")
    ask.agent.tools = (own,)
    answer = await ask.again("go")
    assert answer.tool_calls[0]["result"]["sum"] == 1
    assert ask.run.model.requests[-1].tools[0].description == "Mine."
    shown = ask.run.model.requests[-1].messages[-1].content[0].content[0].text
    assert '"sum": 1' in shown


async def test_usage_is_that_of_all_steps(ask):
    def costing(said, n):
        return ModelResponse(Message.of("assistant", said), Usage(n, 2 * n, 1, 0), model="real-1")

    answer = await ask(
        costing(ToolCall("c", "add", {"a": 1}), 3), costing("done", 4), tools=("add",)
    )
    assert answer.usage == Usage(7, 14, 2, 0)
    assert answer.model == "real-1"
    assert answer.as_plain()["usage"]["input_tokens"] == 7


# Output


SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


async def test_structured_output_is_decoded(ask):
    answer = await ask('{"n": 3}', output=SCHEMA)
    assert answer.data == {"n": 3}
    assert answer.text == '{"n": 3}'
    assert ask.run.model.requests[0].output == SCHEMA


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("three", "not valid JSON"),
        ("", "not valid JSON"),
        ('{"n": "3"}', "n: "),
        ("[]", "'n'"),
        ("[" * 100_000, "not valid JSON"),
    ],
    ids=lambda text: text[:9],
)
async def test_output_that_does_not_fit_is_an_error(ask, text, said):
    with pytest.raises(AgentError, match="does not match") as caught:
        await ask(text, output=SCHEMA, retries=0)
    assert said in caught.value.message
    assert caught.value.details["text"] == text
    assert ask.agent.history == []


async def test_output_cut_short_says_so(ask):
    cut = ModelResponse(Message.of("assistant", '{"n":'), finish_reason="length")
    with pytest.raises(AgentError, match="max_tokens"):
        await ask(cut, output=SCHEMA, retries=0)


async def test_a_refusal_is_an_answer(ask):
    answer = await ask(Message.of("assistant", Refusal("I will not.")), output=SCHEMA)
    assert (answer.text, answer.data) == ("I will not.", None)


# Turns


async def test_prompts_of_one_agent_take_turns(ask):
    going = []

    async def slow(request):
        going.append(len(going))
        assert len(request.messages) == 2 * len(going) - 1
        await anyio.sleep(0.01)
        return "ok"

    await ask(slow, slow, slow)
    async with anyio.create_task_group() as group:
        group.start_soon(ask.again, "a", "0/5")
        group.start_soon(ask.again, "b", "0/6")
    assert len(ask.agent.history) == 6


@pytest.mark.parametrize(
    ("path", "inside"), [("0/4/1/0", True), ("0/4.0/2", True), ("0/40", False), ("0/3", False)]
)
async def test_an_agent_cannot_be_prompted_from_within(ask, path, inside):
    await ask("one", "two")
    ask.agent.active.add("0/4")
    if inside:
        with pytest.raises(AgentError, match="own tool"):
            await ask.again("x", path)
    else:
        assert (await ask.again("x", path)).text == "two"


async def test_a_cancelled_prompt_lets_the_next_one_in(ask):
    async def forever(request):
        await anyio.sleep(9)

    with anyio.move_on_after(0.01) as scope:
        await ask(forever, "next")
    assert scope.cancelled_caught
    assert (await ask.again("hi")).text == "next"
    assert len(ask.agent.history) == 2


async def test_hooks_see_what_an_agent_asks_for(ask):
    await ask("one", "two")

    @ask.run[Hooks].before("model.request")
    def redact(call):
        assert call.effect.args["model"] == "scripted/any"
        return Modify(call.effect.args | {"system": "Say no."})

    @ask.run[Hooks].after("model.request")
    def shout(call):
        message = call.result["message"] | {"content": call.result["message"]["content"].upper()}
        return Modify(call.result | {"message": message})

    assert (await ask.again("hi")).text == "TWO"
    assert ask.run.model.requests[-1].system == "Say no."


async def test_a_fork_goes_its_own_way(ask):
    await ask("one", "two", asks={"temperature": 0.1})
    twin = ask.agent.fork("agent-2")
    assert (twin.id, twin.asks, twin.active) == ("agent-2", {"temperature": 0.1}, set())
    assert twin.lock is not ask.agent.lock
    await ask.again("more")
    assert (len(twin.history), len(ask.agent.history)) == (2, 4)


def test_agents_are_found_by_id():
    agents = Agents()
    agents["a"] = Agent("a")
    assert agents.find("a").name == "agent"
    with pytest.raises(AgentError, match="'b'"):
        agents.find("b")


# Results as text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain text", "plain text"),
        (b"bytes \xff", "bytes \ufffd"),
        (None, "null"),
        (True, "true"),
        (1.5, "1.5"),
        ([1, "é"], '[1, "é"]'),
        ({"a": {"b": b"\xff"}}, '{"a": {"b": "\ufffd"}}'),
        ({b"\xff": 1, 2: 3}, '{"2": 3, "\ufffd": 1}'),
        ([LuaFunction(1)], '["<function>"]'),
    ],
    ids=repr,
)
def test_a_result_is_shown_as_text_or_json(value, text):
    assert as_text(value) == text


# Other models


def down(status=503, **fields):
    return ProviderError("down", status=status, retryable=status in (429, 503), **fields)


async def test_a_fallback_answers_when_the_model_cannot(ask):
    answer = await ask(
        down(), down(401), "hello", model="scripted/a", fallback=("scripted/b", "scripted/c")
    )
    assert (answer.text, answer.model) == ("hello", "scripted/c")
    assert answer.failed == [
        {"model": "scripted/a", "code": "provider_error", "message": "down"},
        {"model": "scripted/b", "code": "provider_error", "message": "down"},
    ]
    requests = ask.run.model.requests
    assert [r.model for r in requests] == ["scripted/a", "scripted/b", "scripted/c"]
    assert [r.patience for r in requests] == [PATIENCE, PATIENCE, None]
    assert [name for _, name in ask.run.paths] == ["model.request"] * 3


async def test_the_one_that_answered_goes_on_and_the_next_prompt_begins_anew(ask):
    await ask(
        down(), call("add", a=1), "done", "again",
        model="scripted/a", fallback=("scripted/b",), tools=("add",),
    )  # fmt: skip
    await ask.again("more")
    models = [r.model for r in ask.run.model.requests]
    assert models == ["scripted/a", "scripted/b", "scripted/b", "scripted/a"]


async def test_the_last_models_error_is_raised(ask):
    last = ProviderError("last", status=401, hint="check the key")
    with pytest.raises(ProviderError) as caught:
        await ask(down(), last, model="scripted/a", fallback=("scripted/b",))
    assert caught.value.message == "last; before that, scripted/a failed: down"
    assert (caught.value.hint, caught.value.status) == ("check the key", 401)
    assert [one["model"] for one in caught.value.details["failed"]] == ["scripted/a"]
    assert last.message == "last"
    assert ask.agent.history == []


async def test_no_other_model_goes_on_with_an_answer_that_was_seen_in_part(ask):
    seen = down(details={"pieces": ["Well"]})
    with pytest.raises(ProviderError, match="down"):
        await ask(seen, "never", model="scripted/a", fallback=("scripted/b",))
    assert len(ask.run.model.requests) == 1


async def test_a_misspelt_model_is_not_gone_around(ask):
    with pytest.raises(UnknownEffect):
        await ask("never", model="nobody/a", fallback=("scripted/b",))


async def test_a_model_is_asked_again_for_what_may_pass(ask):
    answer = await ask(down(429, details={"retry_after": 0.01}), "hello", attempts=2)
    assert answer.text == "hello"
    assert [name for _, name in ask.run.paths] == ["model.request", "task.sleep", "model.request"]
    for error in (down(400), down(429, details={"retry_after": 999})):
        with pytest.raises(ProviderError):
            await ask(error, "never", attempts=2)


async def test_a_long_pause_is_not_waited_out_while_there_is_another_model(ask):
    busy = down(429, details={"retry_after": 30})
    answer = await ask(busy, "hello", attempts=3, model="scripted/a", fallback=("scripted/b",))
    assert answer.model == "scripted/b"


# Repairs


async def test_an_answer_that_does_not_fit_is_shown_to_the_model(ask):
    answer = await ask("nonsense", '{"n": "x"}', '{"n": 3}', output=SCHEMA)
    assert (answer.data, answer.steps) == ({"n": 3}, 3)
    assert answer.usage.output_tokens == 2 + 3 + 2
    last = ask.run.model.requests[-1].messages
    assert [m.role for m in last] == ["user", "assistant", "user", "assistant", "user"]
    assert "not valid JSON" in last[2].text
    assert "n: " in last[4].text


async def test_repairs_do_not_count_as_steps_and_are_bounded(ask):
    with pytest.raises(AgentError, match="does not match"):
        await ask("no", "no", "no", "never", output=SCHEMA, retries=2, max_steps=1)
    assert len(ask.run.model.requests) == 3


async def test_json_in_a_fence_is_json(ask):
    assert (await ask('```json\n{"n": 3}\n```', output=SCHEMA)).data == {"n": 3}


def results_of(ask, request):
    return ask.run.model.requests[request].messages[-1].content


# Bounds of tools


async def test_no_more_tool_calls_than_allowed(ask):
    answer = await ask(
        [call("add", a=1), call("add", a=2), call("add", a=3)], "three",
        tools=("add",), max_tool_calls=2,
    )  # fmt: skip
    assert [c["result"] for c in answer.tool_calls] == [2, 3]
    assert [r.is_error for r in results_of(ask, 1)] == [False, False, True]
    assert [r.tool_choice for r in ask.run.model.requests] == [None, "none"]


async def test_tools_run_so_many_at_once(ask):
    now, most = 0, 0

    @tool
    async def busy() -> int:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await anyio.sleep(0.005)
        now -= 1
        return most

    answer = await ask([call("busy") for _ in range(9)], "done", tools=(busy,), parallel=3)
    assert most == 3
    assert len(answer.tool_calls) == 9


async def test_a_tool_that_takes_too_long_is_told_to_the_model(ask):
    @tool
    async def slow() -> None:
        await anyio.sleep(5)

    @tool(timeout=0.01)
    async def hasty() -> None:
        await anyio.sleep(5)

    answer = await ask(
        [call("slow"), call("hasty")], "sorry", tools=(slow, hasty), tool_timeout=0.05
    )
    assert [c["error"] for c in answer.tool_calls] == [
        "slow took more than 0.05 seconds",
        "hasty took more than 0.01 seconds",
    ]


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        ({"text": "ok \ud83d"}, "text"),
        ({"text": "ok", "rows": [{"a": ["\U0001f600", "\ude00"]}]}, "rows.0.a.1"),
        ({"text": "ok", "rows": [{"\ud83d": 1}]}, r"rows.0.\ud83d"),
    ],
)
async def test_half_a_character_in_the_arguments_is_told_to_the_model(ask, arguments, place):
    called = []

    @tool
    def show(text: str, rows: list[dict[str, Any]] | None = None) -> None:
        called.append((text, rows))

    fine = {"text": "\U0001f600", "rows": [{"é": ["\U0001f600", 1, None]}]}
    answer = await ask([call("show", **arguments)], [call("show", **fine)], "sorry", tools=(show,))
    problem = f"show: {place}: half of a surrogate pair is not a character"
    assert [c.get("error") for c in answer.tool_calls] == [problem, None]
    assert called == [(fine["text"], fine["rows"])]


# Handing over


@pytest.fixture
def team(ask):
    """An agent that may hand over to two others, of the same run."""
    expert = Agent("agent-x", name="expert", system="Knows.", model="scripted/x", tools=("add",))
    clerk = Agent("agent-c", name="clerk")

    async def prompt_it(*replies, **fields):
        answer = await ask(*replies, handoff=(expert, clerk), **fields)
        ask.run[Agents].update({a.id: a for a in (expert, clerk)})
        return answer

    return prompt_it


async def test_the_conversation_is_handed_over(ask, team):
    answer = await team([call("add", a=1), call("transfer_to_expert")], "I know.", tools=("add",))
    assert (answer.text, answer.agent, answer.model) == ("I know.", "expert", "scripted/x")
    first, second = ask.run.model.requests
    assert [t.name for t in first.tools] == ["add", "transfer_to_expert", "transfer_to_clerk"]
    assert "Knows." in first.tools[1].description
    assert (second.system, [t.name for t in second.tools]) == ("Knows.", ["add"])
    assert [b.content[0].text for b in second.messages[-1].content] == [
        "2",
        "expert takes over from here.",
    ]


async def test_who_took_over_goes_on_until_a_reset(ask, team):
    await team(call("transfer_to_expert"), "one", "two", "three")
    assert (await ask.again("more")).agent == "expert"
    ask.agent.begin([])
    assert (await ask.again("anew")).agent == "agent"
    assert len(ask.run.model.requests[-1].messages) == 1


async def test_only_one_takes_over(ask, team):
    answer = await team([call("transfer_to_clerk"), call("transfer_to_expert")], "hello")
    assert answer.agent == "clerk"
    assert [r.is_error for r in results_of(ask, 1)] == [False, True]
