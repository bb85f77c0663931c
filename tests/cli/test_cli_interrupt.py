"""Ctrl-C ends the process at once, says so once and how to go on, and leaves the terminal in order."""

import re
import signal
import subprocess
import time

import pytest

SOON = 0.25  # seconds
SAID = rb"interrupted\nhint: continue with: llmspell resume \d{8}-\d{6}-\w{6}\n"

COMPUTING = "print('ready') while true do end"
STUBBORN = "print('ready') while true do pcall(function() while true do end end) end"
CASES = {
    "an effect": "print('ready') Task.sleep(60)",
    "several tasks": "print('ready') Task.map({1, 2, 3}, function() Task.sleep(60) end)",
    "a person": "print('ready') Console.read_line()",
    "a thread": "print('ready') nap{seconds = 60}",
    "Lua": COMPUTING,
    "Lua that catches errors": STUBBORN,
    "output": "while true do print('ready') Task.sleep(0) end",
}


@pytest.fixture(autouse=True)
def no_limits(write):
    write("llmspell.toml", "[limits]\ntime = 600\ninstructions = 1000000000000")


@pytest.mark.parametrize("where", ["--no-isolate", "--isolate"])
@pytest.mark.parametrize(
    ("what", "times"), [*((what, 1) for what in CASES), ("an effect", 3), ("Lua", 3)]
)
def test_while_it_waits_for(started, tools, seconds_to_end, what, times, where):
    least = SOON
    for _ in range(3):  # a busy machine may be late now and then
        with started("exec", where, tools, CASES[what]) as process:
            assert process.stdout.readline() == b"ready\n"
            time.sleep(0.05)
            least = min(least, seconds_to_end(process, times))
            assert process.returncode == 130
            assert re.fullmatch(SAID, process.stderr.read())
        if least < SOON:
            break
    assert least < SOON


def test_while_it_waits_for_a_model(started, model, seconds_to_end):
    lua = "print('ready') Agent.create{}:prompt('hello')"
    with started("exec", model("slow-60"), lua) as process:
        assert model.asked.wait(20)
        seconds_to_end(process)
        assert process.returncode == 130
        bill, said = process.stderr.read().split(b"\n", 1)
        assert bill.startswith(b"1 call (1 unreported), ")
        assert re.fullmatch(SAID, said)


def test_while_a_spell_is_read_from_standard_input(started, seconds_to_end):
    with started("-") as process:
        time.sleep(0.5)
        seconds_to_end(process)
        assert process.returncode == 130
        assert process.stderr.read() == b"interrupted\n"


def test_during_start_up(started, write, seconds_to_end):
    write("slow.py", "import sys, time\nprint('ready', flush=True)\ntime.sleep(60)\n")
    for command in (("tools",), ("exec", "return 1")):
        with started(*command, "--tools=slow.py") as process:
            assert process.stdout.readline() == b"ready\n"
            assert seconds_to_end(process) < 5
            assert process.returncode == 130
            assert process.stderr.read() == b"interrupted\n"


def test_state_that_was_acknowledged_is_kept(started, llmspell, seconds_to_end):
    lua = "State.set('n', 1) State.update('n', function(n) return n + 1 end) "
    with started("exec", lua + COMPUTING) as process:
        process.stdout.readline()
        seconds_to_end(process)
    assert llmspell("exec", "return State.get('n')").out == "2\n"


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_that_is_ignored_stays_ignored(started, sent):
    # As after nohup, or for a job in the background of a script.
    before = signal.signal(sent, signal.SIG_IGN)
    try:
        with started("exec", "print('ready') Task.sleep(0.3) return 5") as process:
            assert process.stdout.readline() == b"ready\n"
            process.send_signal(sent)
            assert process.communicate()[0] == b"5\n"
            assert process.returncode == 0
    finally:
        signal.signal(sent, before)


@pytest.mark.parametrize("where", ["--no-isolate", "--isolate"])
@pytest.mark.parametrize("what", ["an effect", "a thread", "Lua"])
def test_where_interrupts_are_ignored_termination_is_not(started, llmspell, tools, what, where):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with started("exec", where, tools, CASES[what]) as process:
            assert process.stdout.readline() == b"ready\n"
            time.sleep(0.2)
            process.send_signal(signal.SIGINT)
            time.sleep(0.2)
            assert process.poll() is None
            process.terminate()
            assert process.wait(20) == 143
            assert re.fullmatch(SAID.replace(b"interrupted", b"terminated"), process.stderr.read())
    finally:
        signal.signal(signal.SIGINT, before)
    if what == "an effect":
        assert "suspended" in llmspell("runs").out


@pytest.mark.parametrize("lua", ["nap{seconds = 60}", "nap{seconds = 0.4} while true do end"])
def test_on_a_terminal(terminal, tools, lua):
    seen = terminal("exec", tools, lua)
    seen.wait_for("nap")
    if "while" in lua:
        time.sleep(0.6)
    seen.interrupt()
    assert seen.wait() == 130
    said, hint = seen.screen.lines
    assert said == "interrupted"
    assert hint.startswith("hint: continue with: llmspell resume ")
    assert seen.screen.cursor_shown
    assert f"\r\n{hint}\r\n" in seen.sent


def test_on_a_terminal_before_anything_was_shown(terminal):
    seen = terminal("exec", "print('ready') while true do end", stderr=subprocess.DEVNULL)
    seen.wait_for("ready")
    seen.interrupt()
    assert seen.wait() == 130


@pytest.mark.parametrize("what", ["an effect", "Lua"])
@pytest.mark.parametrize("where", ["--no-isolate", "--isolate"])
def test_who_is_terminated_says_that(started, what, where):
    with started("exec", where, CASES[what]) as process:
        assert process.stdout.readline() == b"ready\n"
        time.sleep(0.3)  # so that it computes for long
        process.terminate()
        assert process.wait(20) == 143
        said = process.stderr.read()
        assert re.fullmatch(SAID.replace(b"interrupted", b"terminated"), said)


@pytest.mark.parametrize("what", ["an effect", "Lua"])
def test_a_run_whose_terminal_is_closed_is_suspended(started, llmspell, what):
    with started("exec", CASES[what]) as process:
        assert process.stdout.readline() == b"ready\n"
        time.sleep(0.3)
        process.send_signal(signal.SIGHUP)
        assert process.wait(20) == 129
        assert re.fullmatch(SAID.replace(b"interrupted", b"hung up"), process.stderr.read())
    if what == "an effect":
        assert "suspended" in llmspell("runs").out


def test_a_program_does_not_outlive_a_terminal(started, project):
    lua = "print('ready') run_program{program = 'sh', args = {'-c', 'sleep 1; echo > late.txt'}}"
    with started("exec", "-A", lua) as process:
        assert process.stdout.readline() == b"ready\n"
        time.sleep(0.4)
        process.send_signal(signal.SIGHUP)
        assert process.wait(20) == 129
    time.sleep(1.2)
    assert not (project / "late.txt").exists()


def test_while_plugins_stop_there_is_nothing_to_go_on_with(started, write, seconds_to_end):
    write(
        "slow.py",
        "import asyncio\nfrom llmspell import Plugin\nclass Slow(Plugin):\n    name = 'slow'\n"
        "    async def on_shutdown(self):\n        print('stops', flush=True)\n"
        "        await asyncio.sleep(60)\n",
    )
    write("llmspell.toml", "[[plugins]]\nmodule = 'slow.py:Slow'\n")
    with started("exec", "print('ready')") as process:
        assert process.stdout.readline() + process.stdout.readline() == b"ready\nstops\n"
        assert seconds_to_end(process) < 5
        assert process.returncode == 130
        assert process.stderr.read() == b"interrupted\n"
