"""What an HTTP client sees of each fault, with and without sockets."""

import json
import threading
import time
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel
import httpx2
import pytest

from llmspell.providers.messages import ToolCall
from llmspell.testing.fakes import (
    FAULTS,
    Answer,
    FakeServer,
    Wire,
    breaking_inside,
    cut_off,
    dropped,
    huge,
    invalid_sse,
    not_streamed,
    odd_sse,
    page,
    refused,
    slow,
    stalled,
    trickled,
    unknown_block,
    unknown_event,
)

pytestmark = pytest.mark.anyio

KEY = "sk-test-1234567890"
ASKED = {"messages": [{"role": "user", "content": "hi"}]}
PLACES = {
    "openai": ("/v1/chat/completions", {**ASKED, "model": "m"}),
    "openai-responses": ("/v1/responses", {"model": "m", "input": "hi"}),
    "anthropic": ("/v1/messages", {**ASKED, "model": "m", "max_tokens": 9}),
    "gemini": ("/v1beta/models/m:generateContent", {"contents": []}),
}
HEADERS = {"anthropic-version": "2023-06-01", "x-api-key": KEY, "x-goog-api-key": KEY}


@pytest.fixture(params=["in memory", "loopback"])
def reach(request):
    """`async with reach(server) as client`, whose base URL is the server's."""

    @asynccontextmanager
    async def reached(server, **options):
        options = {"headers": HEADERS | {"authorization": f"Bearer {KEY}"}} | options
        if request.param == "in memory":
            transport = server.transport()
            async with httpx2.AsyncClient(
                transport=transport, base_url="http://fake", **options
            ) as client:
                yield client
        else:
            async with server, httpx2.AsyncClient(base_url=server.url, **options) as client:
                yield client

    return reached


@pytest.fixture(params=PLACES)
def protocol(request):
    return request.param


def asked(protocol, *, stream=False):
    path, body = PLACES[protocol]
    if stream and protocol == "gemini":
        return path.replace(":g", ":streamG") + "?alt=sse", body
    return path, {**body, "stream": True} if stream else body


@pytest.fixture
def ask(reach, protocol):
    """The answer to one request."""

    async def asking(said, *, stream=False, **options):
        path, body = asked(protocol, stream=stream)
        async with reach(FakeServer(said), **options) as client:
            return await client.post(path, json=body)

    return asking


async def test_a_refusal_is_told_as_the_protocol_does(ask, protocol):
    answer = await ask(refused(429, "Slow down.", retry_after=2, x_request_id="r1"), stream=True)
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "2"
    assert answer.headers["x-request-id"] == "r1"
    error = answer.json()["error"]
    assert error["message"] == "Slow down."
    named = {"anthropic": ("type", "rate_limit_error"), "gemini": ("status", "RESOURCE_EXHAUSTED")}
    field, value = named.get(protocol, ("code", "rate_limit_exceeded"))
    assert error[field] == value


async def test_a_status_no_one_knows(ask):
    assert (await ask(refused(529))).status_code == 529


async def test_a_slow_first_byte(ask):
    with pytest.raises(httpx2.ReadTimeout):
        await ask(slow(5), timeout=0.1)
    assert (await ask(slow(0.05), timeout=5)).status_code == 200


@pytest.mark.parametrize("stream", [False, True])
async def test_a_stall(stream, reach, protocol):
    path, body = asked(protocol, stream=stream)
    server = FakeServer(stalled(after=0.5))
    async with reach(server, timeout=0.1) as client:
        with pytest.raises(httpx2.ReadTimeout):
            await client.post(path, json=body)
        with anyio.fail_after(5):
            await server.hung_up()


async def test_a_stall_that_ends(ask):
    whole = await ask("Hello.", stream=True)
    assert (await ask(stalled(after=2, seconds=0.05), stream=True)).content == whole.content


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_cut_off_is_in_order_as_far_as_http_knows(stream, ask):
    whole = (await ask("Hello.", stream=stream)).content
    cut = (await ask(cut_off(after=0.5), stream=stream)).content
    assert cut == whole[: len(whole) // 2]
    if not stream:
        with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
            json.loads(cut)


async def test_a_connection_dropped_without_a_word(ask):
    with pytest.raises(httpx2.RemoteProtocolError):
        await ask(dropped())


@pytest.mark.parametrize("stream", [False, True])
async def test_a_connection_dropped_in_the_answer(stream, reach, protocol):
    path, body = asked(protocol, stream=stream)
    async with (
        reach(FakeServer(dropped(after=0.5))) as client,
        client.stream("POST", path, json=body) as answer,
    ):
        assert answer.status_code == 200
        with pytest.raises((httpx2.ReadError, httpx2.RemoteProtocolError)):
            await answer.aread()
        assert answer.num_bytes_downloaded > 0


async def test_bytes_that_trickle(reach, protocol):
    path, body = asked(protocol, stream=True)
    async with (
        reach(FakeServer(trickled(size=40, every=0.002))) as client,
        client.stream("POST", path, json=body) as r,
    ):
        sizes = [len(piece) async for piece in r.aiter_raw()]
    assert len(sizes) > 4
    assert max(sizes) <= 40


async def test_a_page_of_a_proxy(ask):
    answer = await ask(page(status=502))
    assert answer.status_code == 502
    assert "html" in answer.headers["content-type"]
    assert "nginx" in answer.text


async def test_an_answer_that_is_not_streamed(ask):
    answer = await ask(not_streamed(), stream=True)
    assert answer.headers["content-type"] == "application/json"
    assert "Hello." in json.dumps(answer.json())


async def test_an_error_in_an_answer(ask):
    answer = await ask(breaking_inside(message="no GPU is free"))
    assert answer.status_code == 200
    assert answer.json()["error"]["message"] == "no GPU is free"
    streamed = await ask(breaking_inside(message="no GPU is free"), stream=True)
    assert "no GPU is free" in streamed.text.rstrip().split("\n\n")[-1]
    assert streamed.text.count("\n\n") == 3


async def test_data_that_is_not_json(ask):
    streamed = await ask(invalid_sse(), stream=True)
    assert 'data: {"oops\n\n' in streamed.text
    with pytest.raises(ValueError, match="Unterminated"):
        (await ask(invalid_sse())).json()


async def test_a_stream_as_the_standard_allows_it_is_read_the_same(reach, protocol):
    path, body = asked(protocol, stream=True)
    read = []
    said = Answer("Grüße.", ToolCall("a", "now"))
    async with reach(FakeServer([said, odd_sse(said)])) as client:
        for _ in range(2):
            async with client.sse(path, method="POST", json=body) as events:
                read.append([(event.event, event.data) async for event in events])
    assert read[0] == read[1]


async def test_what_no_client_knows(ask, protocol):
    for stream in (False, True):
        assert "hologram" in (await ask(unknown_block(), stream=stream)).text
    assert "hologram" in (await ask(unknown_event(), stream=True)).text
    assert "hologram" not in (await ask(unknown_event())).text


async def test_no_choices(ask, protocol):
    field = {"openai": "choices", "openai-responses": "output", "anthropic": "content"}
    assert (await ask(Answer())).json()[field.get(protocol, "candidates")] == []
    assert (await ask(Answer(), stream=True)).status_code == 200


@pytest.mark.parametrize("stream", [False, True])
async def test_a_large_answer(stream, ask):
    assert len((await ask(huge(1_000_000), stream=stream)).content) > 1_000_000


async def test_arguments_that_are_broken(ask):
    call = ToolCall("call_1", "weather", raw='{"city": "Os')
    for stream in (False, True):
        assert "Os" in (await ask(call, stream=stream)).text


@pytest.mark.parametrize("name", FAULTS)
async def test_every_fault_can_be_made_for_every_protocol(name, protocol):
    path, body = asked(protocol, stream=True)
    client = httpx2.AsyncClient(
        transport=FakeServer(FAULTS[name]).transport(), headers=HEADERS, timeout=0.1
    )
    async with client:
        try:
            answer = await client.post(f"http://fake{path}", json=body)
        except httpx2.TransportError as error:
            assert name in {  # noqa: PT017 - the others are answers
                "slow first byte",
                "stall in the answer",
                "dropped before the answer",
                "dropped in the answer",
            }, error
        else:
            plain = FakeServer().transport()
            async with httpx2.AsyncClient(transport=plain, headers=HEADERS) as other:
                whole = await other.post(f"http://fake{path}", json=body)
            same = (answer.status_code, answer.content) == (200, whole.content)
            assert same == (name == "trickling bytes")


async def test_replies_come_in_turn_and_then_none(reach, protocol):
    path, body = asked(protocol)
    server = FakeServer(["One.", lambda request: f"{len(request.body)} bytes", Wire.json({"a": 1})])
    async with reach(server) as client:
        said = [(await client.post(path, json=body)).text for _ in range(4)]
    assert "One." in said[0]
    assert f"{len(server.requests[1].body)} bytes" in said[1]
    assert said[2] == '{"a":1}'
    assert "no reply for request 4; there are 3" in said[3]
    assert [r.json for r in server.requests] == [body] * 4


async def test_a_reply_may_be_waited_for(ask):
    async def thought(_request):
        await anyio.lowlevel.checkpoint()
        return "Hello."

    assert "Hello." in (await ask(thought)).text


async def test_only_the_right_key_is_let_in(reach, protocol):
    path, body = asked(protocol)
    async with reach(FakeServer(key=KEY)) as client:
        assert (await client.post(path, json=body)).status_code == 200
    async with reach(FakeServer(key="another")) as client:
        answer = await client.post(path, json=body)
    assert answer.status_code == 401
    assert "Incorrect API key" in answer.json()["error"]["message"]


async def test_what_the_real_servers_refuse_is_refused(reach, protocol):
    path, body = asked(protocol)
    async with reach(FakeServer()) as client:
        for wrong in (b"{", b"[]", b"{}"):
            answer = await client.post(path, content=wrong)
            assert answer.status_code == 400, wrong
        nowhere = await client.post("/v1/horoscopes", json=body)
        assert nowhere.status_code == 404


async def test_one_connection_serves_many_requests(protocol):
    path, body = asked(protocol)
    async with (
        FakeServer() as server,
        httpx2.AsyncClient(base_url=server.url, headers=HEADERS) as client,
    ):
        for stream in (False, True, False):
            path, body = asked(protocol, stream=stream)
            await client.post(path, json=body)
    assert (server.connections, len(server.requests), server.hang_ups) == (1, 3, 0)


def test_a_server_in_a_thread_of_its_own():
    before = threading.active_count()
    path, body = asked("openai")
    with FakeServer() as server:
        start = time.monotonic()
        answer = httpx2.post(server.url + path, json=body)
        assert "Hello." in answer.text
        assert time.monotonic() - start < 5
    assert threading.active_count() == before
