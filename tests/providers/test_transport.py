"""Connections to an endpoint, with real sockets, TLS and HTTP/2."""

import asyncio
import ssl

import anyio
import h2.config
import h2.connection
import h2.events
import pytest
import trustme

from llmspell.errors import ProviderError
from llmspell.providers import network, transport
from llmspell.providers.messages import Message, ModelRequest
from llmspell.providers.strict_json import write_json

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("impatient")]

REQUEST = ModelRequest("test/gpt", (Message.of("user", "hi"),))
LONG = ModelRequest("test/gpt", (Message.of("user", "hi " * 10_000_000),))


@pytest.fixture
def tls(tmp_path, monkeypatch):
    """The server's side of TLS with a certificate for 127.0.0.1 and api.test, which we trust."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1", "api.test").configure_cert(context)
    return context


class Http2Server:
    """Answers each request once `answering` is set."""

    def __init__(self, answer):
        self.answer = write_json(answer).encode()
        self.answering = asyncio.Event()
        self.answering.set()
        self.requests, self.connections = 0, 0
        self.open = []

    async def talk(self, reader, writer):
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
        self.connections += 1
        self.open.append(writer)
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        connection.initiate_connection()
        writer.write(connection.data_to_send())
        async with anyio.create_task_group() as group:
            while data := await reader.read(65536):
                for event in connection.receive_data(data):
                    if isinstance(event, h2.events.StreamEnded):
                        self.requests += 1
                        group.start_soon(self.respond, connection, event.stream_id, writer)
                writer.write(connection.data_to_send())
        self.open.remove(writer)

    async def respond(self, connection, stream, writer):
        await self.answering.wait()
        connection.send_headers(stream, [(":status", "200"), ("content-type", "application/json")])
        connection.send_data(stream, self.answer, end_stream=True)
        writer.write(connection.data_to_send())


@pytest.fixture
async def http2(listening, tls, completion):
    """A server that speaks HTTP/2, and its base URL."""
    tls.set_alpn_protocols(["h2", "http/1.1"])
    server = Http2Server(completion())
    async with listening(server.talk, tls) as port:
        yield server, f"https://127.0.0.1:{port}/v1"


async def until(condition):
    with anyio.fail_after(20):
        while not condition():  # noqa: ASYNC110
            await anyio.sleep(0.01)


async def test_requests_share_a_connection_of_http_2(http2, provider_at):
    server, url = http2
    async with provider_at(url) as provider:
        await provider.complete(REQUEST)
        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(provider.complete, REQUEST)
    assert (server.requests, server.connections) == (21, 1)


async def test_a_connection_of_http_2_is_not_overloaded(http2, provider_at):
    server, url = http2
    async with provider_at(url) as provider:
        await provider.complete(REQUEST)
        server.answering.clear()
        async with anyio.create_task_group() as group:
            for _ in range(transport.MAX_STREAMS + 1):
                group.start_soon(provider.complete, REQUEST)
            await until(lambda: server.requests == transport.MAX_STREAMS + 2)
            assert server.connections == 2
            server.answering.set()
        await provider.complete(REQUEST)
    assert server.connections == 2


async def test_a_request_of_http_2_that_is_cancelled_leaves_the_others(http2, provider_at):
    server, url = http2
    async with provider_at(url) as provider:
        await provider.complete(REQUEST)
        server.answering.clear()
        tasks = [asyncio.ensure_future(provider.complete(REQUEST)) for _ in range(3)]
        await until(lambda: server.requests == 4)
        tasks[1].cancel()
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        server.answering.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(answers[1], asyncio.CancelledError)
    assert answers[0].message.text == answers[2].message.text == "Hello."
    assert server.connections == 1


async def test_a_connection_of_http_2_that_the_server_ends_is_replaced(http2, provider_at):
    server, url = http2
    async with provider_at(url) as provider:
        await provider.complete(REQUEST)
        server.open[0].transport.abort()
        await provider.complete(REQUEST)
    assert server.connections == 2


async def test_a_server_that_speaks_only_http_1(listening, tls, provider_at, http, completion):
    async def talk(reader, writer):
        for _ in range(2):
            await reader.readuntil(b"}")
            writer.write(http(completion()))
        await reader.read()

    async with (
        listening(talk, tls) as port,
        provider_at(f"https://127.0.0.1:{port}/v1", max_retries=0) as provider,
    ):
        for _ in range(2):
            assert (await provider.complete(REQUEST)).message.text == "Hello."


@pytest.fixture
def failure(listening, provider_at):
    """The error of a request to a server that talks in a certain way."""

    async def ask(talk, request=REQUEST, *, scheme="http", context=None, **fields):
        async with listening(talk, context) as port:
            url = f"{scheme}://127.0.0.1:{port}/v1"
            async with provider_at(url, max_retries=0, **fields) as provider:
                with pytest.raises(ProviderError) as caught:
                    await provider.complete(request)
        return caught.value

    return ask


async def silent(_reader, _writer):
    await anyio.sleep(5)


async def test_a_certificate_nobody_vouches_for(failure, tls, monkeypatch, tmp_path):
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "other.pem"))
    error = await failure(silent, scheme="https", context=tls)
    assert "cannot connect" in error.message
    assert "CERTIFICATE_VERIFY_FAILED" in error.details["reason"]


async def test_a_server_that_does_not_speak_tls(failure):
    error = await failure(silent, scheme="https", connect_timeout=0.1)
    assert "it took too long" in error.message


async def test_tls_through_a_proxy(listening, tls, provider_at, http, completion, monkeypatch):
    asked = []

    async def answer(reader, writer):
        await reader.readuntil(b"}")
        writer.write(http(completion()))
        await reader.read()

    async def forward(reader, writer):
        asked.append((await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")[0])
        back, on = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        async with anyio.create_task_group() as group:
            group.start_soon(pipe, reader, on)
            group.start_soon(pipe, back, writer)

    async def pipe(reader, writer):
        try:
            while data := await reader.read(65536):
                writer.write(data)
        finally:
            writer.close()

    async with listening(answer, tls) as port, listening(forward) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy}")
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        async with provider_at("https://api.test/v1") as provider:
            assert (await provider.complete(REQUEST)).message.text == "Hello."
    assert asked == [b"CONNECT api.test:443 HTTP/1.1"]


async def test_what_a_server_says_unasked_is_no_answer(listening, provider_at, http, completion):
    said = asyncio.Event()

    async def talk(reader, writer):
        await reader.readuntil(b"}")
        writer.write(http(completion()))
        await anyio.sleep(0.05)
        writer.write(http({"error": "too late"}, status="408 Request Timeout"))
        await writer.drain()
        said.set()
        await reader.read()

    async with (
        listening(talk) as port,
        provider_at(f"http://127.0.0.1:{port}/v1", max_retries=0) as provider,
    ):
        for _ in range(2):
            assert (await provider.complete(REQUEST)).message.text == "Hello."
            await said.wait()
            await anyio.sleep(0.01)


async def test_a_connection_is_not_kept_for_ever(serve, provider_at, http, completion, monkeypatch):
    monkeypatch.setattr(transport, "KEPT_SECONDS", 0.05)
    async with serve(http(completion())) as (server, url), provider_at(url) as provider:
        await provider.complete(REQUEST)
        await anyio.sleep(0.1)
        await provider.complete(REQUEST)
        with anyio.fail_after(5):
            await server.hung_up.wait()
    assert server.connections == 2


async def test_old_connections_are_closed_while_others_are_used(
    serve, provider_at, http, completion, monkeypatch
):
    monkeypatch.setattr(transport, "KEPT_SECONDS", 0.3)
    async with serve(http(completion())) as (server, url), provider_at(url) as provider:
        await asyncio.gather(provider.complete(REQUEST), provider.complete(REQUEST))
        assert server.connections == 2
        with anyio.fail_after(5):
            while not server.hung_up.is_set():
                await provider.complete(REQUEST)
                await anyio.sleep(0.02)
    assert server.connections == 2


async def test_a_server_that_does_not_read(failure):
    error = await failure(silent, LONG, timeout=0.2)
    assert "no answer within 0.2 seconds" in error.message


async def test_a_server_that_answers_without_reading(failure, http):
    async def refuse(_reader, writer):
        writer.write(http({"error": "too long"}, status="413 No", connection="close"))
        await writer.drain()
        await anyio.sleep(0.2)
        writer.transport.abort()

    assert "too long" in (await failure(refuse, LONG)).message


async def test_no_more_is_received_than_is_read(listening, monkeypatch):
    monkeypatch.setattr(network, "BUFFERED", 1000)
    sent = 0

    async def send(_reader, writer):
        nonlocal sent
        for _ in range(1000):
            writer.write(b"x" * 100_000)
            await writer.drain()
            sent += 100_000

    async with listening(send) as port:
        stream = await network.AsyncioBackend().connect_tcp("127.0.0.1", port)
        await anyio.sleep(0.3)
        assert sent < 50_000_000
        read = 0
        while data := await stream.read(65536, timeout=5):
            assert len(data) <= 65536
            read += len(data)
        assert read == sent == 100_000_000
        await stream.aclose()


async def test_closing_leaves_nothing_open(http2, serve, provider_at, http, completion):
    shared, url = http2
    async with provider_at(url) as provider:
        await asyncio.gather(provider.complete(REQUEST), provider.complete(REQUEST))
        assert len(shared.open) == 2
    await until(lambda: not shared.open)
    async with serve(http(completion())) as (server, url):
        async with provider_at(url) as provider:
            await provider.complete(REQUEST)
            assert not server.hung_up.is_set()
        with anyio.fail_after(5):
            await server.hung_up.wait()
