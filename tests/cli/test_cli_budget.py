"""What a run may spend, by options and files, and the line that says what it did."""

import json
import re

import pytest

ASK = """
local agent = Agent.create{max_tokens = 2}
for n = 1, tonumber(arg[1] or 1) do
  print((agent:prompt("hello")))
end
"""
LINE = re.compile(r"(\d+) calls?, ([\d,]+) tokens, (.+), \d+\.\d s\n")


@pytest.fixture
def ask(llmspell, write, model, project):
    """Ask a model of which an answer costs `usd`, with more in llmspell.toml."""
    write("ask.lua", ASK)
    file = project / "llmspell.toml"

    def run(*options, times=1, usd=None, more=""):
        prices = f'[prices]\n"test/*" = {{input = 0, output = {usd * 500_000}}}\n' if usd else ""
        file.write_text(file.read_text() + prices + more)  # the answer has two tokens
        return llmspell("run", model("ok"), *options, "ask.lua", "--", str(times))

    return run


def test_a_run_ends_with_what_it_cost(ask):
    done = ask(times=3, usd=0.25)
    assert (done.code, done.out) == (0, "Hello to you.\n" * 3)
    assert LINE.fullmatch(done.err).groups() == ("3", "15", "$0.7500")


def test_what_nobody_knows_is_said(ask):
    assert LINE.fullmatch(ask().err).groups() == ("1", "5", "price unknown")


def test_who_asked_nothing_sees_nothing(llmspell):
    assert llmspell("exec", "--budget", "1", "return 1") == (0, "1\n", "")


def test_it_is_not_in_the_output_and_not_seen_when_quiet(ask):
    done = ask("--json", "--quiet")
    assert (json.loads(done.out), done.err) == (None, "Hello to you.\n")


@pytest.mark.parametrize(
    ("options", "more"),
    [
        (("--budget", "0.60"), ""),
        (("--budget", "$0.60"), ""),
        (("--budget=usd=0.60",), "[budget]\nusd = 0.01\n"),
        ((), "[budget]\nusd = 0.60\n"),
    ],
)
def test_a_breach_ends_the_run_and_says_what_was_spent_on_what(ask, options, more):
    done = ask(*options, times=5, usd=0.25, more=more)
    assert (done.code, done.out) == (4, "Hello to you.\n" * 2)
    assert (
        "used up: test/ok cannot be asked, as that may cost $0.2500 and $0.1000 is left" in done.err
    )
    assert "spent on test/ok: 2 calls, 10 tokens, $0.5000; limit on usd (0.6 usd)" in done.err
    assert (
        "hint: raise it with --budget usd=1.2, or usd under [budget] in llmspell.toml" in done.err
    )
    assert done.err.startswith("2 calls, 10 tokens, $0.5000, ")


def test_budgets_add_up(ask):
    done = ask("--budget", "tokens=1000", "--budget", "calls=2", times=5)
    assert (done.code, done.out) == (4, "Hello to you.\n" * 2)
    assert "--budget calls=4" in done.err


def test_an_unknown_price_is_refused_with_a_budget_of_dollars(ask):
    done = ask("--budget", "1")
    assert (done.code, done.out) == (2, "")
    assert "the price of test/ok is unknown, and the budget is in US dollars" in done.err
    assert 'hint: set its price in llmspell.toml: "test/ok" under [prices]' in done.err
    allowed = ask("--budget", "1", more='[budget]\nunknown_price = "allow"\n')
    assert (allowed.code, allowed.out) == (0, "Hello to you.\n")


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("euros=1", "no budget named 'euros'"),
        ("memory=1MB", "no budget named 'memory'"),
        ("-1", "usd must be a number of US dollars above 0, such as 0.50, not '-1'"),
        ("0", "usd must be a number of US dollars above 0"),
        ("tokens", "tokens has no value; write, for example, tokens=1_000_000"),
    ],
)
def test_what_is_no_budget(llmspell, entry, said):
    done = llmspell("exec", f"--budget={entry}", "return 1")
    assert (done.code, done.out) == (2, "")
    assert said in done.err


def test_settings_that_are_none(llmspell, write):
    write(
        "llmspell.toml",
        '[budget]\nusd = -1\nunknown_price = "hide"\n[prices]\n"a/b" = {input = -2}\n',
    )
    done = llmspell("exec", "return 1")
    assert done.code == 2
    for key in (
        "budget.usd: must be",
        "budget.unknown_price: ",
        "prices.a/b: input: a price must be a number",
    ):
        assert key in done.err
