import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmspell.providers.messages import (
    File,
    Image,
    Message,
    ModelRequest,
    ToolCall,
    ToolResult,
    ToolSpec,
)
from llmspell.spending.estimate import ANSWER, MARGIN, of_request

LONG = "x" * 3000
THOUSAND = 3000 / 4 * MARGIN  # the tokens of that, at most


def asked(*content, **options):
    message = Message.of("user", *content)
    return of_request(ModelRequest("openai/x", (message,), **options)).usage.input_tokens


@given(st.text(), st.text())
def test_more_text_is_never_fewer_tokens(one, other):
    assert asked(one + other) >= max(asked(one), asked(other))
    assert asked(one) >= len(one.encode("utf-8", "replace")) / 3


@pytest.mark.parametrize(
    "more",
    [
        {"system": LONG},
        {"tools": (ToolSpec("t", LONG),)},
        {"output": {"title": LONG}},
        ToolCall("1", "t", {"a": LONG}),
        ToolCall("1", "t", {}, "no JSON", LONG),
        ToolResult("1", Message.of("user", LONG).content),
        File(LONG.encode() * 5, "application/pdf"),
        Image(url="https://a/b.png"),
    ],
)
def test_everything_in_a_request_counts(more):
    whole = asked("hi", **more) if isinstance(more, dict) else asked("hi", more)
    assert whole >= asked("hi") + THOUSAND * 0.9


def test_what_cannot_be_sent_is_counted_all_the_same():
    assert asked(ToolCall("1", "t", {"a": b"\xff"})) > asked("hi")


@pytest.mark.parametrize(
    ("options", "tokens"),
    [
        ({}, ANSWER),
        ({"max_tokens": 10}, 10),
        ({"max_tokens": 10, "reasoning": "high"}, 10),
        ({"reasoning": "none"}, ANSWER),
        ({"reasoning": 5000}, ANSWER + 5000),
        ({"max_tokens": 10, "extra_body": {"max_completion_tokens": 9000.0}}, 9000),
        ({"max_tokens": 10, "extra_body": {"n": 3, "top_k": 5}}, 30),
        ({"max_tokens": 10, "extra_body": {"generationConfig": {"maxOutputTokens": 20}}}, 20),
        ({"max_tokens": 10, "extra_body": {"generationConfig": {"candidateCount": 2}}}, 2 * ANSWER),
        ({"max_tokens": 10, "extra_body": {"max_tokens": "many", "n": False}}, 10),
    ],
)
def test_the_answer_is_what_is_allowed_of_it(options, tokens):
    request = ModelRequest("openai/x", (Message.of("user", "hi"),), **options)
    assert of_request(request).usage.output_tokens == tokens


def test_more_effort_is_more_thinking():
    def answer(effort):
        request = ModelRequest("openai/x", (Message.of("user", "hi"),), reasoning=effort)
        return of_request(request).usage.output_tokens

    assert ANSWER == answer("none") < answer("low") < answer("medium") < answer("high")
    assert answer("a word of the provider's own") == answer("high")


def test_the_models_a_request_names_otherwise_may_answer_too():
    extra = {"model": "big", "models": ["a", "b"]}
    request = ModelRequest("openrouter/x", (), extra_body=extra)
    names = ["x", "big", "a", "b"]
    assert of_request(request).models == [f"openrouter/{name}" for name in names]
