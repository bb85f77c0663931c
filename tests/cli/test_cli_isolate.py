"""Spells in processes of their own, from the command line."""

import re
import signal
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def _family(pid):
    """Process ids of all that a process has started."""
    found = []
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        found += [int(child), *_family(child)]
    return found


def _left_of(pids):
    """Those that are still there after a moment."""
    for _ in range(500):
        left = [pid for pid in pids if Path(f"/proc/{pid}").exists()]
        if not left:
            break
        time.sleep(0.01)
    return left


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL, signal.SIGTERM])
def test_nothing_is_left_when_it_is_ended(started, end):
    with started("exec", "--isolate", "print('ready') while true do end") as process:
        assert process.stdout.readline() == b"ready\n"
        family = _family(process.pid)
        assert len(family) >= 2
        process.send_signal(end)
        process.wait(10)
    assert _left_of(family) == []


def test_results_errors_and_exit_codes_are_the_same(llmspell, write):
    write("fails.lua", "print('before')\nerror('no')")
    for arguments in (
        ("exec", "return {a = 1}"),
        ("exec", "return read_file{path = '/etc/hostname'}"),
        ("exec", "--limit", "memory=2MB", "local t = {} while true do t[#t + 1] = {} end"),
        ("exec", "x = = 1"),
        ("run", "fails.lua"),
        ("run", "--json", "fails.lua"),
        ("run", "fails.lua", "--unknown"),
    ):
        here = llmspell(arguments[0], "--no-isolate", *arguments[1:])
        apart = llmspell(arguments[0], "--isolate", *arguments[1:])
        assert _without_ids(here) == _without_ids(apart)


def _without_ids(done):
    """How it ended; every run has an id of its own."""
    return done._replace(err=re.sub(r"resume [\w-]+", "resume ID", done.err))


def test_the_project_may_have_it_so(llmspell, started, write):
    write("llmspell.toml", "isolate = true")
    with started("exec", "print('ready') Task.sleep(60)") as process:
        process.stdout.readline()
        assert len(_family(process.pid)) >= 2
        process.kill()
    with started("exec", "--no-isolate", "print('ready') Task.sleep(60)") as process:
        process.stdout.readline()
        assert _family(process.pid) == []
        process.kill()
