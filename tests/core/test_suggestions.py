"""What is suggested for a name that is not known."""

import pytest

from llmspell.providers.catalogue import CATALOGUE
from llmspell.suggestions import did_you_mean, similar


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("opanai", "openai"),
        ("antropic", "anthropic"),
        ("twise", "twice"),
        ("shw", "show"),
        ("hsow", "show"),
        ("rnu", "run"),
        ("tll", "ttl"),
        ("grant", "grants"),
        ("json", "JSON"),
        ("ReadFile", "readfile"),
    ],
)
def test_a_near_name_is_suggested(name, known):
    assert similar(name, ["elsewhere", known, "x"]) == [known]


@pytest.mark.parametrize("name", ["nope", "none", "mine", "local-1", "x", ""])
def test_a_name_that_only_shares_letters_is_not(name):
    assert "openai" not in similar(name, CATALOGUE)


def test_the_hint_has_the_nearest_or_says_what_else_to_do():
    assert did_you_mean("shw", ["show", "run"], otherwise="see --help") == "did you mean show?"
    assert did_you_mean("nope", ["openai"], otherwise="see --help") == "see --help"
