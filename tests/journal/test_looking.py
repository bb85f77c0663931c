"""What is shown of a recorded run: its tree, its sums, its conversations, and how two differ."""

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from looking import SPELL, recorded

from llmspell import Runtime
from llmspell.config import Project
from llmspell.errors import JournalError, LimitExceeded
from llmspell.journal.conversations import conversations_of, lines_of
from llmspell.journal.diff import differences
from llmspell.journal.html_page import page_of
from llmspell.journal.reader import Reader
from llmspell.journal.spans import parent_of, place_of, spans_of
from llmspell.journal.totals import Totals, duration
from llmspell.journal.transfer import export_run, import_runs
from llmspell.limits import Budget, Limits
from llmspell.permissions import Grants
from llmspell.providers.messages import Message, ModelResponse, ToolCall
from llmspell.providers.scripted import ScriptedProvider
from llmspell.spell import parse_spell
from llmspell.state import MemoryStore

pytestmark = pytest.mark.anyio


@pytest.fixture
def file(tmp_path):
    return tmp_path / ".llmspell" / "runs.db"


def outline(root):
    return [f"{'  ' * depth}{span.name} {span.label}".rstrip() for depth, span in root.walk()]


async def test_the_tree_has_tasks_composites_and_leaves(tmp_path, file):
    await recorded(tmp_path)
    with Reader.open(file) as reader:
        root = spans_of(reader, reader.run("last"))
    assert outline(root) == [
        "main",
        "  tool.define double",
        "  agent.create poet",
        "  task",
        "    state.set tea",
        "    task.sleep 0.02",
        "  task",
        "    state.set rain",
        "    task.sleep 0.02",
        "  agent.run poet",
        "    model.request scripted/poet-1",
        "    tool.call double",
        "      task",
        "        state.set doubled",
        "    model.request scripted/poet-1",
        "  agent.create mute",
        "  agent.run mute",
        "    model.request scripted/poet-1",
    ]


async def test_spans_lie_within_those_they_belong_to(tmp_path, file):
    await recorded(tmp_path)
    slack = 0.005  # two clocks
    with Reader.open(file) as reader:
        root = spans_of(reader, reader.run("last"))
    for _, span in root.walk():
        for child in span.children:
            assert span.started - slack <= child.started
            assert child.ended <= span.ended + slack


async def test_outcomes(tmp_path, file):
    await recorded(tmp_path)
    with Reader.open(file) as reader:
        spans = {span.path: span for _, span in spans_of(reader, reader.run("last")).walk()}
    failed = [(s.name, s.label) for s in spans.values() if s.outcome == "error"]
    assert failed == [("agent.run", "mute"), ("model.request", "scripted/poet-1")]


async def test_what_a_run_that_was_stopped_had_begun(tmp_path, file):
    slow = """
    local agent = Agent.create{name = "poet"}
    Tool.define{name = "dally", description = "", params = {}, run = function()
      for _ = 1, 100 do State.get("x") end
    end}
    dally{}
    """
    with pytest.raises(LimitExceeded):
        await recorded(tmp_path, slow, limits=Limits(effects=20))
    with Reader.open(file) as reader:
        run = reader.run("last")
        spans = {span.name: span for _, span in spans_of(reader, run).walk()}
    assert spans["agent.create"].outcome == "ok"
    assert spans["tool.call"].outcome == "unfinished"
    assert run.status == "suspended"


async def test_what_a_resumed_run_did_again(tmp_path, file):
    source = """
    local one, two = Agent.create{name = "one"}, Agent.create{name = "two"}
    one:prompt("first")
    two:prompt("second")
    return (two:prompt("third"))
    """
    options = {
        "project": Project(tmp_path),
        "model": "scripted/a",
        "store": MemoryStore(),
        "output": lambda _: None,
    }
    replies = ["one", "two", "three"]
    async with Runtime(
        **options, providers=[ScriptedProvider(replies)], budget=Budget(calls=1)
    ) as runtime:
        with pytest.raises(LimitExceeded):
            await runtime.execute(source)
    with Reader.open(file) as reader:
        root = spans_of(reader, reader.run("last"))
    assert [(s.label, s.outcome) for _, s in root.walk() if s.name == "agent.run"] == [
        ("one", "ok"),
        ("two", "unfinished"),
    ]
    async with Runtime(
        **options, providers=[ScriptedProvider(replies[1:])], budget=Budget(calls=9)
    ) as runtime:
        assert await runtime.resume("last") == "three"
    with Reader.open(file) as reader:
        root = spans_of(reader, reader.run("last"))
    runs = [span for _, span in root.walk() if span.name == "agent.run"]
    assert [(span.label, span.outcome, span.resumed) for span in runs] == [
        ("one", "ok", False),
        ("two", "ok", True),
        ("two", "ok", False),
    ]
    again = runs[1]
    assert again.started <= again.children[0].started
    assert again.children[0].ended <= again.ended + 0.005  # two clocks


async def test_a_child_that_a_limit_ended_has_failed(tmp_path, file):
    source = """
    pcall(Spell.run, [[
      Tool.define{name = "spin", description = "", params = {}, run = function()
        while true do end
      end}
      spin{}
    ]], {limits = {instructions = 50000}})
    State.get("x")
    """
    await recorded(tmp_path, source)
    with Reader.open(file) as reader:
        spans = [span for _, span in spans_of(reader, reader.run("last")).walk()]
    assert [(s.name, s.outcome) for s in spans if s.name in ("spell.run", "tool.call")] == [
        ("spell.run", "error"),
        ("tool.call", "cancelled"),
    ]


async def test_sums(tmp_path, file):
    await recorded(tmp_path)
    with Reader.open(file) as reader:
        run = reader.run("last")
        totals = Totals.of(reader, run)
        facts = dict(totals.facts(run))
    assert totals.spent.calls == 2
    assert totals.effects == 8
    assert totals.spent.input_tokens > 0
    assert totals.spent.output_tokens > 0
    assert facts["status"] == "completed"
    assert facts["model calls"] == "2"
    assert facts["tokens"] == f"{totals.spent.tokens:,}"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.000012, "0.012 ms"), (0.34, "340 ms"), (2.1, "2.10 s"), (185, "3 min 5 s")],
)
def test_durations(seconds, said):
    assert duration(seconds) == said


async def test_conversations(tmp_path, file):
    await recorded(tmp_path)
    with Reader.open(file) as reader:
        poet, mute = conversations_of(reader, reader.run("last"))
    assert (poet.agent, poet.model) == ("poet", "scripted/poet-1")
    assert list(lines_of(poet)) == [
        ("system", "Be <brief>."),
        ("user", "double 4 </script>"),
        ("assistant calls double", '{\n  "n": 4\n}'),
        ("tool answers", "8"),
        ("assistant", "It is 8."),
    ]
    assert list(lines_of(mute)) == [("user", "anything")]


async def test_two_runs_of_one_spell_part_where_something_else_was_said(tmp_path, file):
    await recorded(tmp_path)
    await recorded(tmp_path, SPELL, ["It is eight.", "And I speak."])
    with Reader.open(file) as reader:
        right, left = reader.runs()
        same, found = differences(reader, left, right)
    assert same == 4
    assert (found[0].path, found[0].what) == ("0/2/0", "outcome")
    assert {d.what for d in found} == {"outcome", "only"}
    assert all(d.left or d.right for d in found)


async def test_a_run_differs_in_nothing_from_itself(tmp_path, file):
    await recorded(tmp_path)
    with Reader.open(file) as reader:
        run = reader.run("last")
        assert differences(reader, run, run) == (8, [])


async def test_values_differ_when_lua_can_tell_them_apart(tmp_path, file):
    source = "for i = 1, 3 do State.set('k' .. i, params.v[i]) end"
    values = [{"nan": float("nan"), "x": 1}, 1, 1], [{"x": 1, "nan": float("nan")}, 1.0, True]
    async with Runtime(project=Project(tmp_path)) as runtime:
        for v in values:
            spell = parse_spell(
                f"--- /// spell\n--- params.v = []\n--- ///\n{source}".encode(), name="x", file="x"
            )
            await runtime.run(spell, params={"v": v})
    with Reader.open(file) as reader:
        right, left = reader.runs()
        same, found = differences(reader, left, right)
    assert same == 1
    assert [(d.path, d.what) for d in found] == [("0/1", "arguments"), ("0/2", "arguments")]


async def test_the_page_holds_the_record_and_nothing_that_is_fetched(tmp_path, file):
    await recorded(tmp_path)
    with Reader.open(file) as reader:
        page = page_of(reader, reader.run("last"))
    text = re.search(r'<script id="record" type="application/json">(.*?)</script>', page, re.DOTALL)
    record = json.loads(text[1])
    assert [row["name"] for row in record["rows"]].count("model.request") == 3
    assert "double 4 </script>" in json.dumps(record["rows"])
    assert not re.search(r"https?://|src=|href=|@import", page)


async def test_half_a_surrogate_pair_can_be_shown_and_sent(tmp_path, file):
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from llmspell.journal.telemetry import send

    said = ModelResponse(Message.of("assistant", "So \ud83d"), model="m\ud83d", id="\ud83d")
    call = ToolCall("a", "double\ud83d", {"n": "\ud83d"})
    await recorded(tmp_path, "return Agent.create{}:prompt('x')", [call, said])
    exporter = InMemorySpanExporter()
    with Reader.open(file) as reader:
        run = reader.run("last")
        page = page_of(reader, run)
        send(reader, run, exporter, contents=True)
    assert "So \\ud83d" in page
    page.encode()
    encode_spans(exporter.get_finished_spans())


async def test_a_run_in_a_file_of_its_own_is_read_like_any(tmp_path, file):
    await recorded(tmp_path)
    await recorded(tmp_path, "return State.get('x')", [])
    long = tmp_path / "long.run"
    with Reader.open(file) as reader:
        wanted = reader.runs()[1]
        export_run(file, wanted, long)
        effects = [(e.path, e.digest, e.args, e.outcome) for e in reader.effects(wanted)]
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith("long")] == ["long.run"]
    with Reader.open(long) as reader:
        (run,) = reader.runs()
        assert (run.id, run.source, run.params, run.result) == (
            wanted.id,
            SPELL.encode(),
            {},
            ["It is 8.", ["tea", "rain"]],
        )
        found = [(e.path, e.digest, e.args, e.outcome) for e in reader.effects(run)]
        assert found == effects
        assert outline(spans_of(reader, run))[2] == "  agent.create poet"


async def test_imported_runs_stand_beside_others(tmp_path, file):
    await recorded(tmp_path)
    taken = tmp_path / "one.run"
    with Reader.open(file) as reader:
        run = reader.run("last")
        export_run(file, run, taken)
    elsewhere = tmp_path / "elsewhere"
    await recorded(elsewhere, "return 1", [])
    there = elsewhere / ".llmspell" / "runs.db"
    assert import_runs(taken, there) == [run.id]
    with Reader.open(there) as reader:
        assert len(reader.runs()) == 2
        assert reader.run(run.id).result == ["It is 8.", ["tea", "rain"]]
        assert len(conversations_of(reader, reader.run(run.id))) == 2
    with pytest.raises(JournalError, match="already") as caught:
        import_runs(taken, there)
    assert caught.value.hint == f"see it with: llmspell show {run.id}"
    nothing = tmp_path / "nothing.run"
    nothing.touch()
    with pytest.raises(JournalError, match=r"nothing\.run contains no runs"):
        import_runs(nothing, there)


STOPPED = """
State.set("tea", 1)
local answers = {}
for _ = 1, 2 do
  local text, problem = try(read_file, {path = params.file})
  answers[#answers + 1] = text or problem.code
  State.set("tea", 2)
end
return answers
"""


async def taken_elsewhere(folder, effects):
    """A run that read a file as it was granted, ended by a limit, in the journal of another project."""
    (folder / "secret.txt").write_text("tea")
    spell = parse_spell(
        b"--- /// spell\n--- [params]\n--- file = {}\n--- ///\n" + STOPPED.encode(),
        name="brew",
        file="brew.lua",
    )
    async with Runtime(
        project=Project(folder), grants=Grants.all(), limits=Limits(effects=effects)
    ) as runtime:
        with pytest.raises(LimitExceeded):
            await runtime.run(spell, params={"file": str(folder / "secret.txt")})
    journal, taken = folder / ".llmspell" / "runs.db", folder / "brew.run"
    with Reader.open(journal) as reader:
        export_run(journal, reader.run("last"), taken)
    there = folder / "elsewhere"
    (there / ".llmspell").mkdir(parents=True)
    (id_,) = import_runs(taken, there / ".llmspell" / "runs.db")
    return there, id_


async def test_what_a_run_was_granted_elsewhere_is_not_granted_here(tmp_path):
    there, id_ = await taken_elsewhere(tmp_path, effects=1)
    async with Runtime(project=Project(there), limits=Limits()) as runtime:
        assert await runtime.fork(id_, "0/0") == ["permission_denied"] * 2
        assert await runtime.resume(id_) == ["permission_denied"] * 2
    with Reader.open(there / ".llmspell" / "runs.db") as reader:
        assert [(run.trusted, run.path) for run in reader.runs()] == [(False, None)] * 2


async def test_what_it_was_granted_here_holds(tmp_path):
    there, id_ = await taken_elsewhere(tmp_path, effects=1)
    granted, few = Grants(read=(str(tmp_path / "secret.txt"),)), Limits(effects=3)
    async with Runtime(project=Project(there), grants=granted, limits=few) as runtime:
        with pytest.raises(LimitExceeded):
            await runtime.resume(id_)
    async with Runtime(project=Project(there), limits=Limits()) as runtime:
        assert await runtime.resume(id_) == ["tea", "tea"]


async def test_what_it_did_elsewhere_is_replayed(tmp_path):
    there, id_ = await taken_elsewhere(tmp_path, effects=3)
    (tmp_path / "secret.txt").unlink()
    async with Runtime(project=Project(there), limits=Limits()) as runtime:
        assert await runtime.resume(id_) == ["tea", "permission_denied"]
        assert await runtime.replay(id_) == ["tea", "permission_denied"]


@pytest.mark.parametrize("id_", ["../../precious", "20261129-195033-0f1f11/x", "\x1b[2J", b"x"])
async def test_an_id_that_is_none_is_not_taken_in(tmp_path, file, id_):
    await recorded(tmp_path, "return 1", [])
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("UPDATE runs SET id = ?", (id_,))
    with pytest.raises(JournalError, match="damaged"):
        import_runs(file, tmp_path / "other.db")
    assert not (tmp_path / "other.db").exists()


@pytest.mark.parametrize(
    "change", ["UPDATE blobs SET packed = 0, data = x'7b7d'", "UPDATE links SET item = '{}'"]
)
async def test_no_value_is_taken_in_under_the_name_of_another(tmp_path, file, change):
    await recorded(tmp_path)
    await recorded(tmp_path / "elsewhere", "return 1", [])
    there = tmp_path / "elsewhere" / ".llmspell" / "runs.db"
    with closing(sqlite3.connect(file)) as db, db:
        assert db.execute(change).rowcount
    with pytest.raises(JournalError, match="does not match its digest"):
        import_runs(file, there)
    with Reader.open(there) as reader:
        assert [run.result for run in reader.runs()] == [1]


@pytest.mark.parametrize("data", ["x'0102'", "'text'", "7", "zeroblob(length(data))"])
@pytest.mark.parametrize("packed", [0, 1])
async def test_a_damaged_value_is_told(tmp_path, file, data, packed):
    await recorded(tmp_path)
    with closing(sqlite3.connect(file)) as db, db:
        assert db.execute(f"UPDATE blobs SET packed = {packed}, data = {data}").rowcount
    with (
        Reader.open(file) as reader,
        pytest.raises(
            JournalError, match=r"is damaged: the value [0-9a-f]+ does not match its digest"
        ),
    ):
        spans_of(reader, reader.run("last"))


async def test_an_export_overwrites_nothing(tmp_path, file):
    await recorded(tmp_path, "return 1", [])
    taken = tmp_path / "one.run"
    taken.write_text("precious")
    with Reader.open(file) as reader, pytest.raises(JournalError, match="already exists"):
        export_run(file, reader.run("last"), taken)
    assert taken.read_text() == "precious"


async def test_an_export_of_a_damaged_journal_leaves_no_file(tmp_path, file):
    await recorded(tmp_path)
    import sqlite3

    with sqlite3.connect(file) as db:
        db.execute("DELETE FROM blobs")
    db.close()
    taken = tmp_path / "one.run"
    with Reader.open(file) as reader, pytest.raises(JournalError, match="is missing"):
        export_run(file, reader.run("last"), taken)
    assert not taken.exists()


@pytest.mark.parametrize(
    ("path", "above"),
    [
        ("0", None),
        ("0.2", "0"),
        ("0/5.0/2", "0/5.0"),
        ("0/5!1.0", "0/5"),
        ("0/5!1/0", "0/5"),
        ("0/5!1.0/2", "0/5!1.0"),
    ],
)
def test_what_paths_say(path, above):
    assert parent_of(path) == above


def test_paths_are_sorted_by_their_numbers():
    assert sorted(["0/10", "0/9", "0.2/1", "0"], key=place_of) == ["0", "0.2/1", "0/9", "0/10"]


async def test_a_trace_follows_the_conventions(tmp_path, file):
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from llmspell.journal.telemetry import send

    await recorded(tmp_path)
    exporter = InMemorySpanExporter()
    again = InMemorySpanExporter()
    with Reader.open(file) as reader:
        run = reader.run("last")
        number = send(reader, run, exporter)
        send(reader, run, again, contents=True)
    spans = {span.attributes["llmspell.path"]: span for span in exporter.get_finished_spans()}
    assert len(spans) == number == 18
    root, agent, chat = spans["0"], spans["0/2"], spans["0/2/0"]
    assert (root.name, root.parent) == ("invoke_workflow tea.lua", None)
    assert agent.name == "invoke_agent poet"
    assert agent.attributes["gen_ai.agent.name"] == "poet"
    assert agent.parent.span_id == root.context.span_id
    assert chat.parent.span_id == agent.context.span_id
    assert chat.name == "chat poet-1"
    assert chat.kind.name == "CLIENT"
    assert chat.attributes["gen_ai.operation.name"] == "chat"
    assert chat.attributes["gen_ai.provider.name"] == "scripted"
    assert chat.attributes["gen_ai.request.model"] == "poet-1"
    assert chat.attributes["gen_ai.response.finish_reasons"] == ("tool_calls",)
    assert chat.attributes["gen_ai.usage.input_tokens"] > 0
    assert spans["0/2/1"].name == "execute_tool double"
    assert spans["0/4/0"].status.description == "no more words"
    assert spans["0/4/0"].attributes["error.type"] == "provider_error"
    assert not any("messages" in key for s in spans.values() for key in s.attributes)
    for one, other in zip(exporter.get_finished_spans(), again.get_finished_spans(), strict=True):
        assert one.context == other.context
    with_contents = {s.attributes["llmspell.path"]: s for s in again.get_finished_spans()}
    assert "double 4" in with_contents["0/2/0"].attributes["gen_ai.input.messages"]
    assert with_contents["0/2/1"].attributes.get("gen_ai.tool.call.result") is None


async def test_a_trace_that_is_not_taken_is_an_error(tmp_path, file):
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    from llmspell.journal.telemetry import send

    class Full(SpanExporter):
        def export(self, spans):
            return SpanExportResult.FAILURE

    await recorded(tmp_path, "return 1", [])
    with Reader.open(file) as reader, pytest.raises(JournalError, match="not accepted"):
        send(reader, reader.run("last"), Full())


def test_the_template_is_shipped():
    import llmspell.journal

    assert (Path(llmspell.journal.__file__).parent / "page.html").is_file()
