"""Who pays, in which order, and that nobody pays too much."""

import asyncio
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmspell.errors import BudgetExceeded, LimitExceeded, UnknownPrice
from llmspell.journal.payments import Payment
from llmspell.limits import Budget
from llmspell.providers.messages import Usage
from llmspell.spending.account import Account, Cost
from llmspell.spending.accounts import Accounts
from llmspell.spending.prices import Price, Prices


def cost(usd=0.0, tokens=0):
    return Cost(Usage(tokens), usd)


def account(**budget):
    return Account(Budget(**budget), "the run", ends_run=True)


def test_the_accounts_of_an_effect_are_those_at_and_above_its_path():
    run, task, agent, other = (account() for _ in range(4))
    accounts = Accounts(run)
    with accounts.at("0.2/5", task), accounts.at("0.2/5.0/1", agent), accounts.at("0.2/51", other):
        assert accounts.of("0.2/5.0/1/0") == [agent, task, run]
        assert accounts.of("0.2/5.0/11") == [task, run]
        assert accounts.of("0.2/5") == [task, run]
        assert accounts.of("0.2/51/3") == [other, run]
        assert accounts.of("0.2/6") == accounts.of("0.25/5") == [run]
    assert accounts.of("0.2/5.0/1/0") == [run]


def test_an_account_that_is_there_twice_pays_once():
    run, agent = account(), account()
    accounts = Accounts(run)
    with accounts.at("0/1", agent), accounts.at("0/1/2", agent):
        assert accounts.of("0/1/2/3") == [agent, run]


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["usd", "tokens", "calls"])
async def test_calls_at_once_spend_no_more_than_there_is(kind):
    most = {"usd": 0.35, "tokens": 350, "calls": 3}
    run = account(**{kind: most[kind]})
    accounts, wanted = Accounts(run), cost(0.1, 100)
    made = []

    async def call(number):
        await accounts.reserve([run], wanted, "a/b")
        made.append(number)
        await asyncio.sleep(0.001)
        accounts.settle([run], wanted, "a/b", wanted)

    results = await asyncio.gather(*map(call, range(8)), return_exceptions=True)
    assert made == [0, 1, 2]
    assert [type(r) for r in results] == [type(None)] * 3 + [LimitExceeded] * 5
    assert run.spent["a/b"].calls == 3


@pytest.mark.anyio
async def test_a_stream_in_progress_is_not_waited_for():
    run = account(calls=1)
    accounts = Accounts(run)
    stream = Cost(Usage(), 0.0, firm=True)
    await accounts.reserve([run], stream, "a/b")
    with pytest.raises(LimitExceeded, match="as 0 calls are left; nothing was spent"):
        await accounts.reserve([run], cost(), "a/b")


def test_what_was_paid_before_a_run_was_resumed_counts_and_is_not_paid_again():
    run, agent, total = account(usd=1), account(), account()
    accounts = Accounts(run, total)
    before, prices = account(), Prices({"a/*": Price(0, 50_000)}, {})
    paid = Payment(0, "0/1/0", "a/b", Usage(10, 5, usd=0.75), answered=True)
    lost = Payment(1, "0/1/0", "a/b", Usage(10, 5))
    accounts.resume([paid, lost], prices, before)
    with accounts.at("0/1", agent):
        accounts.resume_at("0/1/0", lost, prices)
    in_all = "a/b: 2 calls (1 unreported), 30 tokens, at most $1.0000"
    assert str(run.spent) == str(before.spent) == in_all
    assert str(agent.spent) == "a/b: 1 call (1 unreported), 15 tokens, at most $0.2500"
    assert total.spent == {}
    with pytest.raises(LimitExceeded):
        run.check(cost(0.5), "a/b")


@pytest.mark.anyio
async def test_calls_wait_for_what_those_in_progress_do_not_need():
    run = account(usd=0.25)
    accounts, wanted, real = Accounts(run), cost(0.1), cost(0.01)
    most = busy = 0

    async def call():
        nonlocal most, busy
        await accounts.reserve([run], wanted, "a/b")
        busy += 1
        most = max(most, busy)
        await asyncio.sleep(0.001)
        busy -= 1
        accounts.settle([run], wanted, "a/b", real)

    await asyncio.gather(*(call() for _ in range(8)))
    assert most == 2
    assert run.spent["a/b"].usd == pytest.approx(0.08)


@pytest.mark.anyio
async def test_a_call_that_is_given_up_while_it_waits_holds_up_nobody():
    run = account(calls=1)
    accounts, wanted = Accounts(run), cost()
    await accounts.reserve([run], wanted, "a/b")
    waiting = [asyncio.ensure_future(accounts.reserve([run], wanted, "a/b")) for _ in range(2)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    accounts.settle([run], wanted, "a/b", Cost(Usage(), 0.0, calls=0))
    await asyncio.wait_for(waiting[1], 1)
    assert run.spent == {}


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1))), st.floats(0.1, 5))
def test_what_is_settled_within_what_was_reserved_never_exceeds_the_budget(calls, usd):
    run = account(usd=usd)
    accounts = Accounts(run)

    async def spend():
        for amount, share in calls:
            wanted = cost(amount)
            await accounts.reserve([run], wanted, "a/b")
            accounts.settle([run], wanted, "a/b", cost(amount * share))

    with suppress(LimitExceeded):
        asyncio.run(spend())
    assert run.spent.total.usd <= usd + 1e-6


@pytest.mark.anyio
async def test_the_innermost_that_has_too_little_says_so():
    run, agent = account(calls=1), Account(Budget(calls=1), "agent 'a'")
    accounts, wanted = Accounts(run), cost(0.02, 30)
    await accounts.reserve([agent, run], wanted, "a/b")
    accounts.settle([agent, run], wanted, "a/b", wanted)
    with pytest.raises(BudgetExceeded) as caught:
        await accounts.reserve([agent, run], wanted, "a/b")
    assert caught.value.details == {
        "limit": "calls",
        "value": 1,
        "spent": {"a/b": {"calls": 1, "tokens": 30, "usd": 0.02}},
    }
    assert str(caught.value) == (
        "the budget of agent 'a' is used up: a/b cannot be asked, as 0 calls are left; "
        "spent on a/b: 1 call, 30 tokens, $0.0200; limit on calls (1)"
    )
    with pytest.raises(LimitExceeded) as ended:
        await accounts.reserve([run], wanted, "a/b")
    assert ended.value.hint.startswith("raise it with --budget calls=2, or calls under [budget]")
    assert run.breach is ended.value
    with pytest.raises(LimitExceeded):
        accounts.check("0/1")


@pytest.mark.parametrize(
    ("budget", "wanted", "named"),
    [
        ({"usd": 0.5}, cost(usd=0.3), "usd=1"),
        ({"usd": 0.5}, cost(usd=2.00001), "usd=2.3001"),
        ({"tokens": 400}, cost(tokens=5000), "tokens=5_300"),
    ],
)
def test_a_budget_is_to_be_raised_to_what_is_enough(budget, wanted, named):
    run = account(**budget)
    run.charge("a/b", cost(0.3, 300))
    with pytest.raises(LimitExceeded) as caught:
        run.check(wanted, "a/b")
    assert caught.value.hint.startswith(f"raise it with --budget {named}, or ")


@pytest.mark.anyio
async def test_an_unknown_price_is_refused_or_allowed_and_never_hidden():
    unknown = Cost(Usage(10, 5), None)
    strict, lax = account(usd=1), account(usd=1, unknown_price="allow")
    with pytest.raises(UnknownPrice, match="the price of a/b is unknown"):
        await Accounts(strict).reserve([strict], unknown, "a/b")
    await Accounts(account(tokens=50)).reserve([account(tokens=50)], unknown, "a/b")
    accounts = Accounts(lax)
    await accounts.reserve([lax], unknown, "a/b")
    accounts.settle([lax], unknown, "a/b", unknown)
    assert str(lax.spent) == "a/b: 1 call, 15 tokens, price unknown"
    accounts.settle([lax], _reserved(lax, cost(0.5)), "a/b", cost(0.5))
    assert str(lax.spent) == "a/b: 2 calls, 15 tokens, $0.5000 and 1 call of unknown price"


def _reserved(account, cost):
    account.reserve(cost)
    return cost


@pytest.mark.anyio
async def test_seconds_cancel_what_is_in_progress_and_add_up():
    agent = Account(Budget(seconds=0.15), "agent 'a'")
    with agent.timed():
        await asyncio.sleep(0.1)
    over = r"its time is up; nothing was spent; limit on seconds \(0.15 s\)"
    with pytest.raises(BudgetExceeded, match=over), agent.timed():
        await asyncio.sleep(5)
    with pytest.raises(BudgetExceeded), agent.timed():
        raise AssertionError("there is nothing left for this")


@pytest.mark.anyio
async def test_other_errors_pass_through_the_clock():
    with pytest.raises(KeyError), account(seconds=5).timed():
        raise KeyError
