"""Random operations leave a store as they leave a dict."""

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmspell.concurrency import settled
from llmspell.state import MemoryStore, SqliteStore

scopes = st.sampled_from(["", "a", "ø"])
keys = st.sampled_from(["k", "k2", "x/y", "\0"])
values = (
    st.none() | st.integers(-3, 3) | st.text(max_size=3) | st.lists(st.integers(0, 9), max_size=2)
)
operations = st.one_of(
    st.tuples(st.just("set"), scopes, keys, values),
    st.tuples(st.just("delete"), scopes, keys),
    st.tuples(st.just("increment"), scopes, keys, st.integers(-3, 3)),
    st.tuples(st.just("compare_and_set"), scopes, keys, values, values),
    st.tuples(st.just("update"), scopes, keys, values),
    st.tuples(st.just("get"), scopes, keys),
    st.tuples(st.just("keys"), scopes, st.sampled_from(["*", "k*", "?", "[!k]*"])),
    st.tuples(st.just("scopes")),
    st.tuples(st.just("reopen")),
)
MATCHES = {
    "*": {"k", "k2", "x/y", "\0"},
    "k*": {"k", "k2"},
    "?": {"k", "\0"},
    "[!k]*": {"x/y", "\0"},
}


def expected(model, name, scope="", key="", *args):
    """What the operation returns; changes the model."""
    old = model.get((scope, key))
    new = old
    answer = old
    if name == "set":
        answer, new = None, args[0]
    elif name == "delete":
        answer, new = (scope, key) in model, None
    elif name == "increment":
        if not isinstance(old, int | None):
            return None
        answer = new = (old or 0) + args[0]
    elif name == "compare_and_set":
        answer = old == args[0]
        new = args[1] if answer else old
    elif name == "update":
        answer = new = [old, args[0]]
    elif name == "keys":
        return sorted(k for s, k in model if s == scope and k in MATCHES[key])
    elif name == "scopes":
        return sorted({s for s, _ in model})
    model.pop((scope, key), None)
    if new is not None:
        model[scope, key] = new
    return answer


async def perform(store, name, scope="", key="", *args):
    async def pair(old):
        return [old, args[0]]

    if name == "update":
        return await store.update(scope, key, pair)
    if name == "scopes":
        return await settled(store.scopes())
    if name == "increment" and not isinstance(await settled(store.get(scope, key)), int | None):
        return None
    return await settled(getattr(store, name)(scope, key, *args))


async def play(steps, open_store, *, lasting):
    model = {}
    store = open_store()
    for step in steps:
        if step != ("reopen",):
            assert await perform(store, *step) == expected(model, *step)
        elif lasting:
            await store.close()
            store = open_store()
    for (scope, key), value in model.items():
        assert await settled(store.get(scope, key)) == value
    await store.close()


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@settings(max_examples=40, deadline=None)
@given(st.lists(operations, max_size=30))
def test_a_store_is_a_dict(kind, steps):
    if kind == "memory":
        asyncio.run(play(steps, MemoryStore, lasting=False))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.db"
        asyncio.run(play(steps, lambda: SqliteStore(path), lasting=True))
