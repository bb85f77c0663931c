"""Export and import: what was there is there again, exactly, or nothing has changed."""

import asyncio
import json
import math
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmspell.concurrency import settled
from llmspell.errors import StateError
from llmspell.state import MemoryStore, SqliteStore
from llmspell.state.encoding import same

pytestmark = pytest.mark.anyio

EXACT = {
    "integer": 2**63 - 1,
    "float": 2.0,
    "infinity": math.inf,
    "bytes": b"\x00\xff",
    "tagged": {"$bytes": "text"},
    "numbered": {1: "a", 2.5: {"b": b"\xfe"}},
    "list": [None, True, "ø\u2028", {}],
    "\0odd key": "\ud800",
}


def document(**keys):
    return {"llmspell_state": 1, "scopes": {"": {key: {"value": v} for key, v in keys.items()}}}


async def test_everything_comes_back_exactly(store):
    for scope in ("", "a scope"):
        for key, value in EXACT.items():
            await settled(store.set(scope, key, value))
    text = json.dumps(await settled(store.export()))
    other = MemoryStore()
    assert other.import_(json.loads(text)) == 2 * len(EXACT)
    for scope in ("", "a scope"):
        for key, value in EXACT.items():
            found = other.get(scope, key)
            assert found == value
            assert type(found) is type(value)
    assert json.dumps(other.export()) == text


async def test_ordinary_values_are_ordinary_json(store):
    await settled(store.set("cart", "tea", {"cups": [1, 2.5], "hot": True}))
    assert await settled(store.export()) == {
        "llmspell_state": 1,
        "scopes": {"cart": {"tea": {"value": {"cups": [1, 2.5], "hot": True}}}},
    }


async def test_a_ttl_goes_on_in_the_document(store):
    await settled(store.set("", "short", 1, ttl=0.3))
    await settled(store.set("", "long", 1, ttl=100))
    exported = await settled(store.export())
    expires = exported["scopes"][""]["long"]["expires"]
    assert 90 < expires - time.time() <= 100
    await settled(store.import_(exported))
    assert await settled(store.get("", "short")) == 1
    again = await settled(store.export())
    assert abs(again["scopes"][""]["long"]["expires"] - expires) < 0.1
    await asyncio.sleep(0.35)
    assert await settled(store.import_(exported, replace=True)) == 1
    assert await settled(store.keys("")) == ["long"]


async def test_an_import_merges_or_replaces(store):
    await settled(store.set("", "kept", "old"))
    await settled(store.set("", "changed", "old", ttl=100))
    await settled(store.set("other", "kept", "old"))
    assert await settled(store.import_(document(changed="new", added=1))) == 2
    assert await settled(store.keys("")) == ["added", "changed", "kept"]
    exported = await settled(store.export())
    assert exported["scopes"][""]["changed"] == {"value": "new"}
    assert await settled(store.import_(document(changed="newer"), replace=True)) == 1
    assert await settled(store.export()) == document(changed="newer")


async def test_one_scope_alone(store):
    await settled(store.set("a", "key", 1))
    await settled(store.set("b", "key", 2))
    exported = await settled(store.export("a"))
    assert exported["scopes"] == {"a": {"key": {"value": 1}}}
    assert (await settled(store.export("nowhere")))["scopes"] == {}
    everything = await settled(store.export())
    await settled(store.set("a", "more", 1))
    await settled(store.set("b", "key", 3))
    assert await settled(store.import_(everything, scope="a", replace=True)) == 1
    assert await settled(store.keys("a")) == ["key"]
    assert await settled(store.get("b", "key")) == 3


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (None, "not an exported state"),
        ([], "not an exported state"),
        ({"scopes": {}}, "not an exported state"),
        ({"llmspell_state": True, "scopes": []}, "not an exported state"),
        ({"llmspell_state": 1, "scopes": {"": []}}, "not an exported state"),
        ({"llmspell_state": 2, "scopes": {}}, "later version"),
    ],
)
async def test_what_is_no_document_is_refused(store, wrong, said):
    with pytest.raises(StateError, match=said):
        await settled(store.import_(wrong))


async def test_a_document_with_a_mistake_changes_nothing(store):
    await settled(store.set("", "before", 1))
    keys = {
        "good": {"value": 1},
        "bare": 1,
        "more": {"value": 1, "ttl": 3},
        "none": {"value": None},
        "bytes": {"value": {"$bytes": "!"}},
        "late": {"value": 1, "expires": "soon"},
        "": {"value": 1},
        "big": {"value": 2**63},
    }
    wrong = {"llmspell_state": 1, "scopes": {"": keys, "s" * 129: {"k": {"value": 1}}}}
    with pytest.raises(StateError) as caught:
        await settled(store.import_(wrong, replace=True))
    problems = caught.value.details["problems"]
    assert len(problems) == 8
    assert "and 3 more" in caught.value.message
    assert any(p.startswith("late: expires must be a number") for p in problems)
    assert "nothing was changed" in caught.value.hint
    assert await settled(store.export()) == document(before=1)


async def test_a_file_that_cannot_take_it_all_takes_nothing(sqlite_store, state_file):
    await sqlite_store.set("", "before", 1)

    def refuse(db):
        db.execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON state WHEN new.key = 'k500'"
            " BEGIN SELECT raise(FAIL, 'not this one'); END"
        )

    await sqlite_store._writer.ask(refuse)
    many = document(**{f"k{n}": n for n in range(1000)})
    with pytest.raises(StateError, match="not this one"):
        await sqlite_store.import_(many, replace=True)
    assert await sqlite_store.export() == document(before=1)


_atoms = (
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5)
)
_values = st.recursive(
    _atoms,
    lambda inner: (
        st.lists(inner | st.none(), max_size=3)
        | st.dictionaries(st.text(max_size=3) | st.sampled_from(["$bytes", "$table"]), inner)
        | st.dictionaries(st.integers(0, 9), inner, max_size=3)
    ),
    max_leaves=8,
)
_keys = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(_keys, _values, max_size=5))
def test_any_value_comes_back(kept):
    one, other = MemoryStore(), MemoryStore()
    for key, value in kept.items():
        one.set("", key, value)
    other.import_(json.loads(json.dumps(one.export())))
    assert other.keys("") == sorted(kept)
    assert all(same(other.get("", key), value) for key, value in kept.items())


async def test_an_export_is_one_moment(sqlite_store, state_file):
    """Two keys that are always written together are never exported apart."""
    other = SqliteStore(state_file)
    for n in range(30):
        both = document(a=n, b=n)
        _, exported = await asyncio.gather(other.import_(both), sqlite_store.export())
        values = [entry["value"] for entry in exported["scopes"].get("", {}).values()]
        assert values in ([], [n, n], [n - 1, n - 1])
    await other.close()
