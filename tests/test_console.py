"""Lines from standard input."""

import os
import sys
from contextlib import suppress

import anyio
import pytest

from llmspell.console import Console

pytestmark = pytest.mark.anyio


@pytest.fixture
def pipe():
    reading, writing = os.pipe()
    yield reading, writing
    for descriptor in (reading, writing):
        with suppress(OSError):  # a test may have closed it
            os.close(descriptor)


async def _all(console):
    lines = []
    while (line := await console.read_line()) is not None:
        lines.append(line)
    return lines


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []),
        (b"one", ["one"]),
        (b"one\n", ["one"]),
        (b"one\r\ntwo\n\nthree", ["one", "two", "", "three"]),
        ("ünï".encode() + b"\xff\n", ["ünï\ufffd"]),
    ],
)
async def test_lines_of_files_and_pipes(tmp_path, pipe, data, lines):
    reading, writing = pipe
    os.write(writing, data)
    os.close(writing)
    assert await _all(Console(reading)) == lines
    (tmp_path / "f").write_bytes(data)
    with (tmp_path / "f").open("rb") as file:
        assert await _all(Console(file.fileno())) == lines


async def test_waiting_for_a_line_holds_nothing_up(pipe):
    reading, writing = pipe
    console, got = Console(reading), []

    async def read():
        got.append(await console.read_line())

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(read)
            await anyio.sleep(0.01)
            os.write(writing, b"half")
            await anyio.sleep(0.01)
            assert got == []
            os.write(writing, b" a line\n")
    assert got == ["half a line"]


async def test_waiting_can_be_cancelled(pipe):
    with anyio.move_on_after(0.02) as scope:
        await Console(pipe[0]).read_line()
    assert scope.cancelled_caught


async def test_nothing_can_be_read_from_dev_null():
    descriptor = os.open(os.devnull, os.O_RDONLY)
    assert await Console(descriptor).read_line() is None
    os.close(descriptor)


async def test_a_process_without_standard_input_reads_no_other_file(tmp_path):
    """The next file that is opened gets the descriptor of standard input."""
    (tmp_path / "secret").write_text("secret\n")
    script = tmp_path / "host.py"
    script.write_text(
        "import asyncio\n"
        "from llmspell.console import Console\n"
        "with open('secret') as file:\n"
        "    print(file.fileno(), asyncio.run(Console().read_line()))\n"
    )
    command = ["sh", "-c", f'exec "{sys.executable}" host.py <&-']
    done = await anyio.run_process(command, cwd=tmp_path)
    assert done.stdout.decode() == "0 None\n"
