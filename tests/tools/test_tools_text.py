import os
import subprocess
import sys
import time
from itertools import pairwise
from shutil import which

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmspell.errors import ToolError
from llmspell.tools.regex import Matcher
from llmspell.tools.text import (
    count_text,
    diff_text,
    regex_find,
    split_text,
    template,
)
from llmspell.values import LuaFunction

pytestmark = pytest.mark.anyio


async def test_chunks_end_at_paragraphs_then_sentences_then_words(call):
    text = "First paragraph.\n\nSecond one. It is longer, yes.\n\nThird."
    assert await call(split_text, text=text, max_chars=34) == [
        "First paragraph.",
        "Second one. It is longer, yes.",
        "Third.",
    ]
    assert await call(split_text, text=text, max_chars=20) == [
        "First paragraph.",
        "Second one.",
        "It is longer, yes.",
        "Third.",
    ]
    assert await call(split_text, text="one two three four", max_chars=10) == [
        "one two",
        "three four",
    ]
    assert await call(split_text, text="", max_chars=10) == []


async def test_chunks_overlap(call):
    words = [f"word{n:02}" for n in range(20)]
    chunks = await call(split_text, text=" ".join(words), max_chars=30, overlap=10)
    for before, after in pairwise(chunks):
        assert after.split()[0] == before.split()[-1]
    assert list(dict.fromkeys(" ".join(chunks).split())) == words
    with pytest.raises(ToolError, match="less than half"):
        await call(split_text, text="x", max_chars=10, overlap=5)


@given(
    st.text(st.sampled_from("ab .\n!,。"), max_size=200),
    st.integers(1, 40),
    st.integers(0, 19),
)
def test_chunks_are_short_and_lose_nothing(text, max_chars, overlap):
    overlap = min(overlap, (max_chars - 1) // 2)
    # Every letter is another one, so that it shows which of them a chunk has.
    text = "".join(chr(0x4E00 + i) if c in "ab" else c for i, c in enumerate(text))
    chunks = split_text(text, max_chars, overlap)
    assert all(0 < len(chunk) <= max_chars and chunk in text for chunk in chunks)
    joined = "".join("".join(chunks).split())
    if overlap:
        assert letters("".join(sorted(joined))) == letters(text)
        shared = [len(set(letters(a)) & set(letters(b))) for a, b in pairwise(chunks)]
        assert max(shared, default=0) <= overlap
    else:
        assert joined == "".join(text.split())


def letters(text):
    return list(dict.fromkeys(c for c in text if c >= chr(0x4E00) and c < chr(0x5000)))


async def test_diff(call):
    assert await call(diff_text, a="a\nb\nc\n", b="a\nB\nc\n", context=0) == (
        "--- a\n+++ b\n@@ -2 +2 @@\n-b\n+B\n"
    )
    assert await call(diff_text, a="same", b="same") == ""
    assert await call(diff_text, a="a\n", b="a") == (
        "--- a\n+++ b\n@@ -1 +1 @@\n-a\n+a\n\\ No newline at end of file\n"
    )
    assert await call(diff_text, a="", b="x\n") == "--- a\n+++ b\n@@ -0,0 +1 @@\n+x\n"
    with pytest.raises(ToolError, match="over 20,000 lines"):
        await call(diff_text, a="\n" * 10_001, b="\n" * 10_000)


@pytest.mark.skipif(which("patch") is None, reason="there is no patch to apply it with")
def test_a_patch_made_of_a_diff_applies(tmp_path):
    before, after = "one\ntwo\nthree\nfour", "one\n2\nthree\nfour\nfive\n"
    (tmp_path / "f").write_text(before)
    patch = diff_text(before, after)
    subprocess.run(["patch", "-s", "f"], cwd=tmp_path, input=patch, text=True, check=True)
    assert (tmp_path / "f").read_text() == after


async def test_what_is_filled_in_or_cut_up_stays_small(call):
    with pytest.raises(ToolError, match="10,000,000"):
        await call(template, text="{{a}}" * 100_000, values={"a": "x" * 100_000})
    with pytest.raises(ToolError, match="10,000,000"):
        await call(template, text="{{a}}" * 100_000, values={"a": ["x" * 100_000]})
    with pytest.raises(ToolError, match="100,000 chunks"):
        await call(split_text, text=" " * 1_000_000, max_chars=5)
    assert len(await call(split_text, text="x" * 100_000, max_chars=1)) == 100_000


async def test_template(call):
    values = {"name": "Ada", "user": {"age": 36}, "list": [1, "é"], "yes": True, "x": "{{name}}"}
    text = "{{name}} {{ user.age }} {{list}} {{yes}} {{x}} {{}} {{not a name}} {one}"
    assert await call(template, text=text, values=values) == (
        'Ada 36 [1, "é"] true {{name}} {{}} {{not a name}} {one}'
    )
    with pytest.raises(ToolError, match=r"no value for nam, user\.name") as caught:
        await call(template, text="{{nam}} {{user.name}} {{nam}}", values=values)
    assert "name, user" in caught.value.hint
    assert caught.value.details["missing"] == ["nam", "user.name"]
    assert await call(template, text="plain", values=[]) == "plain"


async def test_regex_find(call):
    text = "é: Ann=1\nBob=22\n"
    found = await call(regex_find, pattern=r"^(é: )?(?P<who>\w+)=(\d+)", text=text)
    assert found == [
        {
            "text": "é: Ann=1",
            "first": 1,
            "last": 9,
            "groups": ["é: ", "Ann", "1"],
            "named": {"who": "Ann"},
        },
        {
            "text": "Bob=22",
            "first": 11,
            "last": 16,
            "groups": [None, "Bob", "22"],
            "named": {"who": "Bob"},
        },
    ]
    for match in found:
        assert text.encode()[match["first"] - 1 : match["last"]].decode() == match["text"]


async def test_regex_find_options(call):
    async def texts(**options):
        return [m["text"] for m in await call(regex_find, **options)]

    assert await texts(pattern="a", text="aAa") == ["a", "a"]
    assert await texts(pattern="a", text="aAa", ignore_case=True) == ["a", "A", "a"]
    assert await texts(pattern="a", text="aAa", max_results=1) == ["a"]
    assert await texts(pattern="", text="ab") == ["", "", ""]
    assert await texts(pattern="x", text="") == []


@pytest.mark.parametrize("pattern", ["(", "(?P<a>x)(?P<a>y)", "a{99999999999}", "(?<=a+)b"])
async def test_wrong_patterns(call, pattern):
    with pytest.raises(ToolError, match="cannot be used"):
        await call(regex_find, pattern=pattern, text="x")


async def test_a_pattern_that_would_run_for_hours_is_stopped_and_the_host_goes_on():
    beats = 0

    async def beat():
        nonlocal beats
        while True:
            await anyio.sleep(0.01)
            beats += 1

    def match():
        with Matcher("(a+)+$", seconds=0.5) as matcher:
            matcher.find(["a" * 60 + "b"])

    async with anyio.create_task_group() as group:
        group.start_soon(beat)
        started = time.perf_counter()
        with pytest.raises(ToolError, match=r"took longer than 0\.5 s") as caught:
            await anyio.to_thread.run_sync(match)
        group.cancel_scope.cancel()
    assert time.perf_counter() - started < 3
    assert beats > 10
    assert caught.value.details["seconds"] == 0.5


async def test_a_pattern_that_needs_too_much_memory_is_stopped(call):
    with pytest.raises(ToolError, match="needs too much memory"):
        await call(regex_find, pattern="(?:(x))*y", text="x" * 9_000_000)


async def test_matches_cannot_fill_the_memory(call):
    with pytest.raises(ToolError, match="exceed 10,000,000 characters"):
        await call(regex_find, pattern="(?=(.*))", text="x" * 100_000, max_results=10_000)


def test_the_worker_ends_with_the_block():
    with Matcher("a") as matcher:
        process = matcher._process.pid
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    with pytest.raises(ToolError), Matcher("(") as matcher:
        pass


def test_the_worker_ignores_the_environment(monkeypatch, tmp_path):
    (tmp_path / "re.py").write_text("raise SystemExit(1)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with Matcher("b") as matcher:
        assert [match.spans for match in matcher.find(["abc"])] == [[[1, 2]]]


def test_python_would_hang_on_the_hostile_pattern():
    """Shows that the process is needed: the same match in this interpreter does not end."""
    code = "import re; re.search('(a+)+$', 'a' * 60 + 'b')"
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run([sys.executable, "-c", code], timeout=1, check=True)


async def test_count_text(call):
    counted = await call(count_text, text="two wörds\nmore")
    assert counted == {"characters": 14, "words": 3, "lines": 2, "bytes": 15}
    assert (await call(count_text, text="a\n"))["lines"] == 1
    assert (await call(count_text, text=""))["lines"] == 0


async def test_what_a_template_cannot_fill_in_is_named(call):
    with pytest.raises(ToolError, match=r"cannot fill in user\.name: a string that is not UTF-8"):
        await call(template, text="{{user.name}}", values={"user": {"name": b"\xff"}})
    with pytest.raises(ToolError, match="cannot fill in f: a function has no JSON form"):
        await call(template, text="{{f}}", values={"f": [LuaFunction(1)]})
