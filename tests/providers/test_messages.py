import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmspell.errors import InvalidArguments
from llmspell.providers.deserialization import (
    message_from_plain,
    request_from_plain,
    response_from_plain,
)
from llmspell.providers.messages import (
    Extra,
    File,
    Image,
    Message,
    ModelRequest,
    ModelResponse,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
    ToolSpec,
    Unknown,
    Usage,
)
from llmspell.providers.provider import ModelName
from llmspell.values import plain

text = st.text(max_size=8)
maybe = st.none() | text
numbers = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)
atoms = st.booleans() | numbers | text
values = st.recursive(
    atoms, lambda v: st.lists(v, max_size=3) | st.dictionaries(text, v), max_leaves=6
)
tables = st.dictionaries(text, values, max_size=4)
schemas = tables.filter(lambda t: t.get("properties") != [])
OURS = {"text", "refusal", "image", "file", "tool_call", "tool_result", "extra"}

said = (
    st.builds(Text, text)
    | st.builds(Refusal, text)
    | st.builds(Image, data=st.binary(max_size=8), media_type=text)
    | st.builds(Image, url=text, media_type=maybe)
    | st.builds(File, st.binary(max_size=8), text, text)
    | st.builds(File, st.none(), st.none() | text, text, text)
    | st.builds(Extra, text, tables)
    | st.builds(
        lambda kind, t: Unknown(t | {"type": kind}), text.filter(lambda k: k not in OURS), tables
    )
)
blocks = (
    said
    | st.builds(ToolCall, text, text, tables, maybe, maybe)
    | st.builds(ToolResult, text, st.lists(said, max_size=2).map(tuple), st.booleans())
)
messages = st.builds(
    Message,
    st.sampled_from(["system", "user", "assistant", "tool"]),
    st.lists(blocks, max_size=3).map(tuple),
)
tokens = st.integers(0, 2**53)
requests = st.builds(
    ModelRequest,
    model=text,
    messages=st.lists(messages, max_size=3).map(tuple),
    system=maybe,
    tools=st.lists(st.builds(ToolSpec, text, text, schemas), max_size=2).map(tuple),
    tool_choice=maybe,
    output=st.none() | schemas,
    temperature=st.none() | st.floats(0, 2),
    max_tokens=st.none() | st.integers(1, 2**53),
    stop=st.lists(text, max_size=2).map(tuple),
    extra_body=tables,
)
responses = st.builds(
    ModelResponse,
    message=messages,
    usage=st.builds(Usage, tokens, tokens, tokens, tokens),
    finish_reason=text,
    model=text,
    id=text,
)


@given(requests)
def test_a_request_is_its_plain_form(request):
    table = request.as_plain()
    assert plain(table) == table
    assert request_from_plain(table) == request
    assert request_from_plain(table).as_plain() == table


@given(responses)
def test_a_response_is_its_plain_form(response):
    table = response.as_plain()
    assert plain(table) == table
    assert response_from_plain(table) == response


def test_plain_forms_are_what_a_lua_author_writes():
    request = ModelRequest(
        "openai/gpt-5.4-mini",
        (
            Message.of("user", "How warm is it?"),
            Message.of("assistant", "Let me see.", ToolCall("a1", "weather", {"city": "Oslo"})),
            Message.of("tool", ToolResult("a1", (Text("no such city"),), is_error=True)),
        ),
    )
    call = {"type": "tool_call", "id": "a1", "name": "weather", "arguments": {"city": "Oslo"}}
    result = {"type": "tool_result", "id": "a1", "content": "no such city", "is_error": True}
    assert request.as_plain() == {
        "model": "openai/gpt-5.4-mini",
        "messages": [
            {"role": "user", "content": "How warm is it?"},
            {"role": "assistant", "content": [{"type": "text", "text": "Let me see."}, call]},
            {"role": "tool", "content": [result]},
        ],
    }


def test_what_crossed_lua_is_understood():
    """Lua has one empty table, one kind of string and may make a float of a whole number."""
    request = request_from_plain(
        {
            "model": "a/b",
            "max_tokens": 100.0,
            "extra_body": [],
            "tools": [{"name": "now", "schema": {"type": "object", "properties": []}}],
            "messages": [
                {
                    "role": "user",
                    "content": [
                        "look",
                        {"type": "image", "data": "GIF89a", "media_type": "image/gif"},
                    ],
                },
                {
                    "role": "assistant",
                    "content": [{"type": "tool_call", "id": "1", "name": "now", "arguments": []}],
                },
            ],
        }
    )
    assert request.max_tokens == 100
    assert type(request.max_tokens) is int
    assert request.extra_body == {}
    assert request.tools[0].schema == {"type": "object", "properties": {}}
    assert request.messages[0].content == (Text("look"), Image(b"GIF89a", "image/gif"))
    assert request.messages[1].tool_calls[0].arguments == {}


USER = {"role": "user", "content": "hi"}


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ([], "model is required"),
        ("hi", "it must be a table"),
        ({"model": "a/b"}, "messages is required"),
        ({"model": 1, "messages": []}, "model must be a string"),
        ({"model": "a/b", "messages": "hi"}, "messages must be a list"),
        ({"model": "a/b", "messages": [USER, "hi"]}, "messages[2] must be a table"),
        ({"model": "a/b", "messages": [{"content": "hi"}]}, "messages[1].role is required"),
        (
            {"model": "a/b", "messages": [{"role": "bot", "content": "hi"}]},
            "messages[1].role must be one of system, user, assistant, tool",
        ),
        (
            {"model": "a/b", "messages": [{"role": "user", "text": "hi"}]},
            "messages[1].text is not a field; fields are role, content",
        ),
        (
            {"model": "a/b", "messages": [{"role": "user"}]},
            "messages[1].content must be a string or a list of blocks",
        ),
        (
            {"model": "a/b", "messages": [{"role": "user", "content": b"\xff"}]},
            "messages[1].content is not UTF-8 text",
        ),
        (
            {"model": "a/b", "messages": [{"role": "user", "content": ["a", {"text": "b"}]}]},
            "messages[1].content[2].type is required",
        ),
        (
            {"model": "a/b", "messages": [{"role": "user", "content": [{"type": "image"}]}]},
            "messages[1].content[1] needs either data or url",
        ),
        (
            {
                "model": "a/b",
                "messages": [{"role": "user", "content": [{"type": "image", "data": "x"}]}],
            },
            "messages[1].content[1].media_type is required with data",
        ),
        (
            {
                "model": "a/b",
                "messages": [
                    {
                        "role": "tool",
                        "content": [{"type": "tool_result", "id": "1", "content": [1]}],
                    }
                ],
            },
            "messages[1].content[1].content[1] must be a table",
        ),
        ({"model": "a/b", "messages": [], "tools": [{}]}, "tools[1].name is required"),
        ({"model": b"\xff", "messages": []}, "model is not UTF-8 text"),
        (
            {"model": "a/b", "messages": [], "max_tokens": 1.5},
            "max_tokens must be a whole number, 1 or more",
        ),
        (
            {"model": "a/b", "messages": [], "max_tokens": math.inf},
            "max_tokens must be a whole number, 1 or more",
        ),
        ({"model": "a/b", "messages": [], "temperature": True}, "temperature must be a number"),
        ({"model": "a/b", "messages": [], "stop": [1]}, "stop must be a list of strings"),
        ({"model": "a/b", "messages": [], "output": "json"}, "output must be a table"),
    ],
)
def test_what_is_malformed_is_named(table, problem):
    with pytest.raises(InvalidArguments) as caught:
        request_from_plain(table)
    (found,) = caught.value.details["problems"]
    assert found.startswith(problem)
    assert caught.value.message.startswith("model.request: ")


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        ({"type": "image", "data": 1}, "data must be a byte string"),
        ({"type": "file", "data": "x"}, "media_type is required with data"),
        (
            {"type": "tool_call", "id": "1", "name": "now", "arguments": 1},
            "arguments must be a table",
        ),
        (
            {"type": "tool_result", "id": "1", "content": "", "is_error": "no"},
            "is_error must be true or false",
        ),
        ({"type": "text", "text": "a", "txt": "b"}, "txt is not a field; fields are type, text"),
    ],
)
def test_a_malformed_block_is_named(block, problem):
    with pytest.raises(InvalidArguments) as caught:
        message_from_plain({"role": "user", "content": [block]})
    assert caught.value.details["problems"] == [f"content[1].{problem}"]


@pytest.mark.parametrize("source", [{}, {"data": "x", "url": "y"}])
@pytest.mark.parametrize("kind", ["image", "file"])
def test_a_picture_or_file_has_one_source(kind, source):
    with pytest.raises(InvalidArguments, match=r"content\[1\] needs either data or url"):
        message_from_plain({"role": "user", "content": [{"type": kind, **source}]})


def test_a_malformed_response_is_named():
    with pytest.raises(
        InvalidArguments, match=r"model\.request: usage\.input_tokens must be a whole"
    ):
        response_from_plain({"message": USER, "usage": {"input_tokens": -1}})


def test_a_message_alone():
    assert message_from_plain(USER) == Message.of("user", "hi")
    with pytest.raises(InvalidArguments, match=r"history\[2\]: it must be a table"):
        message_from_plain(1, target="history[2]")


def test_usage_adds():
    assert Usage(1, 2, 3, 4) + Usage(10, 20, 30, 40) == Usage(11, 22, 33, 44)


def test_a_message_gathers_its_blocks():
    call = ToolCall("1", "now")
    message = Message.of("assistant", "a", call, "b", Refusal("no"))
    assert (message.text, message.tool_calls, message.refusal) == ("ab", [call], "no")
    assert Message.of("user", "a").refusal is None


def test_model_names():
    assert ModelName.parse("openrouter/meta/llama") == ("openrouter", "meta/llama")
    assert str(ModelName("a", "b/c")) == "a/b/c"


@pytest.mark.parametrize("name", ["", "gpt", "openai/", "/gpt", " openai/gpt", "openai/\ud83d"])
def test_model_names_that_are_none(name):
    with pytest.raises(InvalidArguments, match="does not name a provider and a model"):
        ModelName.parse(name)


def test_the_vocabulary_costs_no_heavy_import():
    modules = "messages, deserialization, provider, catalogue, default_model, scripted"
    code = f"""
import sys
from llmspell.providers import {modules}
assert not {{'httpx2', 'pydantic', 'anyio'}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
