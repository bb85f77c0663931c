"""Approvals in the record of a run that was taken in: they count for nothing that is to be done yet."""

import shlex
import sqlite3
from contextlib import closing

import pytest

from llmspell import Runtime, tool
from llmspell.config import ApproveSettings, Project, Settings
from llmspell.errors import NobodyToAsk, NotApproved
from llmspell.human import Approval, Decision
from llmspell.journal.reader import Reader
from llmspell.journal.transfer import export_run, import_runs
from llmspell.state import MemoryStore

pytestmark = pytest.mark.anyio

SEND = """send{to = "ada"} send{to = "eve"} return 'done'"""
OWN = 'Human.approve("tea")\nsend{to = "ada"}\nreturn "done"'
PAIR = OWN.replace("tea", "tool.call:send")
ARGS = {"name": "send", "args": {"to": "eve"}}
LAST_SENT = (
    "name = 'tool.call' AND number = (SELECT max(number) FROM effects WHERE name = 'tool.call')"
)

sent = []


@tool(pure=True)
def send(to: str) -> str:
    """Send a mail."""
    sent.append(to)
    return "sent"


class Person:
    def __init__(self, *decisions):
        self.decisions, self.asked = list(decisions), []

    async def answer(self, question):
        raise AssertionError(question)

    async def decide(self, approval):
        self.asked.append(approval)
        return self.decisions.pop(0)


YES, NO = Decision(approved=True), Decision(approved=False, reason="not today")


@pytest.fixture(autouse=True)
def nothing_sent():
    sent.clear()


@pytest.fixture
def runtime(tmp_path):
    """Makes runtimes of a project whose settings want approval of some effects."""

    def make(*effects, folder=tmp_path, **options):
        project = Project(folder, Settings(approve=ApproveSettings(effects)))
        return Runtime(project=project, tools=[send], store=MemoryStore(), **options)

    return make


@pytest.fixture
def taken_in(tmp_path, runtime):
    """Takes a run in that did all there was to do, or of which its maker left something out."""

    async def take(source, *effects, without=LAST_SENT):
        async with runtime(*effects, person=Person(*[YES] * 9)) as there:
            assert await there.execute(source, name="mail.lua") == "done"
        journal, taken = tmp_path / ".llmspell" / "runs.db", tmp_path / "mail.run"
        with closing(sqlite3.connect(journal)) as db, db:
            db.execute("UPDATE runs SET status = 'suspended', result = NULL")
            db.execute(f"DELETE FROM effects WHERE {without}")
        with Reader.open(journal) as reader:
            export_run(journal, reader.run("last"), taken)
        here = tmp_path / "here"
        (here / ".llmspell").mkdir(parents=True)
        (id_,) = import_runs(taken, here / ".llmspell" / "runs.db")
        sent.clear()
        return here, id_

    return take


@pytest.mark.parametrize(
    ("source", "rule", "what", "args"),
    [
        (SEND, "tool.call:send", "tool.call:send", ARGS),
        (f"return Spell.run([[{SEND}]])", "spell.run", f"spell.run:{SEND}", {"spell": SEND}),
    ],
    ids=["leaf", "made of effects"],
)
async def test_what_was_not_done_there_is_asked_for_again(
    taken_in, runtime, source, rule, what, args
):
    folder, id_ = await taken_in(source, rule)
    wants = {"folder": folder, "grants": None}
    async with runtime(rule, **wants) as here:
        with pytest.raises(NobodyToAsk, match=f"{rule}.* was approved where the run") as caught:
            await here.resume(id_)
    assert f"--approve={what}" in shlex.split(caught.value.hint)
    no = Person(NO)
    async with runtime(rule, person=no, **wants) as here:
        with pytest.raises(NotApproved, match="not today") as caught:
            await here.resume(id_)
    assert caught.value.hint.startswith(f"to diverge from there: llmspell fork {id_} --at ")
    assert no.asked == [Approval("mail.lua", what, args)]
    assert sent == []
    async with runtime(rule, person=Person(YES), **wants) as here:
        assert await here.resume(id_) == "done"
    assert sent == ["eve"]


async def test_what_is_approved_of_beforehand_is_not_asked_for(taken_in, runtime):
    folder, id_ = await taken_in(SEND, "tool.call:send")
    async with runtime("tool.call:send", folder=folder, approved=["tool.call:send"]) as here:
        assert await here.resume(id_) == "done"
    assert sent == ["eve"]


async def test_it_is_done_as_recorded_or_not_at_all(taken_in, runtime):
    folder, id_ = await taken_in(SEND, "tool.call:send")
    changed = Decision(approved=True, args={"name": "send", "args": {"to": "bob"}})
    async with runtime("tool.call:send", folder=folder, person=Person(changed)) as here:
        with pytest.raises(NotApproved, match="only be repeated as recorded"):
            await here.resume(id_)
    assert sent == []


async def test_what_was_done_there_is_not_asked_for(taken_in, runtime):
    folder, id_ = await taken_in(SEND, "tool.call:send", without="0")
    async with runtime("tool.call:send", folder=folder) as here:
        assert await here.resume(id_) == "done"
    assert sent == []


async def test_what_was_approved_of_here_is_asked_for_once(taken_in, runtime):
    """Also in a fork of the run, and in one of that."""
    folder, id_ = await taken_in(OWN)
    ada = Person(YES)
    async with runtime(folder=folder, person=ada) as here:
        assert await here.resume(id_) == "done"
        assert [asked.what for asked in ada.asked] == ["tea"]
        assert await here.fork(id_, "0/1") == "done"
    assert sent == ["ada"] * 2
    assert len(ada.asked) == 1


async def test_what_was_done_there_is_asked_for_where_it_is_done_again(taken_in, runtime):
    """Also once the run has gone on here, and is one of here in all else."""
    folder, id_ = await taken_in(PAIR, without="0")
    async with runtime(folder=folder) as here:
        assert await here.resume(id_) == "done"
        assert sent == []
        with pytest.raises(NobodyToAsk, match=r"tool\.call:send was approved"):
            await here.fork(id_, "0/1")
    assert sent == []
    with Reader.open(folder / ".llmspell" / "runs.db") as reader:
        assert [run.id for run in reader.runs()] == [id_]
