from dataclasses import asdict, fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmspell.limits import MAX_LIMIT, Budget, Limits, how_to_raise, units


def test_every_limit_has_a_unit_that_reads_its_default():
    assert list(units(Limits)) == [f.name for f in fields(Limits)]
    assert list(units()) == [*units(Limits), *units(Budget)]
    for name, value in asdict(Limits()).items():
        assert units()[name].read(value) == value


@pytest.mark.parametrize(
    ("name", "written", "value"),
    [
        ("memory", 5, 5),
        ("memory", 5.0, 5),
        ("memory", "5", 5),
        ("memory", "64MB", 64_000_000),
        ("memory", "64 MiB", 64 << 20),
        ("memory", "64mb", 64_000_000),
        ("memory", "1.5kB", 1500),
        ("memory", "2.3MB", 2_300_000),
        ("memory", "512KiB", 512 << 10),
        ("memory", " 1GiB ", 1 << 30),
        ("memory", "1GB", 10**9),
        ("memory", "7 bytes", 7),
        ("memory", "7B", 7),
        ("time", 2, 2),
        ("time", 0.5, 0.5),
        ("usd", "0.50", 0.5),
        ("time", "0.5", 0.5),
        ("time", "2s", 2),
        ("time", "500ms", 0.5),
        ("time", "1h30m", 5400),
        ("seconds", "5m", 300),
        ("seconds", "1 d", 86400),
        ("effects", "1_000_000", 1_000_000),
        ("effects", 1e6, 1_000_000),
    ],
)
def test_how_a_limit_is_written(name, written, value):
    read = units()[name].read(written)
    assert read == value
    assert isinstance(read, int) or name in ("time", "usd", "seconds")


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("memory", 0),
        ("memory", -5),
        ("memory", "-5"),
        ("memory", "0MB"),
        ("memory", 1.5),
        ("memory", "1.5"),
        ("memory", "64M"),
        ("memory", "MB"),
        ("memory", "6 4MB"),
        ("memory", "64MB/s"),
        ("memory", "1.2.3MB"),
        ("memory", "._"),
        ("memory", True),
        ("memory", None),
        ("memory", [64]),
        ("memory", MAX_LIMIT + 1),
        ("memory", 1e30),
        ("memory", "1" * 400),
        ("effects", float("inf")),
        ("effects", "64MB"),
        ("effects", "2s"),
        ("time", float("nan")),
        ("time", float("inf")),
        ("time", "nan"),
        ("time", "2 hours"),
        ("time", "0m"),
        ("effects", "5m"),
        ("time", "64MB"),
    ],
    ids=str,
)
def test_what_is_no_limit_is_told(name, written):
    with pytest.raises(ValueError, match=r"must be a .* above 0, such as "):
        units()[name].read(written)


@pytest.mark.parametrize("written", [1, 10, "255", "0.1kB"])
def test_a_message_holds_at_least_an_error(written):
    with pytest.raises(ValueError, match=f"must be a size from 256 bytes, .*, not {written!r}"):
        units()["message"].read(written)
    assert units()["message"].read(256) == 256


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("memory", 64 << 20, "64 MiB"),
        ("memory", 64_000_000, "64 MB"),
        ("memory", 1 << 30, "1 GiB"),
        ("memory", 1500, "1,500 bytes"),
        ("memory", 1_000_001, "1,000,001 bytes"),
        ("memory", 5000, "5 kB"),
        ("instructions", 500_000_000, "500,000,000"),
        ("time", 10, "10 s"),
        ("time", 0.3, "0.3 s"),
    ],
)
def test_how_a_limit_is_shown(name, value, shown):
    assert units()[name].shown(value) == shown


@given(st.sampled_from(list(units())), st.integers(units()["message"].least, MAX_LIMIT))
def test_what_is_shown_can_be_given(name, value):
    unit = units()[name]
    assert unit.read(unit.written(value)) == value
    assert unit.read(unit.shown(value).replace(",", "_")) == value


@given(st.sampled_from(list(units())), st.integers(units()["message"].least, MAX_LIMIT // 2))
def test_the_way_to_raise_it_raises_it(name, value):
    entry = how_to_raise(name, value).split()[4].rstrip(",")
    assert entry.partition("=")[0] == name
    assert units()[name].read(entry.partition("=")[2]) == 2 * value


def test_lowering_never_raises():
    low = Limits(memory=1000, effects=5).lowered({"memory": 2000, "effects": 4, "time": 1})
    assert low == Limits(memory=1000, effects=4, time=1)
    assert Limits().lowered({}) == Limits()


def test_a_budget_is_lowered_and_never_raised():
    budget = Budget(usd=0.5, tokens=100)
    assert budget.lowered({"usd": 1, "tokens": 10, "calls": 3, "memory": 1}) == Budget(
        usd=0.5, tokens=10, calls=3
    )
    assert Limits().lowered({"usd": 1, "time": 1}) == Limits(time=1)
