"""Everything that goes wrong with servers, in every protocol, whole and streamed."""

import logging

import anyio
import pytest

from llmspell.errors import ProviderError
from llmspell.providers.catalogue import KINDS
from llmspell.providers.endpoints import open_provider
from llmspell.providers.messages import Extra, Message, ModelRequest, Text
from llmspell.providers.settings import ProviderSettings
from llmspell.testing.fakes import (
    FAULTS,
    FakeServer,
    breaking_inside,
    dropped,
    refused,
    stalled,
)

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("impatient")]

KEY = "sk-proj-Zx81_qLw7TtRb29vNhYc3KdM5pGa0XfE6sUj4oWi"
REQUEST = ModelRequest("test/m", (Message.of("user", "hi"),))
BASES = {"anthropic": "", "gemini": ""}
"""What stands between a server's address and the paths of a protocol, where it is not /v1."""


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(params=[False, True], ids=["whole", "streamed"])
def stream(request):
    return request.param


@pytest.fixture
def ask(kind, stream):
    """The answer to one request over a socket, or the error in its place, and the server."""

    async def asking(said, **options):
        async with FakeServer(said) as server:
            provider = open_provider(
                "test",
                {
                    "test": ProviderSettings(
                        base_url=server.url + BASES.get(kind, "/v1"),
                        api_key_env="TEST_API_KEY",
                        kind=kind,
                        **options,
                    )
                },
                {"TEST_API_KEY": KEY},
            )
            try:
                with anyio.fail_after(60):
                    if not stream:
                        return await provider.complete(REQUEST), server
                    *_, response = [part async for part in provider.stream(REQUEST)]
                    return response, server
            except ProviderError as error:
                return error, server
            finally:
                await provider.close()

    return asking


ALL_EVENTS = 1000
"""More than any answer here has."""

TRIED = 3
"""How often a request is sent that no answer began for."""

FAILURES = {
    # fault: status, worth another try, how often it was sent
    "401": (401, False, 1),
    "403": (403, False, 1),
    "404": (404, False, 1),
    "429": (429, True, TRIED),
    "500": (500, True, TRIED),
    "503": (503, True, TRIED),
    "slow first byte": (None, True, 1),
    "stall in the answer": (None, True, 1),
    "truncated JSON": (None, True, 1),
    "wrong content type": (None, False, 1),
    "dropped before the answer": (None, True, TRIED),
    "dropped in the answer": (None, True, 1),
}


@pytest.mark.parametrize("fault", FAILURES)
async def test_what_fails(fault, ask, caplog):
    caplog.set_level(logging.DEBUG)
    waits = fault in ("slow first byte", "stall in the answer")
    error, server = await ask(FAULTS[fault], timeout=0.3 if waits else 30)
    assert isinstance(error, ProviderError), error
    assert (error.status, error.retryable, len(server.requests)) == FAILURES[fault]
    assert error.message.startswith("test: ")
    assert KEY not in caplog.text


async def test_an_error_in_the_answer(ask):
    """What its status should have been, not every protocol tells."""
    error, server = await ask(FAULTS["error in the answer"])
    assert isinstance(error, ProviderError), error
    assert error.message.startswith("test: no GPU is free")
    assert len(server.requests) == 1


async def test_what_fails_in_a_stream_only(ask, stream):
    for fault in ("stream without its end", "invalid SSE"):
        outcome, server = await ask(FAULTS[fault])
        if not stream and fault == "stream without its end":
            continue  # an answer that is no stream is one event, so it is whole
        assert isinstance(outcome, ProviderError), fault
        assert outcome.retryable
        assert len(server.requests) == 1


@pytest.mark.parametrize("fault", ["odd SSE", "unknown event", "trickling bytes"])
async def test_what_does_no_harm(fault, ask):
    response, _ = await ask(FAULTS[fault])
    assert response.message == Message.of("assistant", "Hello.")
    assert response.finish_reason == "stop"


@pytest.mark.parametrize("fault", [dropped, stalled])
async def test_what_follows_the_last_event_does_not_matter(fault, kind, ask):
    """Gemini's streams have no such event: they end with their connection."""
    if kind == "gemini":
        return
    response, _ = await ask(fault("Hello.", after=ALL_EVENTS))
    assert not isinstance(response, ProviderError), response
    assert response.message == Message.of("assistant", "Hello.")
    assert response.finish_reason == "stop"
    assert response.usage.output_tokens


async def test_a_connection_serves_one_stream_after_the_other(kind):
    async with FakeServer(["One.", "Two."]) as server:
        settings = ProviderSettings(base_url=server.url + BASES.get(kind, "/v1"), kind=kind)
        provider = open_provider("test", {"test": settings}, {})
        for text in ("One.", "Two."):
            *_, response = [part async for part in provider.stream(REQUEST)]
            assert response.message.text == text
        await provider.close()
    assert server.connections == 1


async def test_a_reason_nobody_knows_is_told_as_it_is(ask):
    response, _ = await ask(FAULTS["unknown finish reason"])
    assert response.message.text == "Hello."
    assert "tired" in response.finish_reason.lower()


async def test_a_block_nobody_knows_is_kept(ask):
    response, _ = await ask(FAULTS["unknown block"])
    assert response.message.text == "Hello."
    (kept,) = [block for block in response.message.content if isinstance(block, Extra)]
    assert kept.provider == "test"
    assert "hologram" in str(kept.data)


async def test_broken_arguments_are_no_failure(ask):
    response, _ = await ask(FAULTS["broken tool arguments"])
    (call,) = response.message.tool_calls
    assert (call.arguments, call.raw) == ({}, '{"city": "Os')
    assert call.problem


async def test_ids_are_unique(ask):
    response, _ = await ask([FAULTS["duplicate ids"]])
    first, second = response.message.tool_calls
    assert first.id != second.id
    assert (first.arguments, second.arguments) == ({"city": "Oslo"}, {"city": "Rome"})


async def test_an_answer_of_10_megabytes(ask):
    response, _ = await ask(FAULTS["10 MB"])
    assert not isinstance(response, ProviderError), response
    assert response.message.content == (Text("x" * 10_000_000),)


async def test_no_key_in_what_a_server_quotes(ask, caplog):
    caplog.set_level(logging.DEBUG)
    for said in (refused(401, f"Wrong key: {KEY}"), breaking_inside(message=f"Key {KEY} is bad")):
        error, _ = await ask(said)
        assert "[redacted]" in error.message
        assert KEY not in f"{error!r} {error.details} {error.hint} {caplog.text}"


async def test_an_answer_with_the_key_in_it(ask):
    response, _ = await ask(f"Your key is {KEY}.")
    assert response.message.text == "Your key is [redacted]."


async def test_a_server_that_does_not_stream(ask):
    response, _ = await ask(FAULTS["not streamed"])
    assert response.message == Message.of("assistant", "Hello.")


async def test_no_choices(ask, kind):
    """Where an answer is not one of several it is an empty one."""
    outcome, server = await ask(FAULTS["no choices"])
    if kind in ("openai", "gemini"):
        assert outcome.message.startswith("test: the answer has no c")
        assert outcome.retryable
    else:
        assert outcome.message.content == ()
    assert len(server.requests) == 1


async def test_a_server_that_asks_to_be_left_alone(ask):
    with anyio.move_on_after(0.5) as waiting:
        await ask([FAULTS["429 with Retry-After"], "Hello."])
    assert waiting.cancelled_caught  # it asked for two seconds
