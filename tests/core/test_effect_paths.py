"""What a path of an effect says of where it is."""

import pytest

from llmspell.effect_paths import all_above, all_around, is_beside, is_on_behalf, is_within


@pytest.mark.parametrize(
    ("path", "around", "above"),
    [
        ("0", [], []),
        ("0/1", ["0"], ["0"]),
        ("0.2/5.0/1", ["0.2/5.0", "0.2/5", "0.2", "0"], ["0.2/5.0", "0.2/5", "0.2", "0"]),
        ("0/1!time", ["0/1", "0"], ["0"]),
        ("0/1!0.0/2", ["0/1!0.0", "0/1!0", "0/1", "0"], ["0/1!0.0", "0/1!0", "0"]),
    ],
)
def test_what_is_around_and_above(path, around, above):
    assert list(all_around(path)) == around
    assert list(all_above(path)) == above
    assert all(is_within(path, one) for one in around)
    assert not is_within(path, path)


@pytest.mark.parametrize("other", ["0/1", "0/12", "0/1/0", "1", ""])
def test_siblings_are_not_within_each_other(other):
    assert not is_within("0/11/0", other)
    assert not is_on_behalf("0/11/0", other)


def test_what_is_beside_an_effect_is_not_on_its_behalf():
    assert is_on_behalf("0/1.0/2", "0/1")
    assert not is_on_behalf("0/1!0/2", "0/1")
    assert is_within("0/1!0/2", "0/1")
    assert [p for p in ("0/1", "0/1!0", "0/1!0/2", "0/1!0.0") if is_beside(p)] == ["0/1!0"]
