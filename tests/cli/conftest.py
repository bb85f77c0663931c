"""Runs the command line in real processes, in pipes and on a terminal, with a fake model server."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from contextlib import contextmanager
from typing import NamedTuple

import pytest

from llmspell.providers.messages import Usage
from llmspell.testing.fakes import Answer, FakeServer, dropped, page, refused, slow

LLMSPELL = [sys.executable, "-m", "llmspell"]
PATIENCE = 20  # seconds

TOOLS = '''
import time
from llmspell import tool


@tool
def add(a: int, b: int = 1) -> int:
    """Add two numbers.

    Args:
        a: The first.
    """
    return a + b


@tool
def explode(why: str) -> str:
    """Always fail."""
    raise KeyError(why)


@tool
def nap(seconds: float) -> str:
    """Block a thread."""
    time.sleep(seconds)
    return "rested"


@tool(timeout=0.2)
def nap_briefly(seconds: float) -> str:
    """Block a thread for longer than it may."""
    time.sleep(seconds)
    return "rested"


@tool
def mutter(lines: int) -> str:
    """Print from a thread."""
    for n in range(lines):
        print("muttered", n, flush=True)
        time.sleep(0.15)
    return "done"
'''


class Outcome(NamedTuple):
    """The exit code and output of a process."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def bytecode(tmp_path_factory):
    return tmp_path_factory.mktemp("bytecode")


@pytest.fixture
def environ(bytecode, tmp_path):
    """An environment without the keys, servers, colours and settings of the machine."""
    kept = {"PATH", "LANG", "LC_ALL", "VIRTUAL_ENV", "LLMSPELL_CACHE"}
    return {name: value for name, value in os.environ.items() if name in kept} | {
        "HOME": str(tmp_path / "home"),
        "PYTHONPYCACHEPREFIX": str(bytecode),
        "TERM": "xterm",
        "OLLAMA_HOST": "127.0.0.1:1",
    }


@pytest.fixture
def project(tmp_path):
    """The folder in which the command line runs."""
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


@pytest.fixture
def write(project):
    """Write a file of the project, with `front` as front matter if given."""

    def writing(name, text, front=""):
        file = project / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if front:
            head = "".join(f"--- {line}\n" for line in front.splitlines())
            text = f"--- /// spell\n{head}--- ///\n{text}"
        file.write_text(text)
        return file

    return writing


@pytest.fixture
def tools(write):
    write("tools.py", TOOLS)
    return "--tools=tools.py"


@pytest.fixture
def llmspell(project, environ):
    """Run the command line to its end. Fails if it shows a Python traceback without --debug."""

    def run(*arguments, stdin="", cwd=project, **more):
        done = subprocess.run(
            [*LLMSPELL, *arguments],
            input=stdin,
            capture_output=True,
            check=False,
            encoding="utf-8",
            cwd=cwd,
            env=environ | more,
            timeout=PATIENCE,
        )
        assert "Traceback (most" not in done.stderr or "--debug" in arguments
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def shell(project, environ):
    """Run a line of bash in which `llmspell` is defined."""
    words = " ".join(f'"{word}"' for word in LLMSPELL)

    def run(line):
        done = subprocess.run(
            ["bash", "-c", f'llmspell() {{ {words} "$@"; }}\n{line}'],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            encoding="utf-8",
            cwd=project,
            env=environ,
            timeout=PATIENCE,
        )
        assert "Traceback (most" not in done.stderr
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def unprivileged(shell):
    """The same for one command line of `llmspell`, by a user to whom modes of files apply."""
    # Root may read and write everything, unless it gives that up.
    drop = "setpriv --bounding-set -dac_override,-dac_read_search" if os.geteuid() == 0 else ""
    words = " ".join(f'"{word}"' for word in LLMSPELL)
    return lambda line: shell(f"{drop} {words} {line}")


@pytest.fixture
def started(project, environ):
    """`with started("exec", …) as process`: a process that is still running."""

    @contextmanager
    def starting(*arguments, **options):
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        command = [*LLMSPELL, *arguments]
        with subprocess.Popen(command, cwd=project, env=environ, **(pipes | options)) as process:
            try:
                yield process
            finally:
                process.kill()

    return starting


_CODES = re.compile(r"\x1b\[(\??[\d;]*)([A-Za-z])|[\s\S]")


class Screen:
    """A minimal terminal emulator, sufficient for a spinner."""

    def __init__(self):
        self.rows = [""]
        self.row = self.column = 0
        self.cursor_shown = True

    def feed(self, text):
        for code in _CODES.finditer(text):
            if code[2]:
                self._obey(code[1], code[2])
            elif code[0] == "\r":
                self.column = 0
            elif code[0] == "\n":
                self.row += 1
                self.rows += [""] * (self.row + 1 - len(self.rows))
            else:
                row = self.rows[self.row].ljust(self.column)
                self.rows[self.row] = row[: self.column] + code[0] + row[self.column + 1 :]
                self.column += 1

    def _obey(self, numbers, letter):
        if letter == "A":
            self.row = max(0, self.row - int(numbers or 1))
        elif letter == "K":
            self.rows[self.row] = ""
        elif numbers == "?25":
            self.cursor_shown = letter == "h"
        else:
            assert letter == "m", f"the screen does not know {numbers}{letter}"

    @property
    def lines(self):
        return [row.rstrip() for row in self.rows if row.strip()]


# Makes standard input the controlling terminal, from which Ctrl-C comes.
TAKE_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


class Terminal:
    """A process on a terminal of 80 columns; some of its streams may be redirected."""

    def __init__(self, arguments, cwd, env, streams):
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))

        self.process = subprocess.Popen(
            [sys.executable, "-S", "-c", TAKE_TERMINAL, *LLMSPELL, *arguments],
            cwd=cwd,
            env=env,
            start_new_session=True,
            **({"stdin": slave, "stdout": slave, "stderr": slave} | streams),
        )
        os.close(slave)
        self.screen = Screen()
        self.sent = ""

    def type(self, text):
        os.write(self._master, text.encode())

    def interrupt(self):
        self.type("\x03")

    def wait_for(self, text):
        """Wait until a text has been written to the terminal; `sent` has everything so far."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.sent:
            assert self._read(deadline), f"{text!r} did not appear in {self.sent!r}"

    def wait_for_silence(self, seconds):
        """Read the terminal's output for some seconds."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._read(deadline)

    def wait(self):
        """Wait until the process has ended, and return its exit code."""
        deadline = time.monotonic() + PATIENCE
        while self._read(deadline):
            pass
        return self.process.wait(max(0, deadline - time.monotonic()))

    def _read(self, deadline):
        ready, _, _ = select.select([self._master], [], [], max(0, deadline - time.monotonic()))
        try:
            data = os.read(self._master, 65536) if ready else b""
        except OSError:  # on Linux, when no process has the other end open any more
            return False
        text = data.decode("utf-8", "replace")
        self.sent += text
        self.screen.feed(text)
        return bool(data)

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self._master)


@pytest.fixture
def terminal(project, environ):
    """`terminal("exec", …)`: starts the command line on a terminal."""
    opened = []

    def opening(*arguments, **streams):
        found = Terminal(arguments, project, environ, streams)
        opened.append(found)
        return found

    yield opening
    for found in opened:
        found.close()


HELLO = Answer("Hello to you.", usage=Usage(3, 2), model="any")
MOODS = {
    "drop": dropped(HELLO),
    "half": dropped(HELLO, after=0.5),
    "garbage": page("<<< not JSON", "application/json"),
    "empty": Answer(),
}


@pytest.fixture
def model(write):
    """A provider `test` in the project's llmspell.toml, whose models behave as their name says.

    A name is `ok`, `slow-2`, an HTTP status, or one of `MOODS`. The event `model.asked` is set by
    the first request; `model.server` is the server.
    """

    def reply(request):
        option.asked.set()
        mood, _, number = request.json["model"].partition("-")
        if mood.isdigit():
            return refused(int(mood), "no, not now", retry_after=0)
        return slow(float(number or 0), HELLO) if mood == "slow" else MOODS.get(mood, HELLO)

    def option(mood):
        return f"--model=test/{mood}"

    option.asked = threading.Event()
    with FakeServer(reply, models=refused(404, "no, not now")) as server:
        write("llmspell.toml", f'[providers.test]\nbase_url = "{server.url}/v1"\n')
        option.server = server
        yield option


@pytest.fixture
def seconds_to_end():
    """Send SIGINT to a process, once or several times; return the seconds until it ended."""

    def ending(process, times=1):
        begin = time.perf_counter()
        for _ in range(times):
            process.send_signal(signal.SIGINT)
        process.wait(PATIENCE)
        return time.perf_counter() - begin

    return ending
