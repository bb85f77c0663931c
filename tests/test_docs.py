"""Runs the documentation: every fenced block of the README, of docs/ and of the bridges' pages.

How a page is run, which docs/contributing.md also tells:

- A page has a folder of its own; its blocks run there in order and share files and state.
- A first line `-- hello.lua` or `# weather.py` makes a block a file. A file is not run by itself:
  another block has to use it.
- `lua` runs as a spell, `python` as a program, `sh` as one script, `console` line by line: what
  follows `$ `, and under it what that prints. `make` is not run; its targets have to exist.
- A `text` block right after one that ran is its output; `…` stands for anything in a line, and
  alone in a line for any lines. A command may fail only where an `error:` is shown.
- `toml` is a file, or settings that have to be valid. Other languages are refused.
- `<!-- model: […] -->` before a block is what the model answers in it, in the form of a
  `ScriptedProvider` file; `"when"` in a reply reserves it for requests that hold that text.
- `<!-- not run: reason -->` before a block keeps it from being run.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from llmspell import Runtime
from llmspell.config import find_project
from llmspell.config.project import read_settings
from llmspell.config.validation import check_settings
from llmspell.providers.catalogue import CATALOGUE
from llmspell.providers.weights import fetch

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "bridges").glob("*/README.md")),
]
LANGUAGES = {"lua", "python", "sh", "console", "text", "toml"}
NOT_RUN = []  # the reasons of all `not run` markers

_FENCE = re.compile(r"^\s*(?:```|~~~)(.*)$")
_MARKER = re.compile(r"^<!-- (model|not run): (.*) -->$")
_MAKE = re.compile(r"^make ([\w-]+).*$", re.MULTILINE)
_FILE = re.compile(r"^(?:--|#) ([\w./-]+\.\w+)$")


@dataclass
class Block:
    language: str
    place: str
    lines: list[str] = field(default_factory=list)
    expected: list[str] | None = None
    replies: list[object] = field(default_factory=list)
    not_run: str | None = None

    @property
    def text(self):
        return "\n".join(self.lines) + "\n"

    @property
    def file(self):
        match = _FILE.match(self.lines[0]) if self.lines else None
        return match and match[1]


def read_page(page):
    blocks, markers, block, fresh = [], {}, None, False
    for number, line in enumerate(page.read_text("utf-8").splitlines(), 1):
        fence = _FENCE.match(line)
        if block is not None and line != "```":
            block.lines.append(line)
        elif block is not None:
            if block.language == "text" and fresh:
                assert not blocks[-1].file, f"{block.place}: a file that is not run has no output"
                blocks[-1].expected = block.lines
            elif block.language != "text":
                blocks.append(block)
            fresh, block = block.language != "text", None
        elif fence:
            block = Block(fence[1], f"{page.relative_to(ROOT)}:{number}")
            assert line[3:] in LANGUAGES, f"{block.place}: what is {line!r}?"
            block.not_run = markers.get("not run")
            block.replies = json.loads(markers.get("model", "[]"))
            markers = {}
        elif match := _MARKER.match(line):
            markers[match[1]] = match[2]
        elif line.strip():
            fresh = False
    assert block is None, f"{page}: a block has no end"
    return blocks


class Model(ThreadingHTTPServer):
    """Speaks OpenAI's chat completions on a loopback port, and says what the page scripts."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Completions)
        self.replies, self.lock = [], threading.Lock()
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def reply_to(self, body):
        with self.lock:
            for n, reply in enumerate(self.replies):
                if not isinstance(reply, dict) or reply.get("when", "") in body:
                    return self.replies.pop(n)
        return {"error": "the page scripts no reply for this request", "status": 400}


class Completions(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        reply = self.server.reply_to(body)
        reply = {"text": reply} if isinstance(reply, str) else reply
        status, answer = 200, _completion(reply, json.loads(body)["model"], len(body))
        if "error" in reply:
            status, answer = reply.get("status", 500), {"error": {"message": reply["error"]}}
        streams = status == 200 and json.loads(body).get("stream")
        data = b"".join(_events(answer)) if streams else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "text/event-stream" if streams else "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


def _completion(reply, model, asked):
    text = reply.get("text")
    message = {"role": "assistant", "content": text if isinstance(text, str) else json.dumps(text)}
    for number, call in enumerate(reply.get("tool_calls", [])):
        function = {"name": call["name"], "arguments": json.dumps(call.get("arguments", {}))}
        called = {"id": f"call_{asked}_{number}", "type": "function", "function": function}
        message |= {"content": None, "tool_calls": [*message.get("tool_calls", []), called]}
    reason = "tool_calls" if "tool_calls" in reply else "stop"
    used = {"prompt_tokens": asked // 4, "completion_tokens": len(str(text)) // 4}
    return {
        "id": "chatcmpl-docs",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
        "usage": used | {"total_tokens": sum(used.values())},
    }


def _events(completion):
    """The same answer as it is streamed: word by word."""
    (choice,) = completion["choices"]
    message = choice["message"]
    calls = [call | {"index": n} for n, call in enumerate(message.pop("tool_calls", []))]
    deltas = [{"content": word} for word in re.findall(r"\s*\S+", message["content"] or "")]
    for delta in [{"role": "assistant"}, *deltas, {"tool_calls": calls} if calls else {}]:
        yield _event(completion, delta)
    yield _event(completion, {}, finish_reason=choice["finish_reason"])
    yield b"data: [DONE]\n\n"


def _event(completion, delta, finish_reason=None):
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return f"data: {json.dumps(completion | {'choices': [choice]})}\n\n".encode()


@pytest.fixture(scope="module")
def model():
    with Model() as server:
        yield server
        server.shutdown()


@pytest.fixture
def folder(tmp_path, monkeypatch, model):
    """The page's folder: the current one; the default model is the scripted one."""
    for listed in CATALOGUE.values():
        for variable in listed.keys:
            monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-docs")
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{model.server_port}/v1")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


async def run_lua(block):
    """What the command line would print of it."""
    printed = []
    async with Runtime(project=find_project(), output=printed.append) as runtime:
        result = await runtime.execute(block.text, name=block.place)
    if isinstance(result, str):
        printed.append(result)
    elif result is not None:
        printed.append(json.dumps(result, ensure_ascii=False, indent=2))
    return "\n".join(printed)


def run_program(*command):
    """What it printed to both outputs, and its exit code."""
    done = subprocess.run(
        command,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=50,
    )
    return done.stdout, done.returncode


def run_shell(script, expected, place):
    for target in _MAKE.findall(script):
        makefile = (ROOT / "Makefile").read_text("utf-8")
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{place}: no target {target}"
    script = _MAKE.sub("", script)
    output, code = run_program("bash", "-c", script)
    shows_error = any(line.lower().startswith("error:") for line in expected or [])
    assert code == 0 or shows_error, f"{place}: {script} ended with {code}:\n{output}"
    compare(output, expected, f"{place}: {script}")


def compare(output, expected, place):
    if expected is None:
        return
    expected = "\n".join(expected).rstrip().splitlines()
    shown = "\n".join(line.rstrip() for line in output.rstrip().splitlines())
    lines = [r"(?:.*\n)*?" if line == "…" else _as_pattern(line) + r"\n" for line in expected]
    if not re.fullmatch("".join(lines), f"{shown}\n" if shown else ""):
        pytest.fail(f"{place} printed\n{shown}\n\nbut the page shows\n" + "\n".join(expected))


def _as_pattern(line):
    return ".*".join(re.escape(part) for part in line.rstrip().split("…"))


def sessions(lines):
    """The commands of a console block, each with the lines it should print."""
    found = []
    for line in lines:
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif found and found[-1][0].endswith("\\"):
            command, expected = found.pop()
            found.append((f"{command}\n{line}", expected))
        else:
            found[-1][1].append(line)
    return found


def save(block, blocks):
    """Write a block's file, which another block has to use."""
    path = Path(block.file)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(block.text, "utf-8")
    if block.language == "toml":
        if path.name == "llmspell.toml":
            read_settings(path)
        return
    names = {path.stem, path.parent.name} - {"", "main", "init", "lua_modules", "spells"}
    used = any(name in b.text for name in names for b in blocks if b is not block)
    assert used, f"{block.place}: nothing uses {block.file}"


async def run_block(block):
    if block.language == "toml":
        import tomllib

        check_settings(tomllib.loads(block.text), block.place)
    elif block.language == "lua":
        compare(await run_lua(block), block.expected, block.place)
    elif block.language == "python":
        output, code = run_program(sys.executable, "-c", block.text)
        assert code == 0, f"{block.place} ended with {code}:\n{output}"
        compare(output, block.expected, block.place)
    elif block.language == "sh":
        run_shell(block.text, block.expected, block.place)
    else:
        for command, expected in sessions(block.lines):
            run_shell(command, expected, block.place)


@pytest.mark.anyio
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
async def test_every_block_of_the_page_runs(page, folder, model):
    blocks = read_page(page)
    if any("--model local/smollm2" in block.text for block in blocks):
        await fetch("smollm2")  # now, since a command would tell of it
    for block in blocks:
        model.replies = list(block.replies)
        if block.not_run:
            continue
        if block.file:
            save(block, blocks)
        else:
            await run_block(block)
        assert not model.replies, f"{block.place}: the model was not asked for {model.replies}"


def test_nothing_is_left_out_but_for_a_known_reason():
    left_out = [block.not_run for page in PAGES for block in read_page(page) if block.not_run]
    assert left_out == NOT_RUN, f"{len(left_out)} blocks are not run"


def test_links_lead_somewhere():
    for page in PAGES:
        text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page}: {target}"
