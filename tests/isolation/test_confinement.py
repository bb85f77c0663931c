"""What a confined process cannot do any more, tried for real in processes made for that."""

import subprocess
import sys

import pytest

from llmspell.isolation import confinement

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what the kernel takes is Linux's")

TRIES = {
    "open a file": "open('/etc/hostname')",
    "write a file": "open('/tmp/confined', 'w')",
    "list a folder": "os.listdir('/')",
    "make a socket": "socket.socket()",
    "start a process": "os.fork()",
    "run a program": "os.execv('/bin/true', ['true'])",
    "signal another process": "os.kill(os.getppid(), 0)",
    "read another process": "ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0) < 0 and fail()",
    "run code it wrote": "mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC)",
    "take much memory": "bytearray(1 << 30)",
    "raise a limit": "resource.setrlimit(resource.RLIMIT_NOFILE, (9, 9))",
}

SCRIPT = """
import ctypes, mmap, os, resource, socket
from llmspell.isolation import confinement
def fail():
    raise PermissionError
ctypes.CDLL(None)
confinement.prepare()
{confine}
try:
    {attempt}
except (OSError, ValueError, MemoryError):
    print("refused")
else:
    print("done")
"""


def _attempt(confine, attempt):
    script = SCRIPT.format(confine=confine, attempt=attempt)
    done = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True
    )
    assert done.stderr == ""
    return done.stdout.strip()


def _available(name):
    return next(m for m in confinement.available() if m.name == name).available


@pytest.mark.parametrize("attempt", TRIES.values(), ids=TRIES)
def test_a_confined_process_is_refused(attempt):
    if not _available("seccomp"):
        pytest.skip("libseccomp is not installed")
    assert _attempt("confinement.confine(1 << 28)", attempt) == "refused"


@pytest.mark.parametrize(
    ("measure", "call", "attempt"),
    [
        ("seccomp", "filter_system_calls", "socket.socket()"),
        ("seccomp", "filter_system_calls", "os.fork()"),
        ("landlock", "leave_file_system", "open('/etc/hostname')"),
        ("landlock", "leave_file_system", "os.mkdir(f'{folder}/{{os.getpid()}}')"),
        ("namespace", "leave_network", "socket.create_connection(('127.0.0.1', {port}))"),
        ("rlimits", "limit_resources(1 << 28)", "bytearray(1 << 30)"),
        ("rlimits", "limit_resources(1 << 28)", "os.pipe()"),
    ],
)
def test_each_measure_takes_something_by_itself(tmp_path, measure, call, attempt):
    if not _available(measure):
        pytest.skip(f"no {measure} here")
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        attempt = attempt.format(port=server.getsockname()[1], folder=tmp_path)
        assert _attempt("pass", attempt.replace("os.fork()", "os.getpid()")) == "done"
        call = call if call.endswith(")") else f"{call}()"
        assert _attempt(f"confinement.{call}", attempt) == "refused"


def test_cpu_is_limited_by_the_kernel():
    script = (
        "from llmspell.isolation import confinement\nconfinement.limit_cpu(1)\nwhile True: pass"
    )
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True)
    assert -done.returncode == 24  # SIGXCPU


def test_a_confined_process_still_computes():
    attempt = "assert sum(x * x for x in range(100_000)) and str(0.1) and [1] * 100_000"
    assert _attempt("confinement.confine(1 << 28)", attempt) == "done"
