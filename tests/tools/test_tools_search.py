import os

import pytest

from llmspell.errors import PermissionDenied, ToolError
from llmspell.permissions import Grants
from llmspell.tools import search
from llmspell.tools.search import search_files

pytestmark = pytest.mark.anyio


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.txt").write_text("one\r\nTwo (2)\nthree\n")
    (tmp_path / "sub" / "b.md").write_text("two\ntwo too\n")
    (tmp_path / ".hidden").write_text("two")
    return tmp_path


async def test_a_text(call, here):
    assert await call(search_files, path=".", query="two") == [
        {"path": "sub/b.md", "line": 1, "text": "two"},
        {"path": "sub/b.md", "line": 2, "text": "two too"},
    ]
    found = await call(search_files, path=".", query="two (", ignore_case=True)
    assert found == [{"path": "a.txt", "line": 2, "text": "Two (2)"}]
    assert await call(search_files, path=".", query="four") == []


async def test_an_expression(call, here):
    found = await call(search_files, path=".", query=r"^t\w+$", regex=True)
    assert [(f["path"], f["line"]) for f in found] == [("a.txt", 3), ("sub/b.md", 1)]
    found = await call(search_files, path=".", query="TWO", regex=True, ignore_case=True)
    assert len(found) == 3


@pytest.mark.parametrize("regex", [False, True])
async def test_where_to_look(call, here, regex):
    async def paths(**options):
        found = await call(search_files, query="two", regex=regex, **options)
        return [f["path"] for f in found]

    assert await paths(path="sub") == ["sub/b.md", "sub/b.md"]
    assert await paths(path="sub/b.md") == ["sub/b.md", "sub/b.md"]
    assert await paths(path=".", pattern="*.txt", ignore_case=True) == ["a.txt"]
    assert await paths(path=".", hidden=True) == [".hidden", "sub/b.md", "sub/b.md"]
    assert await paths(path=".", hidden=True, max_results=2) == [".hidden", "sub/b.md"]


async def test_a_search_does_not_leave_through_links(call, here):
    (here / "sub" / "up").symlink_to("..")
    (here / "sub" / "file").symlink_to("../a.txt")
    grants = Grants(read=(str(here / "sub"),))
    assert await call(search_files, grants, path="sub", query="one") == []
    with pytest.raises(PermissionDenied):
        await call(search_files, grants, path="sub/up", query="one")


async def test_what_is_no_text_is_passed_over(call, here, monkeypatch):
    (here / "nul").write_bytes(b"two\0")
    (here / "latin").write_bytes(b"two \xff")
    os.mkfifo(here / "pipe")
    assert len(await call(search_files, path=".", query="two")) == 2
    monkeypatch.setattr(search, "MAX_FILE", 15)
    found = await call(search_files, path=".", query="o")
    assert {f["path"] for f in found} == {"sub/b.md"}
    with pytest.raises(ToolError, match="over 15 bytes"):
        await call(search_files, path="a.txt", query="o")


async def test_long_lines_are_cut(call, here):
    (here / "long").write_text("x" * 1000)
    (found,) = await call(search_files, path="long", query="x")
    assert len(found["text"]) == search.MAX_LINE


async def test_the_total_is_bounded(call, here, monkeypatch):
    monkeypatch.setattr(search, "MAX_TOTAL", 20)
    with pytest.raises(ToolError, match="more than 20 bytes to search"):
        await call(search_files, path=".", query="none")


async def test_mistakes(call, here):
    with pytest.raises(ToolError, match="does not exist"):
        await call(search_files, path="none", query="x")
    with pytest.raises(ToolError, match=r"cannot be used: .*unterminated"):
        await call(search_files, path=".", query="(", regex=True)
    with pytest.raises(ToolError, match="contains a slash"):
        await call(search_files, path=".", query="x", pattern="sub/*")
