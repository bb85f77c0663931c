"""A journal that somebody edited, or that a disk has damaged: told as such, whatever is done with it."""

import itertools
import shutil
import sqlite3
import tracemalloc
import zlib
from contextlib import closing, suppress
from pathlib import Path

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from looking import recorded

from llmspell import Effect, Runtime, tool
from llmspell.config import ApproveSettings, Project, Settings
from llmspell.errors import JournalError, LlmspellError, RunSuspended
from llmspell.human import Approval, Question
from llmspell.journal import stored_values, validation
from llmspell.journal.conversations import conversations_of, lines_of
from llmspell.journal.diff import differences
from llmspell.journal.html_page import page_of
from llmspell.journal.pending import pending
from llmspell.journal.pruning import prune
from llmspell.journal.reader import Reader, due_runs
from llmspell.journal.transfer import export_run, import_runs

ASKING = """
Hook.before("state.set", function(c) c.args.key = nil end)
keep{}
State.set("words", {"tea", "milk"})
Task.all{function() Human.ask("Tea?") end, function() State.delete("words") end}
"""

COLUMNS = {
    "runs": (
        *("id", "spell", "file", "path", "source", "trusted", "params", "arguments", "seed"),
        *("setup", "started", "ended", "status", "reason", "due", "result", "error", "origin"),
    ),
    "effects": (
        *("path", "name", "digest", "args", "lists", "kind", "outcome", "asked", "turn"),
        *("started", "seconds", "usage"),
    ),
    "begun": ("path", "name", "digest", "args", "lists", "started", "due", "answer"),
    "payments": ("path", "model", "usage", "answered"),
    "composites": ("path", "name", "label", "kind", "started", "seconds", "begun"),
    "delivered": ("path", "number", "asked", "turn", "part"),
    "turns": ("turn", "under", "batch"),
    "calls": ("turn", "path", "function", "args"),
    "blobs": ("digest", "packed", "data"),
    "links": ("digest", "before", "item"),
}
NONSENSE = (
    *(
        None,
        0,
        7,
        -1,
        1 << 62,
        0.5,
        1e300,
        float("inf"),
        -float("inf"),
        "",
        "x",
        "²",
        "0/1",
        "../x",
    ),
    *(
        "{}",
        "[]",
        "7",
        "null",
        '"x"',
        "{",
        "NaN",
        '{"a": 1}',
        '{"message": 7, "code": "x"}',
        "[[]]",
    ),
    *('{"$bytes": 7}', '{"$table": [[[], 1]]}', '{"messages": "x"}', '{"messages": "00"}'),
    *('{"limits": {"time": "x"}}', "[" * 2000, "[" * 300 + "]" * 300, "1" * 5000, '"\\ud800"'),
    *(b"", b"x", b"\xff" * 16, "ok", "error", "running", "suspended", "human.ask", "model.request"),
)


@tool
async def keep(effect: Effect) -> None:
    await effect.perform("state.set", key="kept", value="x" * 500)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A journal with a run that ended and one that waits for people."""
    folder = tmp_path_factory.mktemp("made")

    async def make():
        await recorded(folder)
        waiting = Settings(approve=ApproveSettings(("state.delete",)))
        options = {"tools": [keep], "output": lambda _: None}
        async with Runtime(project=Project(folder, waiting), **options) as runtime:
            with pytest.raises(RunSuspended):
                await runtime.execute(ASKING, name="ask.lua")

    anyio.run(make)
    file = folder / ".llmspell" / "runs.db"
    row = 'INSERT INTO delivered SELECT number, \'0/0\', 0, 0, NULL, \'["Tea", {"reasoning": "Hm"}]\' FROM runs'
    change(file, row)
    return file


@pytest.fixture
def file(made, tmp_path):
    return copied(made, tmp_path)


def copied(made, folder):
    shutil.rmtree(folder / ".llmspell", ignore_errors=True)
    shutil.copytree(made.parent, folder / ".llmspell")
    return folder / ".llmspell" / "runs.db"


def change(file, statement, *values):
    with closing(sqlite3.connect(file)) as db, db:
        db.execute(statement, values)


def runs_in(file):
    with Reader.open(file) as reader:
        return reader.runs()


def look(file):
    """All that looks at a journal."""
    with Reader.open(file) as reader:
        found = reader.runs(damaged=lambda _: None)
        waiting = pending(reader, lambda _: None)
        for one in waiting:
            assert isinstance(one.about, (Question, Approval))
        due_runs(reader, lambda _: None)
        for run in found:
            page_of(reader, run)
            differences(reader, run, run)
            for one in conversations_of(reader, run):
                list(lines_of(one))


async def do_again(file, ids):
    """All that goes on with runs, or does them again: each error is one of ours."""
    told = []
    options = {"tools": [keep], "output": lambda _: None}
    async with Runtime(project=Project(file.parent.parent), **options) as runtime:
        for what in (runtime.replay, runtime.resume, lambda id_: runtime.fork(id_, "0/1")):
            for id_ in ids:
                try:
                    await what(id_)
                except LlmspellError as error:
                    told.append(error)
    return told


def carry(file, ids, elsewhere):
    """All that takes runs elsewhere or away."""
    told = []
    taken = elsewhere / "taken.run"
    for id_ in ids:
        try:
            with Reader.open(file) as reader:
                export_run(file, reader.run(id_), taken)
        except LlmspellError as error:
            told.append(error)
            assert not taken.exists()
        taken.unlink(missing_ok=True)
    try:
        import_runs(file, elsewhere / "runs.db")
    except LlmspellError as error:
        told.append(error)
    return told


CHANGES = st.sampled_from([(table, column) for table in COLUMNS for column in COLUMNS[table]])


def damage(made, folder, place, value, odd):
    """A copy of a journal with a value in a column of every row, every second, or every third."""
    file = copied(made, folder)
    table, column = place
    counter = itertools.count()
    with closing(sqlite3.connect(file)) as db, suppress(sqlite3.IntegrityError):
        db.create_function("nth", 0, lambda: next(counter))
        db.execute(f"UPDATE {table} SET {column} = ? WHERE nth() % ? = 0", (value, odd))
        db.commit()
    return file


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(CHANGES, st.sampled_from(NONSENSE), st.integers(1, 3))
def test_whatever_a_column_holds_looking_at_it_is_safe(made, tmp_path, place, value, odd):
    file = damage(made, tmp_path / "here", place, value, odd)
    elsewhere = tmp_path / "elsewhere"
    shutil.rmtree(elsewhere, ignore_errors=True)
    elsewhere.mkdir()
    before = everything(file)
    with suppress(JournalError):
        look(file)
    carry(file, [run.id for run in runs_in(made)], elsewhere)
    assert everything(file) == before
    for keep in (1, 0):
        with suppress(JournalError):
            prune(file, keep=keep)


@settings(
    max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(CHANGES, st.sampled_from(NONSENSE), st.integers(1, 3))
def test_whatever_a_column_holds_going_on_is_safe(made, tmp_path, place, value, odd):
    file = damage(made, tmp_path / "here", place, value, odd)
    anyio.run(do_again, file, [run.id for run in runs_in(made)])


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE runs SET setup = '{}'", "runs.setup cannot be read"),
        ("UPDATE runs SET setup = '[]'", "runs.setup cannot be read"),
        ("UPDATE runs SET params = '7'", "runs.params cannot be read"),
        ("UPDATE runs SET arguments = '7'", "runs.arguments cannot be read"),
        ("UPDATE runs SET started = 'x'", "runs.started cannot be read"),
        ("UPDATE runs SET started = 1e300", "runs.started cannot be read"),
        ("UPDATE runs SET source = 'text'", "runs.source cannot be read"),
        ("UPDATE runs SET spell = CAST(x'ff' AS TEXT)", "runs.spell cannot be read"),
        ("UPDATE runs SET id = '../precious' WHERE number = 1", "runs.id cannot be read"),
        ("UPDATE runs SET error = '{}'", "runs.error cannot be read"),
        ("UPDATE effects SET lists = 'x'", "the arguments of .* do not match their digest"),
        ("UPDATE effects SET args = '{}'", "the arguments of .* do not match their digest"),
        ("UPDATE effects SET name = 'x'", "the arguments of .* do not match their digest"),
        ("UPDATE effects SET outcome = '{'", "the outcome at .* cannot be read"),
        ("UPDATE effects SET outcome = replace(hex(zeroblob(999)), '0', '[')", "the outcome at"),
        ("UPDATE effects SET kind = 'fine'", "effects.kind cannot be read"),
        ("UPDATE effects SET usage = '7'", "the usage at .* cannot be read"),
        ("UPDATE effects SET usage = ''", "the usage at .* cannot be read"),
        ("UPDATE calls SET args = '7'", "a table of arguments at .* cannot be read"),
        ("UPDATE calls SET function = 0.5", "calls.function cannot be read"),
        ("UPDATE composites SET seconds = 9e999", "composites.seconds cannot be read"),
        ("DELETE FROM blobs", "the value [0-9a-f]+ is missing"),
        ("DELETE FROM links", "the link [0-9a-f]+ is missing"),
        ("DELETE FROM links WHERE before = x''", "the link [0-9a-f]+ is missing"),
        ("UPDATE links SET before = digest", "the link [0-9a-f]+ does not match its digest"),
    ],
)
def test_damage_is_told_with_its_run(file, tmp_path, statement, said):
    ids = "|".join(run.id for run in runs_in(file))
    change(file, statement)
    before = everything(file)
    place = rf"(?m)is damaged: {said}.*, in the run ({ids}|number \d)$"
    with pytest.raises(JournalError, match=place) as caught:
        look_at_all(file)
    assert caught.value.exit_code == 5
    with pytest.raises(JournalError, match=place):
        import_runs(file, tmp_path / "other.db")
    assert not (tmp_path / "other.db").exists()
    assert everything(file) == before


def look_at_all(file):
    with Reader.open(file) as reader:
        for run in reader.runs():
            page_of(reader, run)
            reader.check(run)


def everything(file):
    with closing(sqlite3.connect(file)) as db:
        db.text_factory = bytes
        return [db.execute(f"SELECT * FROM {table}").fetchall() for table in COLUMNS]


def test_the_other_runs_are_listed(file):
    change(file, "UPDATE runs SET setup = '{}' WHERE number = 1")
    told = []
    with Reader.open(file) as reader:
        (run,) = reader.runs(damaged=told.append)
        assert run.spell == "ask.lua"
        assert len(pending(reader, told.append)) == 2
    assert [f"run {error.details['run']}" in error.message for error in told] == [True, True]


def test_what_is_needed_is_not_guessed_when_runs_are_deleted(file):
    change(file, "UPDATE effects SET lists = 'x' WHERE run = 1")
    change(file, "UPDATE runs SET ended = 0 WHERE number = 2")
    before = everything(file)
    with pytest.raises(JournalError, match=r"damaged: effects\.lists cannot be read"):
        prune(file, before=1)
    assert everything(file) == before


def test_a_damaged_run_can_be_deleted(file):
    change(file, "UPDATE effects SET lists = 'x', args = 7 WHERE run = 1")
    change(file, "UPDATE runs SET id = x'00', ended = 0, setup = '[]' WHERE number = 1")
    assert prune(file, before=1) == 1
    assert [run.spell for run in runs_in(file)] == ["ask.lua"]


def test_no_more_is_unpacked_than_can_have_been_packed(file, monkeypatch):
    """A small file may stand for any amount of memory."""
    monkeypatch.setattr(stored_values, "LONGEST", 1 << 20)
    change(file, "UPDATE blobs SET packed = 1, data = ?", zlib.compress(bytes(1 << 26)))
    tracemalloc.start()
    with pytest.raises(JournalError, match="does not match its digest"):
        import_runs(file, file.with_name("other.db"))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 1 << 23


def test_a_text_of_too_many_values_is_damage(file, monkeypatch):
    monkeypatch.setattr(validation, "MOST_VALUES", 1000)
    change(file, "UPDATE effects SET outcome = ? WHERE run = 1", f"[{'[],' * 1000}1]")
    with Reader.open(file) as reader:
        effect = reader.effects(reader.runs()[1])[0]
        with pytest.raises(JournalError, match=r"the outcome at .* cannot be read"):
            _ = effect.outcome


def test_a_damaged_schema_that_is_no_text(file):
    """SQLite's message quotes the damaged part, so that Python cannot decode it."""
    whole = file.read_bytes()
    broken = whole.replace(b"CREATE TABLE effects", b"CREATE TAB\xb8\xff effects")
    assert broken != whole
    file.write_bytes(broken)
    with pytest.raises(JournalError, match="the file is damaged"):
        Reader.open(file)


def test_what_is_no_file_is_told(tmp_path):
    (tmp_path / "runs.db").mkdir()
    with pytest.raises(JournalError, match=r"runs\.db is not a regular file"):
        Reader.open(tmp_path / "runs.db")
    with pytest.raises(JournalError, match="/dev/null is not a regular file") as caught:
        import_runs(Path("/dev/null"), tmp_path / "here" / "runs.db")
    assert "import a file that llmspell export has written" in caught.value.hint
