import json

import pytest

from llmspell.tools.catalogue import BUILTIN

ARCHIVE = '''
from llmspell import tool


@tool(category="archive", reads=["source", "other"], writes=["target"], env=["variable"])
def bundle(source: str, other: str, target: str, variable: str = "HOME") -> None:
    """Bundle files."""


@tool(category="archive")
def anything() -> None:
    """Who knows."""


@tool(category="archive", pure=True)
def nothing() -> None:
    """Nothing."""
'''


@pytest.fixture
def archive(write):
    return write("archive.py", ARCHIVE)


def test_the_list_says_what_each_tool_touches(llmspell, archive):
    done = llmspell("tools", "--tools", "archive.py")
    lines = {line.split()[0]: line.split(maxsplit=1)[1:] for line in done.out.splitlines()}
    assert set(BUILTIN) < set(lines)
    said = {name: rest[0] for name, rest in lines.items() if rest}
    assert said["read_file"].startswith("reads path ")
    assert said["delete_file"].startswith("writes path ")
    assert said["http_request"].startswith("reaches url ")
    assert said["run_program"].startswith("runs program ")
    assert said["calculate"].startswith("touches nothing ")
    assert said["anything"].startswith("trusted code ")
    words = "reads source and other, writes target, reads the variable variable"
    assert said["bundle"] == f"{words}  Bundle files."


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("write_file", "writes path"),
        ("now", "touches nothing"),
        ("nothing", "touches nothing"),
        ("anything", "trusted code: not limited by grants"),
    ],
)
def test_one_tool(llmspell, archive, name, words):
    assert f"\n\n{words}\n\n" in llmspell("tools", "--tools", "archive.py", name).out


def test_types_and_defaults_are_those_of_lua(llmspell):
    lines = llmspell("tools", "hmac").out.splitlines()
    assert "  key  string, required" in lines
    (algorithm,) = [line for line in lines if line.startswith("  algorithm")]
    assert algorithm.startswith("  algorithm  'md5' or 'sha1' or ")
    assert algorithm.endswith(', default: "sha256"')
    lines = llmspell("tools", "http_request").out.splitlines()
    assert "  headers  table, default: nil" in lines
    assert "  json  any value, default: nil" in lines
    assert "  follow_redirects  boolean, default: true" in lines


def test_as_json(llmspell, archive):
    done = llmspell("tools", "--tools", "archive.py", "--category", "archive", "--json")
    touches = {tool["name"]: tool["touches"] for tool in json.loads(done.out)}
    assert touches == {
        "bundle": {"read": ["source", "other"], "write": ["target"], "env": ["variable"]},
        "anything": None,
        "nothing": {},
    }


PRICES = """
from llmspell import tool


@tool(name="price", tags=["shop", "money"], version="1.9")
def old_price(item: str) -> int:
    \"\"\"What an item costs.\"\"\"


@tool(tags=["shop"], version="1.10")
def price(item: str) -> float:
    \"\"\"What an item costs, to the penny.\"\"\"


@tool(tags=["shop"], category="archive", pure=True)
def receipt() -> str:
    \"\"\"Says the price again.\"\"\"
"""


@pytest.fixture
def prices(write):
    return write("prices.py", PRICES)


def test_those_with_a_tag(llmspell, prices):
    assert llmspell("tools", "--tools", "prices.py", "--tag", "shop").out.splitlines() == [
        "archive",
        "  receipt  touches nothing  Says the price again.",
        "user",
        "  price    trusted code     What an item costs, to the penny.",
    ]


def test_those_a_text_fits_the_best_first(llmspell, prices):
    found = llmspell("tools", "--tools", "prices.py", "--search", "price")
    assert [line.split()[0] for line in found.out.splitlines()] == [
        "user",
        "price",
        "archive",
        "receipt",
    ]


def test_versions(llmspell, prices):
    newest = llmspell("tools", "--tools", "prices.py", "price").out
    assert "to the penny.\n\nversion 1.10 of 1.10, 1.9\n\ntags: shop\n\ntrusted" in newest
    older = llmspell("tools", "--tools", "prices.py", "price@1.9")
    assert "version 1.9 of 1.10, 1.9\n\ntags: shop, money\n" in older.out
    assert "version" not in llmspell("tools", "now").out
