"""Time bounds, turns, shared answers and streams that break: what every HTTP provider has."""

import asyncio
import gzip
import time
from contextlib import aclosing

import anyio
import pytest

from llmspell.errors import ConfigError, ProviderError
from llmspell.providers.endpoints import endpoint
from llmspell.providers.messages import Message, ModelRequest, ModelResponse, TextDelta, Usage
from llmspell.providers.models import Models
from llmspell.providers.settings import ProviderSettings
from llmspell.providers.strict_json import write_json

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("impatient")]

REQUEST = ModelRequest("test/gpt", (Message.of("user", "hi"),))
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"


def chunk(content=None, finish_reason=None):
    delta = {} if content is None else {"content": content}
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return (
        b"data: " + write_json({"id": "c1", "model": "gpt", "choices": [choice]}).encode() + b"\n\n"
    )


def streaming(*parts, pause=0.0):
    """An answer of these parts, with pauses between them; None stops there for good."""

    async def answer(_request, writer):
        writer.write(HEAD)
        for part in parts:
            await writer.drain()
            await anyio.sleep(60 if part is None else pause)
            writer.write(part or b"")
        await writer.drain()

    return answer


WHOLE = (chunk("Hel"), chunk("lo."), chunk(finish_reason="stop"), b"data: [DONE]\n\n")


async def parts_of(provider, request=REQUEST):
    async with aclosing(provider.stream(request)) as parts:
        return [part async for part in parts]


async def test_parts_come_as_they_arrive_and_then_the_whole(serve, provider_at):
    async with serve(streaming(*WHOLE)) as (_, url), provider_at(url) as provider:
        *deltas, response = await parts_of(provider)
    assert deltas == [TextDelta("Hel"), TextDelta("lo.")]
    assert isinstance(response, ModelResponse)
    assert response.message.text == "Hello."
    assert response.finish_reason == "stop"


async def test_the_first_part_is_there_before_the_last_is_sent(serve, provider_at):
    answer = streaming(chunk("Hel"), None)
    async with (
        serve(answer) as (_, url),
        provider_at(url) as provider,
        aclosing(provider.stream(REQUEST)) as parts,
    ):
        with anyio.fail_after(5):
            assert await anext(parts) == TextDelta("Hel")


async def test_a_stream_that_is_closed_hangs_up(serve, provider_at):
    hung_up = asyncio.Event()

    async def endless(_request, writer):
        writer.write(HEAD)
        try:
            while True:
                writer.write(chunk("on and on "))
                await writer.drain()
                await anyio.sleep(0.01)
        except ConnectionError:
            hung_up.set()

    async with serve(endless) as (_, url), provider_at(url) as provider:
        async with aclosing(provider.stream(REQUEST)) as parts:
            await anext(parts)
        with anyio.fail_after(5):
            await hung_up.wait()


async def test_a_stream_is_tried_again_as_long_as_none_began(serve, provider_at, http):
    busy = http({"error": {"message": "busy"}}, status="503 Service Unavailable")
    async with serve(busy, streaming(*WHOLE)) as (server, url), provider_at(url) as provider:
        assert len(await parts_of(provider)) == 3
    assert len(server.requests) == 2


async def test_a_stream_that_began_is_not_begun_again(serve, provider_at):
    async with serve(streaming(chunk("Hel"))) as (server, url), provider_at(url) as provider:
        with pytest.raises(ProviderError, match="was cut off") as caught:
            await parts_of(provider)
    assert caught.value.retryable
    assert len(server.requests) == 1


async def test_a_stream_of_another_type(serve, provider_at, http):
    page = http(b"<html>", content_type="text/html")
    async with serve(page) as (_, url), provider_at(url) as provider:
        with pytest.raises(ProviderError, match="is text/html, not a stream of events"):
            await parts_of(provider)


async def test_the_case_of_a_content_type_does_not_matter(serve, provider_at, http, completion):
    whole = http(completion(), content_type="application/JSON")
    stream = http(b"".join(WHOLE), content_type="Text/Event-Stream")
    async with serve(whole, stream) as (_, url), provider_at(url) as provider:
        assert (await parts_of(provider))[-1].message.text == "Hello."
        assert (await parts_of(provider))[-1].message.text == "Hello."


async def test_a_stream_is_asked_for(serve, provider_at):
    async with serve(streaming(*WHOLE)) as (server, url), provider_at(url) as provider:
        await parts_of(provider)
    head = server.requests[0].lower().partition(b"\r\n\r\n")[0]
    assert head.count(b"\r\naccept: ") == 1
    assert b"\r\naccept: text/event-stream\r\n" in head


async def test_a_compressed_stream(serve, provider_at, http):
    packed = gzip.compress(b"".join(WHOLE))
    answer = http(packed, content_type="text/event-stream", content_encoding="gzip")
    async with serve(answer) as (_, url), provider_at(url) as provider:
        assert len(await parts_of(provider)) == 3


async def test_an_event_without_end(serve, provider_at, monkeypatch):
    monkeypatch.setattr("llmspell.providers.answers.MAX_ANSWER", 1 << 20)
    babble = streaming(chunk("Hel"), b"data: ", *[b"x" * (1 << 16)] * 64)
    async with serve(babble) as (_, url), provider_at(url) as provider:
        with pytest.raises(ProviderError) as caught:
            await parts_of(provider)
    assert caught.value.message == "test: the answer is larger than 1 MiB"
    assert not caught.value.retryable


async def test_lines_without_data_are_no_events(serve, provider_at):
    answer = streaming(b": welcome\n\nretry: 3000\n\n", *WHOLE[:1], b"event: ping\n\n", *WHOLE[1:])
    async with serve(answer) as (_, url), provider_at(url) as provider:
        assert len(await parts_of(provider)) == 3


@pytest.mark.parametrize(
    ("settings", "answer", "problem"),
    [
        ({"timeout": 0.1}, streaming(chunk("Hel"), None), "the answer stopped for 0.1 seconds"),
        (
            {"first_timeout": 0.1},
            streaming(None),
            "no part of the answer arrived within 0.1 seconds",
        ),
        (
            {"total_timeout": 0.3},
            streaming(*[chunk("x")] * 1000, pause=0.01),
            "the answer did not arrive completely within 0.3 seconds",
        ),
    ],
)
async def test_a_stream_that_takes_too_long(settings, answer, problem, serve, provider_at):
    begin = time.monotonic()
    async with serve(answer) as (server, url), provider_at(url, **settings) as provider:
        with pytest.raises(ProviderError) as caught:
            await parts_of(provider)
    assert caught.value.message == f"test: {problem}"
    assert caught.value.hint
    assert caught.value.retryable
    assert len(server.requests) == 1
    assert time.monotonic() - begin < 5


async def test_the_first_part_may_take_its_time_once_it_came(serve, provider_at):
    slow = streaming(WHOLE[0], *WHOLE[1:], pause=0.15)
    async with serve(slow) as (_, url), provider_at(url, first_timeout=0.3) as provider:
        assert len(await parts_of(provider)) == 3


async def test_all_attempts_together_have_a_time(serve, provider_at, http):
    later = http({"error": {"message": "busy"}}, status="429 Too Many", retry_after="1")
    async with serve(later) as (server, url), provider_at(url, total_timeout=0.2) as provider:
        with pytest.raises(
            ProviderError, match=r"the answer did not arrive completely within 0\.2 seconds"
        ):
            await provider.complete(REQUEST)
    assert len(server.requests) == 1


async def test_a_long_wait_is_for_who_has_the_patience(serve, provider_at, http):
    later = http({"error": {"message": "busy"}}, status="429 Too Many", retry_after="30")
    hasty = ModelRequest("test/gpt", REQUEST.messages, patience=1.0)
    async with serve(later) as (server, url), provider_at(url) as provider:
        with pytest.raises(ProviderError, match="busy"), anyio.fail_after(5):
            await provider.complete(hasty)
    assert len(server.requests) == 1


async def test_only_so_many_at_once(serve, provider_at, http, completion):
    under_way = most = 0

    async def think(_request, writer):
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await anyio.sleep(0.05)
        under_way -= 1
        writer.write(http(completion()))
        await writer.drain()

    async with serve(think) as (server, url), provider_at(url, concurrency=2) as provider:
        await asyncio.gather(*[provider.complete(REQUEST) for _ in range(6)])
    assert len(server.requests) == 6
    assert most == 2


async def test_a_stream_keeps_its_place_until_it_ends(serve, provider_at, http, completion):
    async with (
        serve(streaming(chunk("Hel"), None), http(completion())) as (server, url),
        provider_at(url, concurrency=1) as provider,
    ):
        async with aclosing(provider.stream(REQUEST)) as parts:
            await anext(parts)
            with anyio.move_on_after(0.1) as waited:
                await provider.complete(REQUEST)
            assert waited.cancelled_caught
            assert len(server.requests) == 1
        await provider.complete(REQUEST)


async def test_only_so_many_a_minute(serve, provider_at, http, completion):
    begin = time.monotonic()
    async with (
        serve(http(completion())) as (server, url),
        provider_at(url, requests_per_minute=300) as provider,
    ):
        provider._connection._limiter._bucket.tokens = 2
        for _ in range(4):
            await provider.complete(REQUEST)
    assert len(server.requests) == 4
    assert time.monotonic() - begin > 0.35  # two had to wait for 0.2 s each


async def test_the_key_of_a_request_is_sent_with_every_attempt(
    serve, provider_at, http, completion
):
    named = ModelRequest("test/gpt", REQUEST.messages, key="run/0/3")
    async with serve(b"", http(completion())) as (server, url), provider_at(url) as provider:
        server.answers[0] = http({"error": {"message": "busy"}}, status="503 Busy")
        await provider.complete(named)
    assert [b"idempotency-key: run/0/3" in r.lower() for r in server.requests] == [True, True]


async def sharing_models(url):
    return Models(None, {"test": ProviderSettings(base_url=url, share=True)}, {})


async def test_identical_requests_under_way_are_one(serve, http, completion):
    async def think(_request, writer):
        await anyio.sleep(0.1)
        writer.write(http(completion()))
        await writer.drain()

    async with serve(think) as (server, url):
        models = await sharing_models(url)
        other = ModelRequest("test/gpt", (Message.of("user", "ho"),))
        answers = await asyncio.gather(*map(models.complete, [REQUEST, REQUEST, other, REQUEST]))
        assert len(server.requests) == 2
        assert [bool(a.usage.input_tokens) for a in answers] == [True, False, True, False]
        assert {a.message.text for a in answers} == {"Hello."}
        await models.complete(REQUEST)
        assert len(server.requests) == 3  # those that come later are asked anew
        await models.close()


async def test_a_shared_request_goes_on_until_nobody_waits(serve, http, completion):
    async def think(_request, writer):
        await anyio.sleep(0.2)
        writer.write(http(completion()))
        await writer.drain()

    async with serve(think) as (server, url):
        models = await sharing_models(url)
        first, *others = [asyncio.ensure_future(models.complete(REQUEST)) for _ in range(3)]
        await anyio.sleep(0.1)
        first.cancel()
        second, third = await asyncio.gather(*others)
        assert second.message.text == third.message.text == "Hello."
        assert second.usage.output_tokens  # somebody pays
        assert third.usage == Usage(usd=0.0)
        await models.close()
    assert len(server.requests) == 1


async def test_a_shared_request_ends_with_the_last_who_waits(serve):
    async def think(_request, _writer):
        await anyio.sleep(60)

    async with serve(think) as (server, url):
        models = await sharing_models(url)
        asking = [asyncio.ensure_future(models.complete(REQUEST)) for _ in range(2)]
        await anyio.sleep(0.1)
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        assert not any("_answer" in repr(task.get_coro()) for task in others)
        await models.close()
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "setting", ["timeout", "connect_timeout", "first_timeout", "total_timeout", "concurrency"]
)
def test_settings_that_make_no_sense(setting):
    own = ProviderSettings(base_url="http://localhost:1/v1", **{setting: 0})
    with pytest.raises(ConfigError, match=f"{setting} must be more than 0"):
        endpoint("test", {"test": own}, {})
