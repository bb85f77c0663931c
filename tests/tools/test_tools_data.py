import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmspell.errors import InvalidArguments, ToolError
from llmspell.tools.data import csv_format, csv_parse, json_query

pytestmark = pytest.mark.anyio

# The document of RFC 6901, section 5, and what its pointers stand for.
DOCUMENT = {
    "foo": ["bar", "baz"],
    "": 0,
    "a/b": 1,
    "c%d": 2,
    "e^f": 3,
    "g|h": 4,
    "i\\j": 5,
    'k"l': 6,
    " ": 7,
    "m~n": 8,
}
POINTERS = {
    "": DOCUMENT,
    "/foo": ["bar", "baz"],
    "/foo/0": "bar",
    "/": 0,
    "/a~1b": 1,
    "/c%d": 2,
    "/e^f": 3,
    "/g|h": 4,
    "/i\\j": 5,
    '/k"l': 6,
    "/ ": 7,
    "/m~0n": 8,
}


@pytest.mark.parametrize("path", POINTERS)
async def test_pointers(call, path):
    assert await call(json_query, data=DOCUMENT, path=path) == POINTERS[path]


async def test_json_text(call):
    assert await call(json_query, data='{"a": [1, {"b": null}]}', path="/a/1/b") is None
    with pytest.raises(ToolError, match="not valid JSON"):
        await call(json_query, data="{")
    with pytest.raises(ToolError, match="not valid JSON: nested too deeply"):
        await call(json_query, data="[" * 100_000)


async def test_json_of_too_many_values_is_refused(call):
    with pytest.raises(ToolError, match="the text has over 1,000,000 values"):
        await call(json_query, data="[" + "[]," * 1_000_001 + "1]")


async def test_lua_tables_with_numbers_as_keys(call):
    assert await call(json_query, data={3: {"x": "y"}}, path="/3/x") == "y"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/bar", "nothing at /bar: the keys there are foo"),
        ("/foo/2", "nothing at /foo/2: the list has 2 items"),
        ("/foo/-", "the list has 2 items"),
        ("/foo/01", "the list has 2 items"),
        ("/foo/0/x", "nothing at /foo/0/x: it is inside a string"),
        ("/a~1b/x", "inside a number"),
        ("/foo/99999999999999999999", "the list has 2 items"),
    ],
)
async def test_nothing_there(call, path, reason):
    with pytest.raises(ToolError, match=reason) as caught:
        await call(json_query, data=DOCUMENT, path=path)
    assert "default" in caught.value.hint
    assert await call(json_query, data=DOCUMENT, path=path, default=False) is False


async def test_wrong_pointers(call):
    with pytest.raises(ToolError, match="does not begin with a slash") as caught:
        await call(json_query, data=DOCUMENT, path="foo.0")
    assert "'/foo/0'" in caught.value.hint
    with pytest.raises(ToolError, match="a ~ in the path"):
        await call(json_query, data=DOCUMENT, path="/m~n")


async def test_csv_by_name(call):
    text = '\ufeffname,note\r\nAda,"one, ""two""\nthree"\r\n\r\nBob\r\n'
    assert await call(csv_parse, text=text) == [
        {"name": "Ada", "note": 'one, "two"\nthree'},
        {"name": "Bob"},
    ]
    assert await call(csv_parse, text="") == []
    assert await call(csv_parse, text=",a\n1,2") == [{"column_1": "1", "a": "2"}]


async def test_csv_as_lists(call):
    assert await call(csv_parse, text="a;b\nc", header=False, delimiter=";") == [["a", "b"], ["c"]]


async def test_csv_with_a_long_value(call):
    before, long = csv.field_size_limit(), "x" * 3_000_000
    assert await call(csv_parse, text=f"a,b\n{long},1") == [{"a": long, "b": "1"}]
    assert csv.field_size_limit() == before


async def test_csv_of_too_many_values_is_refused(call):
    with pytest.raises(ToolError, match="1,000,000 values"):
        await call(csv_parse, text="a\n" * 1_000_001)
    with pytest.raises(ToolError, match="1,000,000 values"):
        await call(csv_parse, text="," * 1_000_000, header=False)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a\n1,2", "line 2 has 2 values for 1 column"),
        ("a,b\n1,2,3", "line 2 has 3 values for 2 columns"),
        ('a\n"x\ny"\n1,2', "line 4 has 2 values"),
        ("a,b,a", "columns of the same name: a"),
        ('a\n"x', "line 2 is not valid CSV"),
        ('a\n"x"y', "line 2 is not valid CSV"),
    ],
)
async def test_wrong_csv(call, text, reason):
    with pytest.raises(ToolError, match=reason):
        await call(csv_parse, text=text)


async def test_csv_format(call):
    rows = [{"b": 1, "a": 'x,"y"'}, {"b": 2.5, "c": True}]
    assert await call(csv_format, rows=rows) == 'a,b,c\n"x,""y""",1,\n,2.5,true\n'
    assert await call(csv_format, rows=rows, columns=["b", "d"]) == "b,d\n1,\n2.5,\n"
    assert await call(csv_format, rows=[[1, None, "z"]], delimiter="\t") == "1\t\tz\n"
    assert await call(csv_format, rows=[[1]], columns=["n"]) == "n\n1\n"
    assert await call(csv_format, rows=[]) == ""
    with pytest.raises(ToolError, match="row 2 holds a list") as caught:
        await call(csv_format, rows=[{"a": 1}, {"a": [1]}])
    assert caught.value.details == {"row": 2}
    with pytest.raises(ToolError, match="row 1 holds a string that is not UTF-8"):
        await call(csv_format, rows=[[b"\xff"]])


@pytest.mark.parametrize("delimiter", ["", "||", "\n", "\r", '"'])
async def test_a_delimiter_is_one_character(call, delimiter):
    for tool, given_ in ((csv_parse, {"text": "a"}), (csv_format, {"rows": [["a"]]})):
        with pytest.raises(InvalidArguments, match="delimiter"):
            await call(tool, delimiter=delimiter, **given_)


cells = st.text(st.characters(exclude_characters="\0", codec="utf-8"))


@given(st.lists(st.lists(cells, min_size=1)), st.sampled_from(",;\t|]^ \\-é"))
def test_csv_comes_back(rows, delimiter):
    text = csv_format(rows, delimiter=delimiter)
    assert csv_parse(text, header=False, delimiter=delimiter) == rows
    others = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    assert list(others) == rows


@given(st.lists(st.lists(cells, min_size=2)))
def test_csv_reads_what_others_write(rows):
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL).writerows(rows)
    assert csv_parse(out.getvalue(), header=False) == rows
