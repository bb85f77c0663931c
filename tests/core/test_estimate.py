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
from llmspell.spending.estimate import ANSWER, FILE_BYTES, IMAGE, of_request


def asked(*content, **options):
    message = Message.of("user", *content)
    return of_request(ModelRequest("openai/x", (message,), **options)).usage.input_tokens


@given(st.text(), st.text())
def test_more_text_is_never_fewer_tokens(one, other):
    assert asked(one + other) >= max(asked(one), asked(other))
    assert asked(one) >= len(one.encode("utf-8", "replace")) / 4


def test_everything_in_a_request_counts():
    bare = asked("hi")
    assert asked("hi", system="x" * 300) == bare + 100
    assert asked("hi", tools=(ToolSpec("t", "d" * 300),)) > bare + 100
    assert asked("hi", output={"title": "x" * 300}) > bare + 100
    assert asked("hi", Image(url="https://a/b.png")) == bare + IMAGE
    assert asked("hi", File(b"x" * 300, "text/plain")) == bare + 100
    assert asked("hi", File(b"x" * 3000, "application/pdf")) == bare + 3000 / FILE_BYTES
    assert asked("hi", ToolCall("1", "t", {"a": "x" * 300})) > bare + 100
    assert asked("hi", ToolCall("1", "t", {}, "no JSON", "x" * 300)) == bare + 100
    assert asked("hi", ToolResult("1", Message.of("user", "x" * 300).content)) == bare + 100


def test_what_cannot_be_sent_is_counted_all_the_same():
    assert asked(ToolCall("1", "t", {"a": float("nan")})) > 0


@pytest.mark.parametrize(
    ("options", "tokens"),
    [
        ({}, ANSWER),
        ({"max_tokens": 10}, 10),
        ({"max_tokens": 10, "reasoning": "high"}, 10),
        ({"reasoning": "none"}, ANSWER),
        ({"reasoning": 5000}, ANSWER + 5000),
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
