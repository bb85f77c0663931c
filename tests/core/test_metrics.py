"""The text of Prometheus, what is kept of a project, and what hooks and events count."""

import subprocess
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmspell.events import Events
from llmspell.hooks import Hooks
from llmspell.metrics import metrics_file
from llmspell.metrics.collectors import of_events, of_hooks
from llmspell.metrics.exposition import FAMILIES, exposition, merged, read, series
from llmspell.metrics.metrics_file import MetricsFile


@given(
    st.dictionaries(
        st.text(st.characters(exclude_characters="\n", codec="utf-8")),
        st.floats(min_value=0, allow_infinity=False),
    )
)
def test_what_is_written_is_read_again(values):
    wanted = {series("llmspell_hook_calls_total", hook=name): v for name, v in values.items()}
    assert read(exposition(wanted)) == wanted


def test_labels_are_escaped_and_families_told():
    text = exposition(
        {
            series("llmspell_hook_calls_total", hook='a"b\\c\nd'): 2,
            series("llmspell_effect_seconds_count", effect="x"): 1,
            series("llmspell_effect_seconds_sum", effect="x"): 0.25,
        }
    )
    assert text.splitlines() == [
        "# HELP llmspell_effect_seconds Duration of effects, whatever their outcome.",
        "# TYPE llmspell_effect_seconds histogram",
        'llmspell_effect_seconds_count{effect="x"} 1',
        'llmspell_effect_seconds_sum{effect="x"} 0.25',
        "# HELP llmspell_hook_calls_total Calls of the runtime's hooks.",
        "# TYPE llmspell_hook_calls_total counter",
        'llmspell_hook_calls_total{hook="a\\"b\\\\c\\nd"} 2',
    ]


def test_every_family_is_named_as_prometheus_wants_it():
    for name, family in FAMILIES.items():
        assert (family.kind == "counter") == name.endswith("_total")


def test_counters_are_added_and_gauges_replaced():
    calls = series("llmspell_hook_calls_total", hook="a")
    open_ = series("llmspell_hook_circuit_open", hook="a")
    assert merged({calls: 2, open_: 1}, {calls: 3, open_: 0}) == {calls: 5, open_: 0}
    assert merged({calls: 2}, {open_: 1}) == {calls: 2, open_: 1}


ADD = """
import sys
from pathlib import Path
from llmspell.metrics.metrics_file import MetricsFile

for _ in range(25):
    MetricsFile(Path(sys.argv[1])).add({"llmspell_runtimes_total": 1})
"""


def test_several_processes_add_to_one_file_and_none_is_lost(tmp_path):
    file = tmp_path / ".llmspell" / "metrics.prom"
    processes = [subprocess.Popen([sys.executable, "-c", ADD, file]) for _ in range(4)]
    assert [process.wait() for process in processes] == [0] * 4
    kept = MetricsFile(file)
    assert kept.read() == {"llmspell_runtimes_total": 100}
    kept.clear()
    assert kept.read() == {}


def test_what_is_no_metrics_is_not_overwritten(tmp_path):
    file = tmp_path / "metrics.prom"
    file.write_text("a poem\n")
    with pytest.raises(ValueError, match="a poem"):
        MetricsFile(file).add({"llmspell_runtimes_total": 1})
    assert file.read_text() == "a poem\n"


def test_hooks_tell_of_their_calls_failures_and_circuits():
    hooks = Hooks()
    one = hooks.register("before:tool.call", lambda _: None, id="one", max_failures=1)
    one.calls, one.failures = 3, 1
    one.circuit.failed()
    again = hooks.register("before:agent.run", lambda _: None, id="one")
    again.calls = 2
    assert of_hooks(hooks) == {
        'llmspell_hook_calls_total{hook="one",phase="before"}': 5,
        'llmspell_hook_failures_total{hook="one",phase="before"}': 1,
        'llmspell_hook_circuit_open{hook="one",phase="before"}': 1,
    }


@pytest.mark.anyio
async def test_events_tell_what_was_dropped_and_who_failed():
    outer = Events()
    events = Events(outer=outer)
    with outer.stream("*", size=1):
        for hook in ("a", "a", "b"):
            events.tell("hook.failed", {"hook": hook})
        events.tell("run.failed", {"run": "20260101-1"})
    values = of_events(outer)
    assert values["llmspell_events_published_total"] == 4
    assert values["llmspell_events_dropped_total"] == 3
    assert values['llmspell_failures_total{kind="hook",name="a"}'] == 2
    assert values['llmspell_failures_total{kind="hook",name="b"}'] == 1
    assert values['llmspell_runtime_events_total{topic="hook.failed"}'] == 3
    assert values['llmspell_runtime_events_total{topic="run.failed"}'] == 1
    assert not any("2026" in key for key in values)


@pytest.mark.anyio
async def test_names_of_what_fails_are_bounded():
    events = Events()
    for n in range(2000):
        events.tell("hook.failed", {"hook": f"hook-{n}"})
    assert len(events.published_counts) <= 1001
    assert of_events(events)['llmspell_runtime_events_total{topic="hook.failed"}'] == 2000


def test_what_is_cleared_while_something_is_added_does_not_come_back(tmp_path, monkeypatch):
    metrics = MetricsFile(tmp_path / "metrics.prom")
    metrics.add({"llmspell_runtimes_total": 1})
    clearing = threading.Thread(target=metrics.clear)

    def merged_meanwhile(old, new):
        clearing.start()
        clearing.join(0.1)
        return merged(old, new)

    monkeypatch.setattr(metrics_file, "merged", merged_meanwhile)
    metrics.add({"llmspell_runtimes_total": 1})
    clearing.join()
    assert metrics.read() == {}
