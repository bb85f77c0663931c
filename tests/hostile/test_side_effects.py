"""That the watch and the search for leaks notice what they are for: in a process of their own."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

HERE = Path(__file__).parent

WATCHED = """
import asyncio, logging, pathlib, socket, subprocess, sys, warnings
from side_effects import Watch
watch = Watch(pathlib.Path(sys.argv[1]))
async def never(): pass
def fail(): raise KeyError("lost")
async def main():
    with watch:
        {}
        await asyncio.sleep(0)
asyncio.run(main())
print(watch.noticed)
"""


def noticed(tmp_path, statement):
    command = [sys.executable, "-c", WATCHED.format(statement), str(tmp_path)]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize(
    "statement",
    [
        "pass",
        "import fractions, http.client",
        "open('/proc/self/statm').close()",
        "logging.getLogger('llmspell.spell').error('the spell says so')",
        "logging.getLogger('llmspell.hooks').warning('a hook failed')",
    ],
)
def test_what_a_host_may_do(tmp_path, statement):
    assert noticed(tmp_path, statement) == "[]"


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("open('/etc/hostname').close()", "did open ('/etc/hostname'"),
        ("open(sys.argv[1] + '/x', 'w').close()", "did open"),
        ("subprocess.run(['true'])", "did subprocess.Popen ('true'"),
        ("subprocess.run([sys.executable, '-I', '-S', '/tmp/x.py'])", "did subprocess.Popen"),
        ("socket.socket().connect_ex(('127.0.0.1', 1))", "did socket.connect"),
        ("pathlib.Path(sys.argv[1], 'x').mkdir()", "did os.mkdir"),
        ("logging.getLogger('llmspell.driver').error('tool.call failed')", "tool.call failed"),
        ("never()", "coroutine 'never' was never awaited"),
        ("asyncio.get_running_loop().call_soon(fail)", "KeyError('lost')"),
    ],
)
def test_what_a_host_may_not_do(tmp_path, statement, said):
    assert said in noticed(tmp_path, statement)


LEAKING = """
import subprocess, sys
from side_effects import Leaks
from llmspell.engine import Engine
leaks = Leaks()
leaks.settle()
{}
print(leaks.found())
"""


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("pass", "None"),
        ("kept = Engine.__new__(Engine)", "1 objects of runs"),
        ("kept = b'x' * (100 << 20)", "memory grew by 1"),
        (
            "kept = subprocess.Popen(['sleep', '2'], stdout=subprocess.DEVNULL, stderr=-3)",
            "processes ['",
        ),
    ],
)
def test_what_is_left_is_found(statement, said):
    command = [sys.executable, "-c", LEAKING.format(statement)]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(said)
