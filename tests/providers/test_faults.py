"""Everything that can go wrong with a server, against real sockets where it can be."""

import asyncio
import base64
import gzip
import json
import socket
import time
import traceback
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import anyio
import httpx2
import pytest

from llmspell.errors import InvalidArguments, ProviderError
from llmspell.providers.answers import MAX_ANSWER
from llmspell.providers.endpoints import Endpoint
from llmspell.providers.messages import Message, ModelRequest
from llmspell.providers.openai_chat import OpenAIChat

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("impatient")]

REQUEST = ModelRequest("test/gpt", (Message.of("user", "hi"),))


@pytest.fixture
def fail(serve, provider_at):
    """The error a server's answers lead to, and the server. Every answer is given once or more."""

    async def failing(*answers, **options):
        async with serve(*answers) as (server, url), provider_at(url, **options) as provider:
            with pytest.raises(ProviderError) as caught:
                await provider.complete(REQUEST)
        return caught.value, server

    return failing


def refusal(http, status, error, **headers):
    return http({"error": error}, status=status, **headers)


async def hang_up(_request, _writer):
    """Close the connection without a word."""


@pytest.mark.parametrize("status", [401, 403])
async def test_a_wrong_key(status, fail, http):
    message = "Incorrect API key provided: sk-proj-****4oWi."
    error, server = await fail(
        refusal(http, f"{status} No", {"message": message, "code": "invalid_api_key"})
    )
    assert error.status == status
    assert not error.retryable
    assert error.message == f"test: Incorrect API key provided: [redacted] (HTTP {status})"
    assert error.hint == "check the key in the environment variable TEST_API_KEY"
    assert error.details == {"provider": "test", "status": status, "code": "invalid_api_key"}
    assert len(server.requests) == 1


async def test_a_key_where_none_was_configured(fail, http):
    error, _ = await fail(http(b"", status="401 No"), key_env=None, key=None)
    assert error.message == "test: the request failed (HTTP 401)"
    assert "api_key_env in [providers.test]" in error.hint


async def test_no_key_at_all(fail):
    error, server = await fail(hang_up, key=None)
    assert error.message == "test: no API key"
    assert error.hint == "set the environment variable TEST_API_KEY"
    assert server.requests == []


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "no model 'gpt'", "type": "not_found_error", "code": None}},
        {"error": "no model 'gpt'"},
        {"object": "error", "message": "no model 'gpt'", "code": 404},
        {"detail": "no model 'gpt'"},
        [{"error": {"message": "no model 'gpt'"}}],
        "no model 'gpt'",
    ],
)
async def test_an_unknown_model(body, fail, http):
    error, server = await fail(http(body, status="404 Not Found"))
    assert error.message == "test: no model 'gpt' (HTTP 404)"
    assert error.hint.startswith("check the model's name; http://127.0.0.1:")
    assert not error.retryable
    assert len(server.requests) == 1


async def test_a_bad_request_says_why_in_the_providers_words(fail, http):
    error, server = await fail(
        refusal(
            http, "400 Bad Request", {"message": "max_tokens is too large", "param": "max_tokens"}
        )
    )
    assert error.message == "test: max_tokens is too large (HTTP 400)"
    assert not error.retryable
    assert len(server.requests) == 1


async def test_details_that_are_no_text_are_shown_as_they_are(fail, http):
    body = {"detail": [{"loc": ["body", "model"], "msg": "Field required"}]}
    error, _ = await fail(http(body, status="422 Unprocessable"))
    assert '"msg":"Field required"' in error.message


async def test_moved(fail, http):
    error, server = await fail(http(b"", status="301 Moved", location="https://example.com/"))
    assert error.status == 301
    assert "correct base_url in [providers.test]" in error.hint
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 529])
async def test_passing_trouble_is_tried_again(status, serve, provider_at, http, completion):
    trouble = refusal(http, f"{status} No", {"message": "overloaded"})
    async with (
        serve(trouble, trouble, http(completion())) as (server, url),
        provider_at(url) as provider,
    ):
        response = await provider.complete(REQUEST)
    assert response.message.text == "Hello."
    assert len(server.requests) == 3
    assert server.requests[0] == server.requests[2]
    assert server.connections == 1


async def test_lasting_trouble_is_reported(fail, http):
    error, server = await fail(refusal(http, "500 No", "out of memory"))
    assert (error.status, error.retryable) == (500, True)
    assert error.message == "test: out of memory (HTTP 500)"
    assert len(server.requests) == 3


async def test_retries_can_be_turned_off(fail, http):
    _, server = await fail(refusal(http, "500 No", "out of memory"), max_retries=0)
    assert len(server.requests) == 1


async def test_an_empty_account_is_not_asked_again(fail, http):
    error, server = await fail(
        refusal(http, "429 No", {"message": "You exceeded it.", "code": "insufficient_quota"})
    )
    assert not error.retryable
    assert "billing" in error.hint
    assert len(server.requests) == 1


@pytest.mark.parametrize("header", [{"retry_after": "0.2"}, {"retry_after_ms": "200"}])
async def test_the_server_says_when_to_come_back(header, serve, provider_at, http, completion):
    trouble = refusal(http, "429 No", "slow down", **header)
    async with serve(trouble, http(completion())) as (server, url), provider_at(url) as provider:
        start = time.monotonic()
        await provider.complete(REQUEST)
        assert 0.2 <= time.monotonic() - start < 5
    assert len(server.requests) == 2


async def test_a_server_that_wants_too_long_is_not_waited_for(fail, http):
    error, server = await fail(refusal(http, "429 No", "slow down", retry_after="3600"))
    assert error.details["retry_after"] == 3600
    assert error.hint == "try again in 3600 s, or send fewer requests at once"
    assert len(server.requests) == 1


async def test_retry_after_may_be_a_date(fail, http):
    date = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    error, _ = await fail(refusal(http, "503 No", "later", retry_after=date))
    assert 3500 < error.details["retry_after"] <= 3600


@pytest.mark.parametrize(
    "wish", ["soon", "nan", "inf", "-5", f"Mon, 01 Jan {'9' * 20} 00:00:00 GMT"]
)
async def test_a_senseless_wish_does_no_harm(wish, fail, http):
    error, server = await fail(refusal(http, "503 No", "later", retry_after=wish))
    assert error.details.get("retry_after", 0) == 0
    assert len(server.requests) == 3


def unused_url():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/v1"


async def test_nobody_listens(provider_at):
    url = unused_url()
    async with provider_at(url) as provider:
        with pytest.raises(ProviderError) as caught:
            await provider.complete(REQUEST)
    error = caught.value
    assert error.message == f"test: cannot connect to {url}"
    assert error.hint.startswith(f"is the server running at {url}?")
    assert error.retryable
    assert error.details["url"] == url
    assert error.details["reason"].startswith("ConnectError")


async def test_a_base_url_that_is_none(provider_at):
    async with provider_at("http://a\x00b/v1") as provider:
        with pytest.raises(ProviderError, match=r"\[providers\.test\]: the base URL is not a URL"):
            await provider.complete(REQUEST)


@pytest.mark.parametrize(
    ("name", "url", "hint"),
    [
        ("ollama", "http://localhost:11434/v1", "start it with `ollama serve`"),
        ("groq", "https://api.groq.com/openai/v1", "check the network, and base_url"),
    ],
)
async def test_where_to_look_when_a_server_is_not_there(name, url, hint):
    def slow(request):
        raise httpx2.ConnectTimeout("", request=request)

    provider = OpenAIChat(Endpoint(name, url), transport=httpx2.MockTransport(slow))
    with pytest.raises(ProviderError, match=f"{name}: cannot connect to {url}: it took too") as e:
        await provider.complete(REQUEST)
    assert e.value.hint.startswith(hint)
    await provider.close()


async def test_a_model_ollama_does_not_have():
    answer = httpx2.Response(404, json={"error": {"message": "model 'x' not found"}})
    provider = OpenAIChat(
        Endpoint("ollama", "http://localhost:11434/v1"),
        transport=httpx2.MockTransport(lambda _: answer),
    )
    with pytest.raises(ProviderError) as caught:
        await provider.complete(REQUEST)
    assert "`ollama pull NAME`" in caught.value.hint
    await provider.close()


async def test_an_error_that_breaks_off_is_told_by_its_status(fail, http):
    async def half(_request, writer):
        writer.write(refusal(http, "503 No", "overloaded")[:-3])

    error, server = await fail(half)
    assert error.message == "test: the request failed (HTTP 503)"
    assert len(server.requests) == 3


async def test_a_server_that_comes_up_is_found(serve, provider_at, http, completion):
    answers = (hang_up, hang_up, http(completion()))
    async with serve(*answers) as (server, url), provider_at(url) as provider:
        assert (await provider.complete(REQUEST)).message.text == "Hello."
    assert server.connections == 3


async def test_a_connection_that_went_stale_is_replaced(serve, provider_at, http, completion):
    async def answer_and_hang_up(_request, writer):
        writer.write(http(completion()))

    async with serve(answer_and_hang_up) as (server, url), provider_at(url) as provider:
        for _ in range(3):
            await provider.complete(REQUEST)
    assert len(server.requests) == 3


async def test_the_connection_is_lost_before_the_answer(fail):
    error, server = await fail(hang_up)
    assert error.message == "test: the connection was lost before an answer came"
    assert error.retryable
    assert len(server.requests) == 3


async def test_the_connection_is_lost_in_the_answer(fail, http, completion):
    async def half(_request, writer):
        whole = http(completion())
        writer.write(whole[:-40])

    error, server = await fail(half)
    assert error.message == "test: the connection was lost in the middle of the answer"
    assert error.retryable
    assert len(server.requests) == 1


async def test_no_answer_in_time(fail):
    async def think(_request, _writer):
        await anyio.sleep(5)

    error, server = await fail(think, timeout=0.1)
    assert error.message == "test: no answer within 0.1 seconds"
    assert error.hint.startswith("raise timeout in [providers.test]")
    assert error.retryable
    assert len(server.requests) == 1


async def test_an_answer_that_stops(fail, http, completion):
    async def stall(_request, writer):
        writer.write(http(completion())[:-40])
        await writer.drain()
        await anyio.sleep(5)

    error, server = await fail(stall, timeout=0.1)
    assert error.message == "test: the answer stopped for 0.1 seconds"
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b'{"choices": [{"mess', "the answer is not JSON, or not all of it"),
        (b"", "the answer is not JSON, or not all of it"),
        (b'{"choices": NaN}', "the answer is not JSON, or not all of it"),
        (b'{"choices": 1e999}', "the answer is not JSON, or not all of it"),
        (b"\xff\xfe", "the answer is not JSON, or not all of it"),
        (b"[" * 100_000, "the answer is not JSON, or not all of it"),
        (b"[1]", "the answer is not a JSON object"),
        (b'{"choices": []}', "the answer has no choices"),
        (b'{"error": {"message": "no GPU is free"}}', "no GPU is free"),
    ],
)
async def test_answers_that_are_none(body, problem, fail, http):
    error, server = await fail(http(body))
    assert error.message == f"test: {problem}"
    assert len(server.requests) == 1


@pytest.mark.parametrize("content_type", ["text/html; charset=utf-8", "text/event-stream"])
async def test_an_answer_of_another_type(content_type, fail, http):
    error, _ = await fail(http(b"<html>Welcome to nginx</html>", content_type=content_type))
    assert error.message == f"test: the answer is {content_type.partition(';')[0]}, not JSON"
    assert "Most end in /v1" in error.hint
    assert "Welcome to nginx" in error.details["reason"]
    assert not error.retryable


async def test_a_web_page_in_place_of_an_error(fail, http):
    error, _ = await fail(http(b"<html>" * 5000, status="404 No", content_type="text/html"))
    assert error.message == "test: it sent a web page (HTTP 404)"


async def test_json_of_a_wrong_type_is_still_json(serve, provider_at, http, completion):
    answer = http(completion(), content_type="text/plain")
    async with serve(answer) as (_, url), provider_at(url) as provider:
        assert (await provider.complete(REQUEST)).message.text == "Hello."


async def test_an_answer_without_end(fail):
    sent = 0

    async def babble(_request, writer):
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n")
        while sent < 4 * MAX_ANSWER:
            writer.write(b" " * (1 << 20))
            sent += 1 << 20
            try:
                await writer.drain()
            except ConnectionError:
                return

    error, _ = await fail(babble)
    assert error.message == "test: the answer is larger than 32 MiB"
    assert not error.retryable
    assert sent < 2 * MAX_ANSWER


async def test_an_answer_that_unpacks_without_end(fail, http):
    bomb = gzip.compress(b" " * (MAX_ANSWER + 1))
    error, _ = await fail(http(bomb, content_encoding="gzip"))
    assert error.message == "test: the answer is larger than 32 MiB"


async def test_an_answer_that_is_packed_more_than_once_is_not_unpacked(fail, http, completion):
    body = gzip.compress(gzip.compress(json.dumps(completion()).encode()))
    error, _ = await fail(http(body, content_encoding="gzip, gzip"))
    assert error.message == "test: the answer cannot be decompressed"


async def test_a_compressed_answer(serve, provider_at, http, completion):
    body = gzip.compress(json.dumps(completion()).encode())
    async with serve(http(body, content_encoding="gzip")) as (_, url), provider_at(url) as provider:
        assert (await provider.complete(REQUEST)).message.text == "Hello."


async def test_an_answer_that_cannot_be_unpacked(fail, http):
    error, _ = await fail(http(b"not gzip", content_encoding="gzip"))
    assert error.message == "test: the answer cannot be decompressed"


async def test_what_json_cannot_say_is_not_sent(serve, provider_at, http, completion):
    async with serve(http(completion())) as (server, url), provider_at(url) as provider:
        for wrong in (b"\xff", float("nan")):
            request = ModelRequest("test/gpt", (), extra_body={"x": wrong})
            with pytest.raises(InvalidArguments, match="it cannot be sent as JSON"):
                await provider.complete(request)
    assert server.requests == []


async def test_cancelling_closes_the_connection(serve, provider_at):
    async with serve(b"") as (server, url), provider_at(url) as provider:
        with anyio.move_on_after(0.1) as scope:
            await provider.complete(REQUEST)
        assert scope.cancelled_caught
        with anyio.fail_after(2):
            await server.hung_up.wait()


async def test_many_at_once_share_the_pool_and_a_closed_provider_opens_again(
    serve, provider_at, http, completion
):
    async with serve(http(completion())) as (server, url), provider_at(url) as provider:
        async with anyio.create_task_group() as group:
            for _ in range(50):
                group.start_soon(provider.complete, REQUEST)
        assert len(server.requests) == 50
        await provider.close()
        await provider.close()
        await provider.complete(REQUEST)
    assert server.requests[-1].startswith(b"POST /v1/chat/completions HTTP/1.1\r\n")


async def test_connections_are_used_again_and_few_by_few(serve, provider_at, http, completion):
    async with serve(http(completion())) as (server, url), provider_at(url) as provider:

        async def ask(times):
            async with anyio.create_task_group() as group:
                for _ in range(times):
                    group.start_soon(provider.complete, REQUEST)

        for _ in range(5):
            await ask(1)
        assert server.connections == 1
        for _ in range(3):
            await ask(20)
        assert len(server.requests) == 65
        assert 1 < server.connections <= 20
        for _ in range(5):
            await ask(1)
        assert server.connections <= 20


async def test_no_more_than_256_connections(serve, provider_at, http, completion):
    all_there, go_on = asyncio.Event(), asyncio.Event()

    async def think(_request, writer):
        if server.connections == 256:
            all_there.set()
        await go_on.wait()
        writer.write(http(completion(), connection="close"))
        await writer.drain()

    async with (
        serve(think) as (server, url),
        provider_at(url, connect_timeout=60) as provider,
        anyio.create_task_group() as group,
    ):
        for _ in range(300):
            group.start_soon(provider.complete, REQUEST)
        with anyio.fail_after(60):
            await all_there.wait()
        await anyio.sleep(0.2)
        assert server.connections == 256
        go_on.set()
    assert len(server.requests) == 300


async def test_headers_of_config_are_sent(serve, provider_at, http, completion, key):
    headers = {"X-Title": "llmspell", "User-Agent": "mine"}
    async with (
        serve(http(completion())) as (server, url),
        provider_at(url, headers=headers) as provider,
    ):
        await provider.complete(REQUEST)
    sent = server.requests[0].lower()
    assert b"x-title: llmspell\r\n" in sent
    assert sent.count(b"user-agent:") == 1
    assert b"user-agent: mine\r\n" in sent
    assert f"authorization: bearer {key.lower()}\r\n".encode() in sent
    head, _, body = sent.partition(b"\r\n\r\n")
    assert f"host: {url.split('/')[2]}\r\n".encode() in head
    assert head.endswith(b"content-length: %d" % len(body))
    assert head.count(b"accept: application/json\r\n") == 1


async def test_a_user_and_password_in_the_base_url(serve, provider_at, http, completion):
    async with serve(http(completion())) as (server, url):
        known = url.replace("//", "//ada:pass%20word@")
        async with provider_at(known) as provider:
            await provider.complete(REQUEST)
    sent = server.requests[0]
    assert sent.lower().count(b"\r\nauthorization: ") == 1
    assert b"authorization: Basic " + base64.b64encode(b"ada:pass word") in sent
    assert b"ada" not in sent


@pytest.fixture
def proxied(monkeypatch):
    """Sets what the environment says of proxies, and nothing else of that kind."""

    def set_to(**names):
        for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.upper(), raising=False)
        for name, value in names.items():
            monkeypatch.setenv(name, value)

    return set_to


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "ALL_PROXY"])
async def test_the_proxy_of_the_environment(name, serve, provider_at, http, completion, proxied):
    async with serve(http(completion())) as (server, url):
        proxied(**{name: url.removesuffix("/v1").removeprefix("http://")})
        async with provider_at("http://api.example.test/v1") as provider:
            await provider.complete(REQUEST)
    first = b"POST http://api.example.test/v1/chat/completions HTTP/1.1\r\n"
    assert server.requests[0].startswith(first)
    assert b"host: api.example.test\r\n" in server.requests[0]


async def test_hosts_without_a_proxy(serve, provider_at, http, completion, proxied):
    async with serve(http(completion())) as (server, url), serve(http({})) as (proxy, other):
        proxied(HTTP_PROXY=other.removesuffix("/v1"), NO_PROXY="example.test")
        async with provider_at(url) as provider:  # on this machine
            await provider.complete(REQUEST)
        async with provider_at("http://api.example.test/v1", max_retries=0) as provider:
            with pytest.raises(ProviderError, match="cannot connect"):
                await provider.complete(REQUEST)
    assert len(server.requests) == 1
    assert proxy.requests == []


@pytest.mark.parametrize(
    ("proxy", "said", "hint"),
    [
        ("socks5://example.test:1", "needs the package socksio", "pip install 'httpx2[socks]'"),
        ("ftp://ada:secret@example.test", "is not a URL that begins with http", "HTTP_PROXY"),
        ("http://ada:secret@[::", "is not a URL that begins with http", "ALL_PROXY"),
    ],
)
async def test_a_proxy_that_cannot_be_used(proxy, said, hint, provider_at, proxied):
    proxied(ALL_PROXY=proxy)
    async with provider_at("http://api.example.test/v1") as provider:
        with pytest.raises(ProviderError, match=said) as caught:
            await provider.complete(REQUEST)
    assert hint in caught.value.hint
    assert "secret" not in "".join(traceback.format_exception(caught.value))


async def test_half_a_surrogate_pair_can_be_sent_back(serve, provider_at, http, completion):
    answer = http(completion({"content": "\ud83d"}))
    async with serve(answer) as (server, url), provider_at(url) as provider:
        said = (await provider.complete(REQUEST)).message
        await provider.complete(ModelRequest("test/gpt", (said,)))
    assert b'"content":"\\ud83d"' in server.requests[1]


LEAKS = {
    "401": lambda http, echo: http({"error": {"message": echo, "code": echo}}, status="401 No"),
    "400": lambda http, echo: http({"error": {"message": f'"{echo[:30]}…"'}}, status="400 No"),
    "404 text": lambda http, echo: http(echo.encode(), status="404 No", content_type="text/plain"),
    "422 nested": lambda http, echo: http({"detail": [{"input": {"h": echo}}]}, status="422 No"),
    "500": lambda http, echo: http({"error": echo[9:]}, status="500 No"),
    "200 error": lambda http, echo: http({"error": {"message": echo, "type": echo}}),
    "choice error": lambda http, echo: http({"choices": [{"error": {"message": echo}}]}),
    "html": lambda http, echo: http(f"<p>{echo}".encode(), content_type="text/html"),
    "not json": lambda http, echo: http(echo.encode()),
    "tool call": lambda http, echo: http({"choices": [{"message": {"tool_calls": [echo]}}]}),
    "status line": lambda _, echo: f"HTTP/1.1 {echo}\r\n\r\n".encode(),
    "header line": lambda _, echo: f"HTTP/1.1 200 OK\r\n{echo} {echo}\r\n\r\n".encode(),
    "encoding": lambda http, echo: http(echo.encode(), content_encoding="gzip"),
    "type": lambda http, echo: http(b"?", content_type=f"text/{echo.replace(' ', '')}"),
}


@pytest.mark.parametrize("name", LEAKS)
async def test_the_key_is_in_no_error(name, fail, http, key):
    secret = "zq83hfn20dkfj37vbb1p"
    echo = f"Bearer {key} and {secret}"
    error, _ = await fail(LEAKS[name](http, echo), headers={"X-Secret": secret})
    chain = [error]
    while chain[-1].__context__ or chain[-1].__cause__:
        chain.append(chain[-1].__context__ or chain[-1].__cause__)
    shown = "\n".join(
        [
            *(f"{e!r}\n{e}\n{getattr(e, 'args', ())!r}" for e in chain),
            repr(error.as_table()),
            str(error.hint),
            "".join(traceback.format_exception(error)),
        ]
    )
    for hidden in (key, secret):
        for at in range(len(hidden) - 8):
            assert hidden[at : at + 9] not in shown


async def test_a_connect_error_holds_no_key(provider_at, key):
    async with provider_at(unused_url()) as provider:
        with pytest.raises(ProviderError) as caught:
            await provider.complete(REQUEST)
        assert key not in repr(provider.endpoint)
    assert caught.value.__context__ is None
    assert key not in "".join(traceback.format_exception(caught.value))


async def test_the_key_is_in_no_log(fail, http, key, caplog):
    caplog.set_level("DEBUG")
    await fail(http({}))
    assert "/v1/chat/completions" in caplog.text
    assert key not in caplog.text
