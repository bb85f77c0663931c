"""What a recorded run has paid, and may still pay, when it is taken up again."""

import asyncio
import shutil
import sqlite3
from contextlib import closing, contextmanager

import pytest

from llmspell import Budget, Runtime, tool
from llmspell.config import Project, Settings
from llmspell.effects import Effect
from llmspell.errors import JournalError, LimitExceeded, ProviderError, SpellRuntimeError
from llmspell.hooks import Hook
from llmspell.journal.database import MIGRATIONS
from llmspell.journal.reader import Reader
from llmspell.journal.totals import Totals
from llmspell.journal.transfer import export_run, import_runs
from llmspell.providers.messages import Message, ModelResponse, Usage
from llmspell.providers.scripted import ScriptedProvider
from llmspell.providers.settings import ProviderSettings
from llmspell.spending.prices import Price

pytestmark = pytest.mark.anyio

PRICES = {"scripted/*": Price(0, 500_000)}  # two tokens are a dollar
ASK = "return (Agent.create{max_tokens = 2}:prompt('Hi'))"


def answer(_=None):
    return ModelResponse(Message.of("assistant", "Fine."), Usage(0, 2))


@pytest.fixture
def runtime(tmp_path):
    """Makes runtimes of a project with prices."""

    def make(budget=None, usual=None, model=answer, providers=None, **options):
        settings = Settings(prices=PRICES, budget=usual or Budget(), providers=providers or {})
        return Runtime(
            project=Project(tmp_path, settings),
            providers=[ScriptedProvider(model)],
            model="scripted/any",
            budget=budget,
            output=lambda _: None,
            **options,
        )

    return make


@pytest.fixture
def journal(tmp_path):
    return tmp_path / ".llmspell" / "runs.db"


async def stopped(runtime, source):
    """The id of a run that its budget ends."""
    ids = []
    async with runtime:
        with pytest.raises(LimitExceeded):
            await runtime.execute(source, begun=ids.append)
    return ids[0]


TWICE = "local a = Agent.create{max_tokens = 2} a:prompt('one') return (a:prompt('two'))"


@pytest.mark.parametrize(
    ("then", "usual_then", "now", "usual_now", "goes_on"),
    [
        (Budget(usd=1), None, None, None, False),  # what was given then holds
        (Budget(usd=1), None, None, Budget(usd=9), False),  # whatever the settings say
        (Budget(usd=1), None, Budget(usd=2), None, True),  # until another one is given
        (None, Budget(usd=1), None, Budget(usd=2), True),  # the settings are those of now
        (None, Budget(usd=1), None, None, True),
    ],
)
async def test_the_budget_of_a_run_holds_when_it_goes_on(
    runtime, then, usual_then, now, usual_now, goes_on
):
    id_ = await stopped(runtime(then, usual_then), TWICE)
    async with runtime(now, usual_now) as again:
        if goes_on:
            assert await again.resume(id_) == "Fine."
        else:
            with pytest.raises(LimitExceeded, match="spent on scripted/any: 1 call"):
                await again.resume(id_)
        assert again.spent_before["scripted/any"].usd == 1


async def test_a_budget_that_comes_from_elsewhere_is_no_more_than_ours(runtime, journal, tmp_path):
    id_ = await stopped(runtime(Budget(usd=9, calls=1)), TWICE)
    with Reader.open(journal) as reader:
        export_run(journal, reader.run(id_), tmp_path / "run.db")
    shutil.rmtree(journal.parent)
    import_runs(tmp_path / "run.db", journal)
    async with runtime(Budget(usd=1, calls=9), Budget(usd=1)) as again:
        with pytest.raises(LimitExceeded) as error:
            await again.resume(id_)
    assert error.value.limit == "usd"


async def test_what_was_paid_within_a_recorded_tool_counts(runtime):
    """It is not asked for again, as the tool answers for it."""

    @tool(idempotent=True)
    async def consult(effect: Effect) -> str:
        """Ask a model."""
        await effect.perform("model.request", model="scripted/any", messages=[], max_tokens=2)
        return "asked"

    source = "consult{} consult{} return consult{}"
    id_ = await stopped(runtime(Budget(usd=2), tools=[consult]), source)
    async with runtime(tools=[consult]) as again:
        with pytest.raises(LimitExceeded, match=r"2 calls, 4 tokens, \$2\.0000"):
            await again.resume(id_)
        assert again.spent == {}


async def test_what_hooks_ask_at_the_end_of_a_run_counts(runtime, journal):
    class Epitaph(Hook):
        async def on_run_end(self, call):
            await call.effect.perform("model.request", model="scripted/any", messages=[])

    ids = []
    async with runtime(Budget(usd=9000), hooks=[Epitaph()]) as first:
        with pytest.raises(SpellRuntimeError):
            await first.execute("error('no')", begun=ids.append)
        assert first.spent["scripted/any"].usd == 1
    with Reader.open(journal) as reader:
        run = reader.run(ids[0])
        [paid] = reader.payments(run)
        assert (paid.answered, paid.usage.usd) == (True, 1)
        assert Totals.of(reader, run).spent.usd == 1
    async with runtime() as again:
        with pytest.raises(SpellRuntimeError):
            await again.resume(ids[0])
        assert again.spent_before["scripted/any"].usd == 1


async def test_what_was_not_billed_is_not_paid(runtime, journal):
    def refuses(_):
        return ProviderError("no, not now", status=400)

    async with runtime(model=refuses) as one:
        with pytest.raises(SpellRuntimeError):
            await one.execute(ASK)
    with Reader.open(journal) as reader:
        run = reader.run("last")
        assert reader.payments(run) == []
        assert Totals.of(reader, run).spent.calls == 0


async def test_what_a_tool_calls_usage_is_none_of_a_model(runtime, journal):
    @tool
    def meter() -> dict[str, dict[str, float]]:
        """Read the meter."""
        return {"usage": {"input_tokens": 7, "usd": 3.0}}

    async with runtime(tools=[meter]) as one:
        await one.execute("return meter{}")
    with Reader.open(journal) as reader:
        assert Totals.of(reader, reader.run("last")).spent.calls == 0


@contextmanager
def no_payment_can_be_written(journal):
    with closing(sqlite3.connect(journal)) as db:
        db.execute(
            "CREATE TRIGGER full BEFORE INSERT ON payments"
            " BEGIN SELECT RAISE(ABORT, 'no room for it'); END"
        )
        yield
        db.execute("DROP TRIGGER full")


async def test_what_could_not_be_recorded_was_not_asked_and_is_not_paid(runtime, journal):
    def never(_):
        pytest.fail("it was asked")

    ids = []
    async with runtime(model=never) as first:
        await first.execute("return 1")  # creates the journal
        with no_payment_can_be_written(journal), pytest.raises(JournalError, match="no room"):
            await first.execute(ASK, begun=ids.append)
    async with runtime() as again:
        assert await again.resume(ids[0]) == "Fine."
        assert again.spent_before == {}


async def test_a_bill_that_cannot_be_taken_over_stays_where_it_is(runtime, journal, caplog):
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def slowly(_):
        asked.set()
        await go_on.wait()
        return answer()

    share = {"scripted": ProviderSettings(share=True)}
    async with runtime(model=slowly, providers=share) as both:
        leaves = asyncio.create_task(both.execute(ASK))
        await asked.wait()
        stays = asyncio.create_task(both.execute(ASK))
        await asyncio.sleep(0.2)  # by then it waits for the same answer
        with no_payment_can_be_written(journal):
            leaves.cancel()
            with pytest.raises((JournalError, asyncio.CancelledError)):
                await leaves
        go_on.set()
        assert await stays == "Fine."
    assert "no room for it, so scripted/any stays on the bill of the one who asked" in caplog.text
    with Reader.open(journal) as reader:
        paid = [payment for run in reader.runs() for payment in reader.payments(run)]
    assert len(paid) == 1


async def test_a_journal_of_an_earlier_version_is_read_as_it_is(runtime, journal, tmp_path):
    async with runtime() as one:
        await one.execute(ASK)
    with closing(sqlite3.connect(journal)) as db, db:
        db.execute("DROP TABLE calls")
        db.execute("DROP TABLE payments")
        db.execute("DROP TABLE delivered")
        db.execute("ALTER TABLE composites DROP COLUMN begun")
        db.execute("UPDATE effects SET usage = json_remove(usage, '$.model')")
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS) - 4}")
    with Reader.open(journal) as reader:
        run = reader.run("last")
        reader.check(run)
        assert Totals.of(reader, run).spent.usd == 1
        [paid] = [effect.payment for effect in reader.effects(run) if effect.payment]
        assert (paid.model, paid.answered) == ("scripted/any", True)
    with closing(sqlite3.connect(journal)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS) - 4,)
    async with runtime() as one:
        await one.replay(run.id)
