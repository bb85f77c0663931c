import signal
import sys
import time
from functools import partial
from pathlib import Path

import anyio
import pytest

from llmspell.errors import InvalidArguments, PermissionDenied, ToolError
from llmspell.permissions import Grants
from llmspell.providers.catalogue import CATALOGUE
from llmspell.tools.programs import run_program

pytestmark = pytest.mark.anyio


@pytest.fixture
def python(call):
    """Runs Python code by run_program."""

    async def python(code, *args, **options):
        return await call(run_program, program=sys.executable, args=["-c", code, *args], **options)

    return python


@pytest.fixture
def script(tmp_path):
    def script(text, name="script", mode=0o755):
        file = tmp_path / name
        file.write_text(text)
        file.chmod(mode)
        return str(file)

    return script


def is_running(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


async def until(condition):
    """Whether it came true within seconds."""
    for _ in range(500):
        if condition():
            return True
        await anyio.sleep(0.01)
    return False


async def gone(pid):
    return await until(lambda: not is_running(pid))


# What goes in and comes out


async def test_arguments_go_in_and_output_comes_out(python):
    result = await python(
        "import sys; print(sys.argv[1:]); print('so', file=sys.stderr)", "a b", "$HOME;*"
    )
    assert result == {"exit_code": 0, "stdout": "['a b', '$HOME;*']\n", "stderr": "so\n"}


async def test_every_exit_code_is_a_result(python):
    assert (await python("raise SystemExit(3)"))["exit_code"] == 3
    killed = await python("import os; os.kill(os.getpid(), 9)")
    assert killed["exit_code"] == -signal.SIGKILL


@pytest.mark.parametrize("stdin", ["tea\n", b"\xff\x00", "x" * 1_000_000])
async def test_what_it_reads(python, stdin):
    echo = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())"
    assert (await python(echo, stdin=stdin))["stdout"] == stdin


async def test_without_stdin_there_is_nothing_to_read(python):
    assert (await python("print(repr(input()))"))["stderr"].endswith("EOF when reading a line\n")


async def test_stdin_may_be_left_unread(python):
    assert (await python("print('done')", stdin="x" * 1_000_000))["stdout"] == "done\n"


async def test_output_that_is_no_text_is_bytes(python):
    code = "import sys; sys.stdout.buffer.write(b'\\xff'); sys.stderr.buffer.write('é'.encode())"
    result = await python(code)
    assert (result["stdout"], result["stderr"]) == (b"\xff", "é")


async def test_it_runs_in_the_folder_asked_for(python, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    code = "import os; print(os.getcwd())"
    assert (await python(code))["stdout"] == f"{tmp_path}\n"
    assert (await python(code, cwd="in"))["stdout"] == f"{tmp_path}/in\n"
    assert (await python(code, cwd=""))["stdout"] == f"{tmp_path}\n"


async def test_a_relative_program_is_that_of_the_current_folder(
    call, script, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    script("#!/bin/sh\necho outer\n")
    (tmp_path / "in").mkdir()
    script("#!/bin/sh\necho inner\n", "in/script")
    assert (await call(run_program, program="./script", cwd="in"))["stdout"] == "outer\n"


async def test_it_is_called_by_the_name_that_was_given(call, script, tmp_path, monkeypatch):
    script("#!/bin/sh\necho called $0\n", "tea")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert (await call(run_program, program="tea"))["stdout"] == f"called {tmp_path}/tea\n"
    result = await call(run_program, program="sh", args=["-c", "echo $0"])
    assert result["stdout"] == "sh\n"


async def test_it_sees_little_of_the_environment(python, monkeypatch):
    for listed in CATALOGUE.values():
        for name in listed.keys:
            monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("LC_TIME", "C")
    monkeypatch.setenv("LC_KEY", "secret")
    monkeypatch.setenv("LD_PRELOAD", "")
    code = "import os; print(*sorted(os.environ))"
    names = set((await python(code))["stdout"].split())
    allowed = {"PATH", "HOME", "LANG", "TZ", "TMPDIR", "TERM", "LC_TIME", "LC_ALL", "LC_CTYPE"}
    assert {"PATH", "LC_TIME"} <= names <= allowed


async def test_it_has_no_terminal(python):
    code = "import os; print(os.getsid(0) == os.getpid()); open('/dev/tty')"
    result = await python(code)
    assert result["stdout"] == "True\n"
    assert "/dev/tty" in result["stderr"]


# What can go wrong


async def test_a_program_that_is_not_there(call, tmp_path):
    with pytest.raises(ToolError, match="no program ls -l in the folders of PATH") as caught:
        await call(run_program, program="ls -l")
    assert caught.value.hint == "its arguments belong into args"
    with pytest.raises(ToolError, match="no program no-such-thing in the folders of PATH"):
        await call(run_program, program="no-such-thing")
    with pytest.raises(ToolError, match="there is no program") as caught:
        await call(run_program, program=f"{tmp_path}/nothing")
    assert "relative paths start at" in caught.value.hint
    with pytest.raises(ToolError, match="there is no program"):
        await call(run_program, program=str(tmp_path))


async def test_a_file_that_is_no_program(call, script):
    with pytest.raises(ToolError, match="is not executable") as caught:
        await call(run_program, program=script("#!/bin/sh\n", mode=0o644))
    assert caught.value.hint.startswith("chmod +x ")
    with pytest.raises(ToolError, match="neither a program for this machine nor a script"):
        await call(run_program, program=script("echo"))
    with pytest.raises(ToolError, match="the interpreter named in its first line does not exist"):
        await call(run_program, program=script("#!/no/such/interpreter\n"))


async def test_arguments_that_no_program_can_get(call, python):
    with pytest.raises(ToolError, match="null byte"):
        await python("", "a\0b")
    with pytest.raises(ToolError, match="arguments are too long"):
        await python("", *["x" * 100_000] * 100)
    with pytest.raises(InvalidArguments, match=r"args\.0"):
        await call(run_program, program="true", args=[{}])
    with pytest.raises(InvalidArguments, match="program"):
        await call(run_program, program="")


@pytest.mark.parametrize("folder", ["nowhere", "file"])
async def test_a_folder_that_is_none(python, tmp_path, folder):
    (tmp_path / "file").touch()
    with pytest.raises(ToolError, match=r"cannot run in .*: it is not a folder"):
        await python("", cwd=str(tmp_path / folder))


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
async def test_too_much_output_ends_it(python, tmp_path, stream):
    pid = tmp_path / "pid"
    code = f"""
import os, sys
open({str(pid)!r}, "w").write(str(os.getpid()))
while True:
    sys.{stream}.write("x" * 1000)
"""
    with pytest.raises(ToolError, match="wrote more than max_bytes = 100,000") as caught:
        await python(code, max_bytes=100_000)
    assert "larger max_bytes" in caught.value.hint
    assert await gone(int(pid.read_text()))


async def test_output_of_exactly_the_size_is_no_error(python):
    code = "import sys; print('x' * 499); print('y' * 499, file=sys.stderr)"
    assert len((await python(code, max_bytes=1000))["stdout"]) == 500
    with pytest.raises(ToolError, match="max_bytes = 999"):
        await python(code, max_bytes=999)


# Nothing is left


FAMILY = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
with open(sys.argv[1] + ".new", "w") as file:
    print(os.getpid(), child.pid, file=file)
os.rename(sys.argv[1] + ".new", sys.argv[1])
"""


async def test_a_timeout_kills_it_and_what_it_started(python, tmp_path):
    pids = tmp_path / "pids"
    started = time.perf_counter()
    with pytest.raises(ToolError, match="did not end within 1 s") as caught:
        await python(FAMILY + "time.sleep(60)", str(pids), timeout=1)
    assert time.perf_counter() - started < 5
    assert not caught.value.retryable
    assert [await gone(int(pid)) for pid in pids.read_text().split()] == [True, True]


async def test_cancelling_kills_it_and_what_it_started(python, tmp_path):
    pids = tmp_path / "pids"
    async with anyio.create_task_group() as group:
        group.start_soon(python, FAMILY + "time.sleep(60)", str(pids))
        assert await until(pids.exists)
        group.cancel_scope.cancel()
    assert [await gone(int(pid)) for pid in pids.read_text().split()] == [True, True]


async def test_what_it_leaves_running_is_killed_when_it_ends(python, tmp_path):
    pids = tmp_path / "pids"
    with anyio.fail_after(10):
        result = await python(FAMILY + "print('bye')", str(pids))
    assert result == {"exit_code": 0, "stdout": "bye\n", "stderr": ""}
    assert [await gone(int(pid)) for pid in pids.read_text().split()] == [True, True]


async def test_many_at_once(python):
    results = []

    async def one(n):
        results.append((await python(f"print({n} * 2)"))["stdout"])

    async with anyio.create_task_group() as group:
        for n in range(5):
            group.start_soon(one, n)
    assert sorted(results) == ["0\n", "2\n", "4\n", "6\n", "8\n"]


async def test_programs_that_take_long_keep_no_other_tool_waiting(call):
    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(partial(call, run_program, program="sleep", args=["30"]))
        with anyio.fail_after(10):
            await anyio.sleep(0.1)
            assert (await call(run_program, program="echo", args=["tea"]))["stdout"] == "tea\n"
            assert await anyio.to_thread.run_sync(lambda: "a thread") == "a thread"
        group.cancel_scope.cancel()


def held():
    """How many descriptors, and which children, this process has."""
    children = [path.read_text() for path in Path("/proc/self/task").glob("*/children")]
    return len(list(Path("/proc/self/fd").iterdir())), "".join(children).split()


async def test_no_descriptor_and_no_process_is_left(python):
    await python("")
    before = held()
    for _ in range(3):
        await python("print(1)")
        with pytest.raises(ToolError):
            await python("print(1)", max_bytes=1)
    assert held() == before


# What is granted


async def test_it_is_granted_by_name_or_path(call, script, tmp_path, monkeypatch):
    path = script("#!/bin/sh\necho tea\n", "tea")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    for granted in ("tea", path):
        for program in ("tea", path):
            result = await call(run_program, Grants(run=(granted,)), program=program)
            assert result["stdout"] == "tea\n"


async def test_another_program_is_refused(call, script, tmp_path):
    with pytest.raises(PermissionDenied, match="run_program may not run printenv") as caught:
        await call(run_program, Grants(run=("echo",)), program="printenv")
    assert "--allow-run=printenv" in caught.value.hint
    own = script("#!/bin/sh\n", "echo")
    with pytest.raises(PermissionDenied):
        await call(run_program, Grants(run=("echo",)), program=own)
    with pytest.raises(PermissionDenied):
        await call(run_program, Grants(), program="echo")


async def test_a_program_judged_by_name_is_judged_by_place_too(call, script, tmp_path, monkeypatch):
    """The folders of PATH say what a name is; a grant of a path is for that path only."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    real = "/bin/echo"
    script("#!/bin/sh\necho false\n", "echo")
    with pytest.raises(PermissionDenied):
        await call(run_program, Grants(run=(real,)), program="echo")
