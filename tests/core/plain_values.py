"""Hypothesis strategies for values that can cross between Lua and Python, and their test ids."""

import re

from hypothesis import strategies as st


def _refused_by_utf8(data):
    try:
        data.decode()
    except UnicodeDecodeError:
        return True
    return False


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
not_utf8 = st.binary(max_size=20).filter(_refused_by_utf8)
integers = st.integers(-(2**63), 2**63 - 1)
keys = text | integers | st.floats(allow_nan=False) | not_utf8
atoms = st.none() | st.booleans() | integers | st.floats(allow_nan=False) | text | not_utf8
values = st.recursive(
    atoms,
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(keys, inner, min_size=1, max_size=5)
    ),
    max_leaves=25,
)


def nested(depth, make=lambda inner: [inner]):
    """Return a value nested in `depth` containers."""
    value = None
    for _ in range(depth):
        value = make(value)
    return value


def named(value):
    """Return a test id for a value, the same in every process."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))
