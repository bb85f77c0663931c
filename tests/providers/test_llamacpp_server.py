"""The embedded model: a real server with real weights, spoken to over HTTP."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import anyio.from_thread
import httpx2
import pytest
from anyio.lowlevel import checkpoint

from llmspell.errors import ProviderError
from llmspell.providers.llamacpp_server import LocalServer

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the current weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Add two numbers.",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "number"}, "b": {"type": "number"}},
            "required": ["a", "b"],
        },
    },
}


def talk(url, api_key):
    return httpx2.Client(
        base_url=url,
        headers={"authorization": f"Bearer {api_key}"},
        timeout=60,
        limits=httpx2.Limits(max_keepalive_connections=0),  # the server soon closes what is idle
        trust_env=False,
    )


def processes():
    """Process id, parent, state and command line of every process."""
    return subprocess.run(
        ["ps", "-ww", "-eo", "pid,ppid,stat,args"], capture_output=True, text=True, check=True
    ).stdout


def children():
    """The servers this process has started, by process id."""
    split = (row.split(None, 3) for row in processes().splitlines()[1:])
    return [
        int(pid)
        for pid, parent, stat, args in split
        if int(parent) == os.getpid() and "llamacpp_process" in args and not stat.startswith("Z")
    ]


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def until(condition):
    with anyio.fail_after(30):
        while not condition():  # noqa: ASYNC110 - other processes send no events
            await anyio.sleep(0.01)


@pytest.fixture(scope="module")
def client():
    with anyio.from_thread.start_blocking_portal() as portal:
        server = LocalServer()
        url = portal.call(server.start)
        with talk(url, server.api_key) as client:
            yield client
        portal.call(server.close)


def ask(client, messages, **options):
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    body = {"messages": messages, "temperature": 0, "max_tokens": 64, **options}
    response = client.post("/chat/completions", json=body)
    assert response.status_code == 200, response.text
    return response.json()


def said(client, messages, **options):
    return ask(client, messages, **options)["choices"][0]["message"]


def test_it_answers_a_question(client):
    answer = ask(client, "What is the capital of France?")
    assert answer["choices"][0]["message"]["content"] == "The capital of France is Paris."
    assert answer["model"] == "smollm2"
    assert answer["usage"]["completion_tokens"] == 8


def test_at_temperature_0_it_says_the_same_again(client):
    question = "Tell me about rain."
    assert said(client, question) == said(client, question)


@pytest.mark.parametrize("key", ["", "Bearer wrong"])
def test_without_the_key_nobody_is_answered(client, key):
    response = client.post(
        "/chat/completions",
        json={"messages": [{"role": "user", "content": "Hi"}]},
        headers={"authorization": key},
    )
    assert response.status_code == 401


def test_it_listens_on_loopback_only(client):
    tables = [Path("/proc/net/tcp"), Path("/proc/net/tcp6")]
    if not tables[0].exists():
        pytest.skip("only Linux tells by a file who listens where")
    port = f"{client.base_url.port:04X}"
    listening = [
        row.split()[1]
        for table in tables
        if table.exists()
        for row in table.read_text().splitlines()
        if row.split()[3] == "0A" and row.split()[1].endswith(f":{port}")
    ]
    assert listening == [f"0100007F:{port}"]


def test_it_calls_a_tool_and_reads_out_the_answer(client):
    question = {"role": "user", "content": "What is the weather in Oslo?"}
    calling = said(client, [question], tools=[WEATHER, ADD])
    [call] = calling["tool_calls"]
    assert call["function"]["name"] == "get_weather"
    assert json.loads(call["function"]["arguments"]) == {"city": "Oslo"}
    result = {
        "role": "tool",
        "tool_call_id": call["id"],
        "content": '{"temperature": 4, "sky": "rain"}',
    }
    answer = said(client, [question, calling, result], tools=[WEATHER, ADD])
    assert "4" in answer["content"]
    assert "rain" in answer["content"]
    # The history holds a call now; the next question is again one for a tool.
    following = {"role": "user", "content": "Add 3 and 4."}
    [call] = said(client, [question, calling, result, answer, following], tools=[WEATHER, ADD])[
        "tool_calls"
    ]
    assert call["function"]["name"] == "add"
    assert json.loads(call["function"]["arguments"]) == {"a": 3, "b": 4}


def test_a_call_can_be_streamed(client):
    body = {
        "messages": [{"role": "user", "content": "Add 17 and 25."}],
        "tools": [ADD],
        "temperature": 0,
        "stream": True,
    }
    arguments, reasons = "", []
    with client.stream("POST", "/chat/completions", json=body) as response:
        for line in response.iter_lines():
            data = line.removeprefix("data: ")
            if not data or data == "[DONE]":
                continue
            for choice in json.loads(data)["choices"]:
                reasons.append(choice["finish_reason"])
                for call in choice["delta"].get("tool_calls", []):
                    arguments += call["function"]["arguments"]
    assert json.loads(arguments) == {"a": 17, "b": 25}
    assert reasons[-1] == "tool_calls"


def test_a_long_tool_answer_can_be_summarised(client):
    text = "Lua was created in 1993 in Brazil. It is small and fast. " * 10
    call = {
        "id": "c1",
        "type": "function",
        "function": {"name": "read_file", "arguments": '{"path": "lua.txt"}'},
    }
    answer = said(
        client,
        [
            {"role": "system", "content": "You are brief."},
            {"role": "user", "content": "Summarize the file lua.txt in one sentence."},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": text},
        ],
    )
    assert "Lua" in answer["content"]
    assert "says:" not in answer["content"]


def test_structured_output_fits_the_schema(client):
    person = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
        "required": ["name", "age"],
        "additionalProperties": False,
    }
    answer = said(
        client,
        "Anna is 31 years old.",
        response_format={"type": "json_schema", "json_schema": {"name": "p", "schema": person}},
    )
    assert json.loads(answer["content"]) == {"name": "Anna", "age": 31}


def test_an_answer_without_a_limit_ends(client):
    answer = ask(client, "Count to one million.", max_tokens=None)
    assert answer["usage"]["completion_tokens"] <= 512


@pytest.mark.anyio
async def test_it_starts_once_and_ends_when_closed(capfd):
    server = LocalServer()
    before = set(children())
    urls = []

    async def start():
        urls.append(await server.start())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(start)
        tasks.start_soon(start)
    [pid] = set(children()) - before
    assert len(set(urls)) == 1
    assert urlsplit(urls[0]).hostname == "127.0.0.1"
    assert server.api_key not in processes()
    await server.close()
    assert not alive(pid)
    await server.close()
    assert capfd.readouterr() == ("", "")


@pytest.mark.anyio
async def test_a_server_that_died_is_started_anew():
    before = set(children())
    async with LocalServer() as server:
        await server.start()
        [pid] = set(children()) - before
        os.kill(pid, signal.SIGKILL)
        await until(lambda: not alive(pid))
        url = ""
        with anyio.fail_after(10):
            while not set(children()) - before:  # the event loop hears of the end a moment later
                await anyio.sleep(0.01)
                url = await server.start()
        with talk(url, server.api_key) as client:
            assert client.get("/models").status_code == 200


@pytest.mark.anyio
async def test_a_start_that_is_cancelled_leaves_no_process():
    before = set(children())
    server = LocalServer()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.start)
        await until(lambda: set(children()) - before)
        tasks.cancel_scope.cancel()
    assert set(children()) == before
    await server.close()


@pytest.fixture
def started(monkeypatch):
    """The ids of the processes that are started from now on."""
    ids = []

    class Popen(subprocess.Popen):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            ids.append(self.pid)

    monkeypatch.setattr(subprocess, "Popen", Popen)
    return ids


@pytest.mark.anyio
@pytest.mark.parametrize("steps", range(8))
async def test_a_start_that_is_cancelled_at_any_step_leaves_no_process(started, steps):
    server = LocalServer()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.start)
        while not started:
            await checkpoint()
        for _ in range(steps):
            await checkpoint()
        tasks.cancel_scope.cancel()
    assert not alive(started[0])
    await server.close()


@pytest.mark.anyio
async def test_whoever_is_cancelled_leaves_no_process(started):
    async with anyio.create_task_group() as tasks, LocalServer() as server:
        await server.start()
        tasks.cancel_scope.cancel()
    assert not alive(started[0])


PARENT = """
import anyio
from llmspell.providers.llamacpp_server import LocalServer

async def main():
    server = LocalServer()
    await server.start()
    print(server._process.pid, flush=True)
    await anyio.sleep_forever()

anyio.run(main)
"""


def test_no_server_outlives_a_parent_that_is_killed():
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        server = int(parent.stdout.readline())
        assert alive(server)
        parent.kill()
    deadline = time.monotonic() + 10
    while alive(server) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not alive(server)


@pytest.mark.anyio
async def test_a_file_that_is_no_model_is_reported_with_the_server_s_words(tmp_path, capfd):
    file = tmp_path / "broken.gguf"
    file.write_bytes(b"GGUF" + bytes(100))
    server = LocalServer(str(file))
    before = children()
    with pytest.raises(ProviderError, match=r"broken\.gguf could not be started: .+") as caught:
        await server.start()
    assert caught.value.details["log"]
    assert children() == before
    assert capfd.readouterr() == ("", "")


@pytest.mark.anyio
async def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ProviderError, match=r"no model file .*missing\.gguf"):
        await LocalServer(str(tmp_path / "missing.gguf")).start()


@pytest.mark.anyio
async def test_a_path_that_is_not_utf_8_is_named(tmp_path):
    file = tmp_path / os.fsdecode(b"caf\xe9.gguf")
    file.write_bytes(b"GGUF")
    with pytest.raises(ProviderError, match=r"caf\\udce9\.gguf: its path is not UTF-8") as caught:
        await LocalServer(str(file)).start()
    assert "LLMSPELL_CACHE" in caught.value.hint


@pytest.mark.anyio
async def test_without_the_extra_the_hint_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(ProviderError, match="xllamacpp") as caught:
        await LocalServer().start()
    assert caught.value.hint == "run: pip install 'llmspell[local]'"
