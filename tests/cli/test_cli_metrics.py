"""`llmspell metrics`: what runs left behind, failures of hooks and plugins included."""

import pytest

SETTINGS = """
[[middleware]]
name = "metrics"

[[hooks]]
module = "shaky.py:Shaky"

[[plugins]]
name = "nowhere"
"""

SHAKY = """
from llmspell import Hook

class Shaky(Hook):
    async def on_tool_execute(self, call):
        raise OSError("it shook")
"""


@pytest.fixture(autouse=True)
def settings(write):
    write("llmspell.toml", SETTINGS)
    write("shaky.py", SHAKY)


def test_each_run_adds_to_the_figures(llmspell):
    for n in range(3):
        assert llmspell("exec", f"uuid() State.set('n', {n}) return {n}").out == f"{n}\n"
    lines = llmspell("metrics").out.splitlines()
    for line in (
        "# TYPE llmspell_effect_seconds histogram",
        'llmspell_effect_seconds_count{effect="state.set"} 3',
        'llmspell_effect_seconds_bucket{effect="tool.call",le="+Inf"} 3',
        'llmspell_hook_calls_total{hook="Shaky.on_tool_execute",phase="before"} 3',
        'llmspell_hook_failures_total{hook="Shaky.on_tool_execute",phase="before"} 3',
        'llmspell_hook_circuit_open{hook="Shaky.on_tool_execute",phase="before"} 0',
        'llmspell_failures_total{kind="hook",name="Shaky.on_tool_execute"} 3',
        'llmspell_failures_total{kind="plugin",name="nowhere"} 3',
        'llmspell_runtime_events_total{topic="run.ended"} 3',
        "llmspell_runtimes_total 3",
    ):
        assert line in lines


def test_an_open_circuit_is_seen(llmspell):
    llmspell("exec", "for _ = 1, 7 do uuid() end")
    lines = llmspell("metrics").out.splitlines()
    assert 'llmspell_hook_failures_total{hook="Shaky.on_tool_execute",phase="before"} 5' in lines
    assert 'llmspell_hook_circuit_open{hook="Shaky.on_tool_execute",phase="before"} 1' in lines


def test_a_run_that_fails_is_counted_too(llmspell):
    assert llmspell("exec", "error('no')").code == 1
    assert (
        'llmspell_runtime_events_total{topic="run.failed"} 1'
        in llmspell("metrics").out.splitlines()
    )


def test_they_are_cleared(llmspell):
    llmspell("exec", "return 1")
    assert llmspell("metrics", "--clear").out == ""
    again = llmspell("metrics")
    assert (again.code, again.out) == (0, "")
    assert 'name = "metrics"' in again.err


def test_a_file_that_is_none_is_an_error(llmspell, project):
    file = project / ".llmspell" / "metrics.prom"
    file.parent.mkdir(exist_ok=True)
    file.write_text("a poem\n")
    result = llmspell("metrics")
    assert result.code == 1
    assert "a poem" in result.err
    assert "llmspell metrics --clear" in result.err
    llmspell("exec", "return 1")
    assert file.read_text() == "a poem\n"
