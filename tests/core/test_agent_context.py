"""Conversations that get too long."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmspell.agents.agent import Agent, Agents
from llmspell.agents.context import Context, Conversation, is_too_long
from llmspell.agents.loop import prompt
from llmspell.agents.token_counter import TokenCounter
from llmspell.effects import Effect
from llmspell.errors import ProviderError
from llmspell.providers.messages import (
    File,
    Image,
    Message,
    ModelRequest,
    ModelResponse,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
    ToolSpec,
    Usage,
)
from llmspell.providers.tokens import tokens_in, tokens_of
from llmspell.tools.registry import Tools
from llmspell.tools.tool import tool

pytestmark = pytest.mark.anyio

TOO_LONG = ProviderError("too long", status=400, details={"code": "context_length_exceeded"})


def user(text):
    return Message.of("user", text)


def said(text):
    return Message.of("assistant", text)


def called(number, size=40):
    """A step: a call and its result."""
    return [
        Message.of("assistant", ToolCall(f"c{number}", "echo", {"text": "x"})),
        Message("tool", (ToolResult(f"c{number}", (Text("y" * size),)),)),
    ]


@pytest.fixture
def ask(new_run):
    """Prompts an agent with a history; the answer. `ask.run` and `ask.agent` are what it had."""

    async def ask(*replies, history=(), text="now", **fields):
        ask.run = new_run(replies=replies)

        @tool
        async def echo(text: str) -> str:
            return text * 40

        ask.run[Tools].register("echo", echo)
        ask.agent = Agent("agent-1", history=list(history), tools=("echo",), **fields)
        ask.run[Agents]["agent-1"] = ask.agent
        effect = Effect("agent.run", {}, "0/1", ask.run)
        return await prompt(effect, ask.agent, user(text), model="scripted/any")

    return ask


def sent(ask, number=-1):
    return [(m.role, m.text) for m in ask.run.model.requests[number].messages]


LONG = [m for n in range(6) for m in (user(f"question {n} " * 10), said(f"answer {n} " * 10))]


async def test_the_oldest_turns_are_forgotten_whole(ask):
    await ask("fine", history=LONG, context=Context(max_tokens=200))
    roles = [role for role, _ in sent(ask)]
    assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"]
    assert sent(ask)[-1] == ("user", "now")
    assert sent(ask)[0][1].startswith("question 5")
    assert len(ask.agent.history) == len(roles) + 1


async def test_nothing_is_left_out_of_what_is_short_enough(ask):
    await ask("fine", history=LONG, context=Context(max_tokens=2000))
    assert len(sent(ask)) == 13


async def test_the_newest_turns_are_kept(ask):
    await ask("fine", history=LONG, context=Context(max_tokens=20, keep=3))
    assert len(sent(ask)) == 5


async def test_a_long_turn_loses_its_oldest_steps_with_their_results(ask):
    call = ToolCall("", "echo", {"text": "word "})
    await ask(*[call] * 5, "done", context=Context(max_tokens=160))
    for request in ask.run.model.requests:
        messages = request.messages
        assert messages[0].text == "now"
        calls = [c.id for m in messages for c in m.tool_calls]
        results = [b.id for m in messages if m.role == "tool" for b in m.content]
        assert calls == results
    assert len(ask.run.model.requests[-1].messages) < 11


async def test_results_that_stand_in_a_user_turn_go_with_their_calls(ask):
    call, results = called(1)
    history = [user("word " * 60), call, Message("user", results.content), said("so")]
    await ask("fine", history=history, context=Context(max_tokens=40))
    assert sent(ask) == [("user", "now")]


async def test_a_summary_takes_the_place_of_what_is_left_out(ask):
    context = Context(max_tokens=200, strategy="summarise", model="scripted/small")
    answer = await ask("They talked.", "fine", history=[*called(1), *LONG], context=context)
    summary, request = ask.run.model.requests
    assert (summary.model, summary.tools) == ("scripted/small", ())
    assert "question 0" in summary.messages[0].text
    assert "[calls echo with {'text': 'x'}]" in summary.messages[0].text
    first = request.messages[0]
    assert first.role == "user"
    assert first.text.startswith("Summary of the conversation so far:\nThey talked.\nquestion")
    assert answer.usage.output_tokens > tokens_in("fine")


@pytest.mark.parametrize("model", [None, "scripted/small"])
async def test_another_model_summarises_if_the_first_cannot(ask, model):
    context = Context(max_tokens=200, strategy="summarise", model=model)
    down = ProviderError("down")
    options = {"history": LONG, "context": context, "fallback": ("scripted/b",)}
    answer = await ask(down, "They talked.", "fine", **options)
    asked = [request.model for request in ask.run.model.requests]
    assert asked == [model or "scripted/any", "scripted/b", "scripted/any"]
    assert (answer.text, [one["model"] for one in answer.failed]) == ("fine", asked[:1])


async def test_a_provider_that_finds_it_too_long_is_asked_once_more(ask):
    await ask(TOO_LONG, "fine", history=LONG, context=Context())
    assert [len(r.messages) for r in ask.run.model.requests] == [13, 5]
    with pytest.raises(ProviderError, match="too long"):
        await ask(TOO_LONG, TOO_LONG, "never", history=LONG, context=Context())


async def test_without_a_context_nothing_is_left_out(ask):
    with pytest.raises(ProviderError, match="too long"):
        await ask(TOO_LONG, "never", history=LONG)


async def test_it_is_shortened_before_another_model_is_asked(ask):
    answer = await ask(
        TOO_LONG, TOO_LONG, "fine", history=LONG, context=Context(), fallback=("scripted/b",)
    )
    models = [(r.model, len(r.messages)) for r in ask.run.model.requests]
    assert models == [("scripted/any", 13), ("scripted/any", 5), ("scripted/b", 5)]
    assert len(answer.failed) == 1


async def test_what_is_reported_counts(ask):
    """The text is short; but the provider says how much it really was."""
    much = ModelResponse(said("one"), Usage(input_tokens=900, output_tokens=50))
    await ask(much, history=[user("a"), said("b")], context=Context(max_tokens=1000))
    ask.run.model._replies = [None, "two"]
    counter = ask.agent.counter
    assert (counter.known, counter.tokens) == (4, 950)
    effect = Effect("agent.run", {}, "0/2", ask.run)
    await prompt(effect, ask.agent, user("c" * 40), model="scripted/any")
    assert sent(ask) == [("user", "c" * 40)]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (TOO_LONG, True),
        (ProviderError("anthropic: prompt is too long: 213462 tokens > 200000 maximum"), True),
        (ProviderError("This model's maximum context length is 8192 tokens."), True),
        (ProviderError("the request exceeds the available context size, try increasing it"), True),
        (ProviderError("The input token count (1) exceeds the maximum number of tokens"), True),
        (ProviderError("max_tokens is too large"), False),
        (ProviderError("busy", status=429), False),
    ],
)
def test_how_a_provider_says_that_it_is_too_long(error, expected):
    assert is_too_long(error) is expected


steps = st.lists(st.integers(1, 200), max_size=4)


@given(
    before=st.lists(steps, max_size=5),
    now=steps,
    excess=st.integers(0, 2000),
    keep=st.integers(1, 4),
)
async def test_whatever_is_left_out_what_stays_is_a_conversation(before, now, excess, keep):
    number = iter(range(1000))

    def turn(sizes):
        done = [m for size in sizes for m in called(next(number), size)]
        return [user(f"q{next(number)}"), *done]

    old = [m for sizes in before for m in (*turn(sizes), said("a"))]
    current = turn(now)
    talk = Conversation(list(old), list(current))
    await Context(keep=keep).shorten(talk, excess, TokenCounter(), None)
    messages = [*talk.before, *talk.now]
    assert messages[0].role == "user"
    assert talk.now[0] is current[0]
    assert talk.now[-2:] == current[-2:]
    assert [c.id for m in messages for c in m.tool_calls] == [
        b.id for m in messages if m.role == "tool" for b in m.content
    ]
    left = tokens_of([*old, *current]) - tokens_of(messages)
    questions = [m for m in messages if m.role == "user"]
    assert len(questions) >= min(keep, len(before) + 1)
    if left < excess:
        assert len(questions) <= keep  # all was left out that may be


def test_estimates_grow_with_what_is_there():
    assert tokens_in("") == 0
    assert tokens_in("four") == 1
    assert tokens_in("日本語") == 3
    small = ModelRequest("a/b", (user("hello"),))
    counter = TokenCounter()
    for more in (
        ModelRequest("a/b", (user("hello " * 9),)),
        ModelRequest("a/b", (user("hello"),), system="Be brief."),
        ModelRequest("a/b", (user("hello"),), tools=(ToolSpec("echo", "Says it."),)),
        ModelRequest("a/b", (Message.of("user", "hello", Image(url="https://x/y.png")),)),
        ModelRequest("a/b", (Message.of("user", "hello", File(b"x" * 99, "application/pdf")),)),
        ModelRequest("a/b", (user("hello"), Message.of("assistant", Reasoning("p", "Hm.")))),
    ):
        assert counter.count(more) > counter.count(small)
