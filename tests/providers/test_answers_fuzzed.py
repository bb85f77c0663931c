"""Answers with something wrong in any one place: they are read, or are a ProviderError, in every protocol."""

import json
from importlib import import_module

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmspell.errors import ProviderError
from llmspell.providers.catalogue import KINDS
from llmspell.providers.deserialization import response_from_plain
from llmspell.providers.endpoints import Endpoint
from llmspell.providers.messages import Message, ModelRequest, Refusal, ToolCall
from llmspell.providers.server_events import ServerEvent
from llmspell.testing.fakes import Answer, Reasoning
from llmspell.testing.fakes.requests import Received
from llmspell.testing.fakes.server import DIALECTS

REQUEST = ModelRequest("test/m", (Message.of("user", "hi"),))
ANSWERS = [
    Answer(Reasoning("Hm."), "Hello.", ToolCall("t1", "weather", {"city": "Oslo"})),
    Answer("Half", finish_reason="length"),
    Answer(Refusal("No.")),
]
PATHS = {"gemini": "/v1beta/models/m:generateContent", "anthropic": "/v1/messages"}

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=3)
)
values = (
    scalars
    | st.lists(scalars, max_size=2)
    | st.dictionaries(st.text(max_size=3), scalars, max_size=2)
)


def places(value, path=()):
    yield path
    if isinstance(value, (dict, list)):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


def with_another(value, path, other):
    """The value, with another in that place; without what is there when that is `...`."""
    if not path:
        return {} if other is ... else other
    copy = value.copy()
    if len(path) == 1 and other is ...:
        del copy[path[0]]
    else:
        copy[path[0]] = with_another(value[path[0]], path[1:], other)
    return copy


@st.composite
def spoiled(draw, value):
    path = draw(st.sampled_from(list(places(value))))
    return with_another(value, path, draw(values | st.just(...)))


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def provider(kind):
    module, _, name = KINDS[kind].partition(":")
    return getattr(import_module(module), name)(Endpoint("test", "http://fake", kind=kind))


@pytest.fixture
def dialect(kind):
    return next(dialect for dialect in DIALECTS if dialect.name == kind)


def received(kind):
    body = {"model": "m", "messages": [], "input": "hi", "max_tokens": 9, "stream": True}
    return Received("POST", PATHS.get(kind, "/v1/chat/completions"), {}, json.dumps(body).encode())


def judged(read):
    """What is read holds only plain values, or is a failure that is ours."""
    try:
        response = read()
    except ProviderError:
        return
    assert response_from_plain(response.as_plain()) == response


@pytest.mark.parametrize("answer", ANSWERS)
def test_whole(answer, kind, provider, dialect):
    body = dialect.body(answer, received(kind))

    @given(spoiled(body))
    @settings(max_examples=200, deadline=None)
    def check(data):
        if isinstance(data, dict):
            judged(lambda: provider.response(data, REQUEST))

    check()


@pytest.mark.parametrize("answer", ANSWERS)
def test_streamed(answer, kind, provider, dialect):
    events = [named(event) for event in dialect.events(answer, received(kind))]
    told = [json.loads(data) for _, data in events if data != "[DONE]"]

    @given(spoiled(told))
    @settings(max_examples=200, deadline=None)
    def check(data):
        def read():
            assembly = provider.assembly(REQUEST)
            for piece in data:
                name = piece.get("type") if isinstance(piece, dict) else None
                event = ServerEvent(json.dumps(piece), name if isinstance(name, str) else "message")
                for _ in assembly.feed(event):
                    pass
            return provider.response(assembly.answer(), REQUEST)

        if isinstance(data, list):
            judged(read)

    check()


def named(event):
    """Name and data of an event as it is on the wire."""
    lines = dict(line.split(": ", 1) for line in event.decode().splitlines() if line)
    return lines.get("event"), lines["data"]
