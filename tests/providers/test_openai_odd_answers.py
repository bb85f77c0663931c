"""Whatever a server says, it ends in an answer or in one of our errors."""

import copy
import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmspell.errors import ProviderError
from llmspell.providers.deserialization import response_from_plain
from llmspell.providers.endpoints import Endpoint
from llmspell.providers.messages import Message, ModelRequest, ModelResponse
from llmspell.providers.openai_answer import response_from as chat_answer
from llmspell.providers.openai_body import request_body as chat_body
from llmspell.providers.openai_chat import OpenAIChat
from llmspell.providers.openai_responses_answer import response_from as responses_answer
from llmspell.providers.openai_responses_body import request_body as responses_body
from llmspell.providers.openai_responses_stream import ResponsesAssembly
from llmspell.providers.openai_stream import ChatAssembly
from llmspell.providers.server_events import ServerEvent

ENDPOINT = Endpoint("test", "http://test/v1")
REQUEST = ModelRequest("test/m", (Message.of("user", "hi"),))

CALL = {"index": 0, "id": "a", "type": "function", "function": {"name": "w", "arguments": "{}"}}
THINKING = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
DETAIL = {"type": "reasoning.text", "text": "Hm.", "index": 0, "signature": "s"}
SAID = {
    "role": "assistant",
    "content": "Hello.",
    "refusal": "No.",
    "reasoning": "Hm.",
    "reasoning_details": [DETAIL],
    "tool_calls": [CALL, CALL],
    "annotations": [{"type": "url_citation", "url": "u"}],
}
USAGE = {
    "prompt_tokens": 9,
    "completion_tokens": 3,
    "total_tokens": 12,
    "prompt_tokens_details": {"cached_tokens": 1},
    "completion_tokens_details": {"reasoning_tokens": 1},
}
CHAT = {
    "id": "c",
    "model": "m",
    "choices": [{"index": 0, "message": SAID, "finish_reason": "stop"}],
    "usage": USAGE,
}
CHUNKS = [
    {"id": "c", "model": "m", "choices": [{"index": 0, "delta": SAID}]},
    {"choices": [{"index": 0, "delta": {"content": "Hello."}}]},
    {"choices": [{"index": 0, "delta": {"content": [THINKING, {"type": "text", "text": "a"}]}}]},
    {"choices": [{"index": 0, "delta": {"content": [THINKING], "tool_calls": [CALL]}}]},
    {"choices": [{"index": 0, "delta": SAID, "finish_reason": "stop"}]},
    {"choices": [], "usage": USAGE, "x_groq": {"id": "r", "usage": USAGE}},
]
OUTPUT = [
    {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "Hm."}]},
    {
        "type": "message",
        "role": "assistant",
        "phase": "commentary",
        "content": [
            {"type": "output_text", "text": "Hello.", "annotations": [{"type": "url_citation"}]},
            {"type": "refusal", "refusal": "No."},
        ],
    },
    {"type": "function_call", "call_id": "a", "name": "w", "arguments": "{}"},
    {"type": "hologram", "beam": 1},
]
RESPONSE = {
    "id": "r",
    "model": "m",
    "status": "incomplete",
    "incomplete_details": {"reason": "max_output_tokens"},
    "output": OUTPUT,
    "usage": {
        "input_tokens": 9,
        "output_tokens": 3,
        "input_tokens_details": {"cached_tokens": 1},
        "output_tokens_details": {"reasoning_tokens": 1},
    },
}
EVENTS = [
    *[
        {"type": f"response.output_item.{when}", "output_index": n, "item": item}
        for when in ("added", "done")
        for n, item in enumerate(OUTPUT)
    ],
    {"type": "response.output_text.delta", "delta": "Hello."},
    {"type": "response.reasoning_summary_part.added", "summary_index": 1},
    {"type": "response.reasoning_summary_text.delta", "delta": "Hm."},
    {"type": "response.function_call_arguments.delta", "output_index": 2, "delta": "{}"},
    {"type": "response.completed", "response": RESPONSE},
]

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5) | st.just("text"),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@st.composite
def spoiled(draw, whole):
    """It with something else in up to three places."""
    value = copy.deepcopy(whole)
    for _ in range(draw(st.integers(1, 3))):
        place, key, here = None, None, value
        while (
            isinstance(here, (dict, list)) and here and not (place and draw(st.integers(0, 3)) == 0)
        ):
            place = here
            keys = list(here) if isinstance(here, dict) else list(range(len(here)))
            key = draw(st.sampled_from(keys))
            here = here[key]
        if place is not None:
            place[key] = draw(plain)
    return value


def check(response, body):
    """It has a plain form, and can be given back."""
    assert isinstance(response, ModelResponse)
    assert response_from_plain(response.as_plain()) == response
    json.dumps(body(ModelRequest("test/m", (response.message,)), "m", ENDPOINT))


@given(spoiled(CHAT))
def test_a_chat_completion(answer):
    if isinstance(answer, dict):
        with suppress(ProviderError):
            check(chat_answer(answer, REQUEST, ENDPOINT), chat_body)


@given(spoiled(RESPONSE))
def test_a_response(answer):
    if isinstance(answer, dict):
        with suppress(ProviderError):
            check(responses_answer(answer, REQUEST, ENDPOINT), responses_body)


def streamed(assembly, events):
    for event in events:
        for delta in assembly.feed(ServerEvent(json.dumps(event))):
            assert all(isinstance(getattr(delta, n), (str, int)) for n in delta.__slots__)
    return assembly.answer()


@given(spoiled(CHUNKS))
def test_a_chat_completion_in_pieces(events):
    with suppress(ProviderError):
        answer = streamed(ChatAssembly(ENDPOINT), events)
        check(chat_answer(answer, REQUEST, ENDPOINT), chat_body)


@given(spoiled(EVENTS))
def test_a_response_in_pieces(events):
    with suppress(ProviderError):
        answer = streamed(ResponsesAssembly(ENDPOINT), events)
        check(responses_answer(answer, REQUEST, ENDPOINT), responses_body)


@pytest.mark.parametrize("listed", [5, "x", None, {}, {"data": 5}, {"data": {"id": "a"}}])
def test_no_list_of_models(listed):
    provider = OpenAIChat(ENDPOINT)
    assert provider.model_names(listed) == []
    assert provider.model_names([listed, {"id": 5}, {"id": "a"}]) == ["a"]
