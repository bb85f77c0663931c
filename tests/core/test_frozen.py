import pickle
from collections.abc import Mapping
from dataclasses import FrozenInstanceError, asdict, dataclass, field, fields, replace

import pytest

from llmspell.frozen import Frozen


class Place(Frozen):
    """A place."""

    name: str
    tags: tuple[str, ...] = ()
    secret: str = field(default="", repr=False)
    sizes: Mapping[str, int] = field(default_factory=dict, hash=False)


class Town(Place):
    people: int = 0


@dataclass(frozen=True)
class Standard:
    """A place."""

    name: str
    tags: tuple[str, ...] = ()
    secret: str = field(default="", repr=False)
    sizes: Mapping[str, int] = field(default_factory=dict, hash=False)


def test_it_is_what_a_frozen_dataclass_is():
    mine, standard = (kind("Rome", ("old",), secret="x") for kind in (Place, Standard))
    assert repr(mine).replace("Place", "Standard") == repr(standard)
    assert hash(mine) == hash(standard)
    assert asdict(mine) == asdict(standard)
    assert [f.name for f in fields(mine)] == [f.name for f in fields(standard)]
    assert Place.__match_args__ == Standard.__match_args__


def test_the_same_values_are_equal_in_objects_of_the_same_class():
    assert Place("Rome") == Place("Rome", ())
    assert Place("Rome") != Place("Rome", ("old",))
    assert Place("Rome") != Town("Rome")
    assert len({Place("Rome"), Place("Rome", sizes={"wide": 3}), Place("Oslo")}) == 3
    assert Place("Rome") != "Rome"


def test_nothing_of_it_can_be_changed():
    town = Town("Rome", people=3)
    for change in (
        lambda: setattr(town, "name", "Oslo"),
        lambda: setattr(town, "people", 4),
        lambda: setattr(town, "mayor", "Ada"),
        lambda: delattr(town, "name"),
    ):
        with pytest.raises(FrozenInstanceError):
            change()
    assert town == Town("Rome", people=3)
    assert replace(town, people=4) == Town("Rome", people=4)


def test_a_copy_by_way_of_bytes():
    assert pickle.loads(pickle.dumps(Town("Rome", ("old",), people=3))) == Town(
        "Rome", ("old",), people=3
    )
