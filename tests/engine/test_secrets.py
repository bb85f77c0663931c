"""A key that a server gives back, in whatever way, is seen neither by the spell nor by anyone who
looks at what the run put out.
"""

import asyncio
import base64
import json
import logging
import os
import re
import subprocess
import sys
import traceback
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from llmspell import Grants, Runtime
from llmspell.config import Project
from llmspell.config.validation import check_settings
from llmspell.errors import ConfigError, ProviderError
from llmspell.providers.endpoints import endpoint, open_provider
from llmspell.providers.messages import Message, ModelRequest
from llmspell.spell import parse_spell

pytestmark = pytest.mark.anyio

KEY = "Zx81/qLw7+TtRb29vNhYc3KdM5pGa0XfE6sUj4oWi"
TOKEN = 'hT5w"Jm2kQe8Uy1Lc9vBn'  # in a header that the settings add


def answer(body, status="200 OK", content_type="application/json", *headers):
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status}", f"content-type: {content_type}", f"content-length: {len(body)}"]
    return "\r\n".join([*lines, *headers, "", ""]).encode() + body


def completion(message, **fields):
    choice = {"index": 0, "message": {"role": "assistant"} | message, "finish_reason": "stop"}
    return {"id": "c1", "object": "chat.completion", "choices": [choice]} | fields


def called(text):
    function = {"name": text, "arguments": json.dumps({"expression": text})}
    return completion({"tool_calls": [{"id": text, "type": "function", "function": function}]})


def in_base64(text):
    return base64.b64encode(text.encode()).decode()


def about_keys(_sent):
    return answer(completion({"content": ABOUT_KEYS}))


# What a server answers that was sent the text: by the model's name.
ECHOES = {
    "error": lambda s: answer({"error": {"message": f"bad {s}", "code": s, "type": s}}, "401 No"),
    "nested": lambda s: answer({"detail": [{"headers": {"authorization": s}}]}, "422 No"),
    "written": lambda s: answer({"error": json.dumps({"got": s})}, "400 No"),
    "text": lambda s: answer(f"no access with {s}".encode(), "403 No", "text/plain"),
    "base64": lambda s: answer({"error": {"message": f"bad {in_base64(s)}", "code": 7}}, "401 No"),
    "basic": lambda s: answer(completion({"content": in_base64(f"user:{s}")})),
    "page": lambda s: answer(f"<p>{s}</p>".encode(), "200 OK", "text/html"),
    "redirect": lambda s: answer(b"", "302 Found", "text/plain", f"location: https://a.b/?{s}"),
    "headers": lambda s: answer(b"{}", f"429 {s}", s, f"retry-after: {s}", f"set-cookie: k={s}"),
    "kind": lambda s: answer(b"<<<", "200 OK", s),
    "inside": lambda s: answer({"error": {"code": 418, "message": s}}),
    "status": lambda s: f"HTTP/9 {s}\r\n\r\n".encode(),
    "header": lambda s: f"HTTP/1.1 200 OK\r\n{s}\r\n\r\n".encode(),
    "gzip": lambda s: answer(s.encode(), "200 OK", "text/plain", "content-encoding: gzip"),
    "content": lambda s: answer(completion({"content": f"you sent {s}"})),
    "escaped": lambda s: answer(
        json.dumps(completion({"content": s})).replace("/", "\\/").encode()
    ),
    "extra": lambda s: answer(completion({"content": "", "trace": {"seen": [s]}}, model=s, id=s)),
    "called": lambda s: answer(called(s)),
}
ABOUT_KEYS = "A key begins with sk-proj-; send it as Bearer sk-proj-abcdefghijk."

SPELL = """
Hook.before("*", function(call) print(Debug.inspect(call)) end)
Hook.after("*", function(call) print(Debug.inspect(call)) end)
Hook.on_error("*", function(call) print(Debug.inspect(call)) end)
print(Debug.inspect(_G), Config.model, Config.project, Debug.inspect(Config.grants))
print(Debug.inspect(Config.limits), Debug.inspect(Tool.list()))
for _, name in ipairs(arg) do
  local agent = Agent.create{model = "test/" .. name, tools = {"calculate"}, max_steps = 1}
  print(name, pcall(function()
    local text, response = agent:prompt("Say hello.")
    return Debug.inspect(response)
  end))
  print(select(2, pcall(agent.prompt, agent, "Again.")), Debug.inspect(agent:history()))
end
"""


@asynccontextmanager
async def echoing():
    """A server that sends back the secrets it was sent; the settings that lead to it."""

    async def talk(reader, writer):
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            sent = dict(line.split(": ", 1) for line in head.splitlines() if ": " in line)
            sent = {name.lower(): text for name, text in sent.items()}
            body = json.loads(await reader.readexactly(int(sent["content-length"])))
            echo = ECHOES.get(body["model"], about_keys)
            writer.write(echo(f"{sent['authorization']} {sent['x-team-token']}"))
            await writer.drain()
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield {
            "base_url": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1",
            "api_key_env": "TEST_KEY",
            "headers": {"x-team-token": TOKEN},
        }
    finally:
        server.close()


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv("TEST_KEY", KEY)
    monkeypatch.setattr("llmspell.providers.connection.FIRST_PAUSE", 0.001)


def check_settings_of(provider):
    return check_settings({"model": "test/content", "providers": {"test": provider}}, "it")


def leaks(text):
    """The parts of the secrets that a text holds."""
    written = text.replace("\\/", "/").replace('\\"', '"')
    written += "".join(from_base64(run) for run in re.findall(r"[\w+/-]{12,}", written))
    return [
        secret[n : n + 8]
        for secret in (KEY, TOKEN)
        for n in range(len(secret) - 7)
        if secret[n : n + 8] in written
    ]


def from_base64(run):
    """What a text stands for, wherever in it base64 begins."""
    cut = [run[n:][: (len(run) - n) // 4 * 4] for n in range(4)]
    return "".join(base64.b64decode(one, altchars=b"-_").decode("latin-1") for one in cut)


@pytest.fixture
def everything_logged(caplog):
    """The log of all loggers, also that of the HTTP client, as it would be written."""
    caplog.set_level(logging.DEBUG)

    def text():
        return "\n".join(record.getMessage() for record in caplog.records)

    return text


@pytest.mark.parametrize("echo", ECHOES)
async def test_what_a_server_sends_back_is_not_seen(echo, tmp_path, everything_logged):
    printed = []
    async with echoing() as provider:
        project = Project(tmp_path, check_settings_of(provider))
        async with Runtime(project=project, output=printed.append) as runtime:
            spell = parse_spell(SPELL.encode(), name="s", file="s.lua")
            await runtime.run(spell, arguments=[echo])
            ask = f'return Agent.create{{model = "test/{echo}"}}:prompt("Once more.")'
            try:
                result = await runtime.execute(ask)
            except Exception as error:  # noqa: BLE001 - whatever it is, we look at all of it
                result = [
                    *traceback.format_exception(error),
                    vars(error),
                    vars(getattr(error, "cause", None) or error),
                ]
    shown = "\n".join(map(str, printed))
    assert "[redacted]" in shown + repr(result) or echo in ("redirect", "headers", "gzip")
    assert leaks(shown) == []
    assert leaks(repr(result)) == []
    assert "send_request_headers" in everything_logged()
    assert leaks(everything_logged()) == []


@pytest.mark.parametrize("echo", ["error", "status", "content"])
async def test_what_the_command_line_shows_with_debug(echo, tmp_path):
    spell = tmp_path / "s.lua"
    spell.write_text(f"{SPELL}\nreturn Agent.create{{model = 'test/{echo}'}}:prompt('Once more.')")
    async with echoing() as provider:
        (tmp_path / "llmspell.toml").write_text(
            '[providers.test]\napi_key_env = "TEST_KEY"\n'
            f'base_url = "{provider["base_url"]}"\nheaders = {{ x-team-token = {TOKEN!r} }}\n'
        )
        command = [sys.executable, "-m", "llmspell", "--debug", "-A", "s.lua", "--", echo]
        process = await asyncio.create_subprocess_exec(
            *command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        shown = (await process.communicate())[0].decode(errors="replace")
    assert "model.request" in shown
    assert ("Traceback (most" in shown) == (echo != "content")
    assert "[redacted]" in shown
    assert leaks(shown) == []


async def test_the_log_of_others_is_left_alone_afterwards():
    loggers = [logging.getLogger(name) for name in ("httpx2", "httpcore2.http11")]
    before = [list(logger.filters) for logger in loggers]
    async with echoing() as provider:
        test = open_provider("test", check_settings_of(provider).providers, os.environ)
        request = ModelRequest("test/error", (Message.of("user", "hi"),))
        with pytest.raises(ProviderError):
            await test.complete(request)
        assert [list(logger.filters) for logger in loggers] != before
        await test.close()
    assert [list(logger.filters) for logger in loggers] == before


async def test_an_answer_about_keys_is_not_touched(tmp_path):
    async with echoing() as provider:
        project = Project(tmp_path, check_settings_of(provider))
        async with Runtime(project=project) as runtime:
            ask = 'return Agent.create{model = "test/about"}:prompt("What is a key?")'
            assert await runtime.execute(ask) == ABOUT_KEYS


async def test_the_settings_of_a_provider_show_no_secret():
    provider = {"base_url": "http://127.0.0.1:1/v1", "api_key_env": "TEST_KEY"}
    provider |= {"headers": {"x-team-token": TOKEN}, "extra_body": {"key": KEY}}
    settings = check_settings_of(provider)
    opened = endpoint("test", settings.providers, os.environ)
    assert opened.key == KEY
    assert leaks(repr(settings) + repr(opened) + str(opened)) == []


@pytest.mark.parametrize(
    "settings",
    [
        {"api_key": KEY},
        {"providers": {"openai": {"api_key": KEY}}},
        {"providers": {"openai": {"api_key_env": [KEY]}}},
        {"providers": {"openai": {"headers": {"authorization": [KEY]}}}},
        {"providers": {"openai": KEY}},
    ],
)
async def test_a_key_in_the_wrong_place_of_the_settings_is_not_shown(settings):
    with pytest.raises(ConfigError) as caught:
        check_settings(settings, "llmspell.toml")
    assert leaks("".join(traceback.format_exception(caught.value))) == []


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="Linux has it")
async def test_the_environment_of_a_process_is_no_file(lua):
    spell = """
    local read, problem = try(read_file, {path = "/proc/self/environ", encoding = "binary"})
    local found = search_files{path = "/proc/self/task", query = "PATH="}
    return {read == nil, problem.message, #found}
    """
    nothing, problem, found = await lua(spell, grants=Grants.all())
    assert problem == (
        "cannot read /proc/self/environ: it is the environment of a process, which contains its keys"
    )
    assert (nothing, found) == (True, 0)
