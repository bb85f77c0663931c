"""Schemas that are none, such as hooks may put into a request: none of them is an error of ours."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmspell.errors import InvalidArguments
from llmspell.providers.anthropic_schema import to_supported_schema
from llmspell.providers.gemini_schema import accepted

KEYWORDS = (
    *("type", "title", "description", "properties", "items", "additionalProperties", "required"),
    *("enum", "const", "anyOf", "oneOf", "allOf", "prefixItems", "$ref", "$defs", "format"),
    *("minItems", "minimum", "default", "$schema"),
)
plain = st.sampled_from([None, True, 5, 1.5, "string", "object", "array", "#/$defs/a"])
values = st.recursive(
    plain,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYWORDS), inner, max_size=4)
    ),
    max_leaves=12,
)
schemas = st.dictionaries(st.sampled_from(KEYWORDS), values, max_size=5)


@pytest.mark.parametrize("write", [accepted, to_supported_schema])
@given(schema=schemas)
def test_they_are_written_or_refused(write, schema):
    try:
        written = write(schema)
    except InvalidArguments:
        return
    assert written is None or isinstance(written, dict)


@pytest.mark.parametrize("write", [accepted, to_supported_schema])
def test_what_is_wrong_is_said(write):
    with pytest.raises(InvalidArguments, match=r"properties\.a.description: 5 is not of type"):
        write({"type": "object", "properties": {"a": {"type": "string", "description": 5}}})


def test_one_that_holds_itself_is_refused_as_too_deep():
    deep = {"type": "object"}
    for _ in range(5000):
        deep = {"type": "array", "items": deep}
    with pytest.raises(InvalidArguments, match=r"too deep|too large"):
        accepted(deep)
