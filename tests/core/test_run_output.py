"""What a run writes arrives as lines, or as it is."""

import asyncio
import io

import pytest

from llmspell.errors import LimitExceeded
from llmspell.run_output import RunOutput, StandardOutput


class Pieces(list):
    write = list.append


@pytest.mark.parametrize(
    ("pieces", "lines"),
    [
        ([], []),
        (["one\n", "two\n"], ["one", "two"]),
        (["o", "", "n", "e\n"], ["one"]),
        (["one\ntwo\n"], ["one\ntwo"]),
        (["one\ntw", "o"], ["one", "two"]),
        (["\n", "\n"], ["", ""]),
        ([b"\xc3", b"\xa9", "\n"], ["é"]),
        (["a", b"\xff", "b\n", "c\n"], [b"a\xffb", "c"]),
        ([b"\xff\nrest"], [b"\xff", "rest"]),
    ],
)
def test_pieces_become_lines(pieces, lines):
    got, raw = [], Pieces()
    for output in (got.append, raw):
        written = RunOutput(output, 1000)
        for piece in pieces:
            written.print(piece)
        asyncio.run(written.end_run(None))
    assert got == lines
    assert raw == pieces


def test_a_line_that_a_child_begins_is_not_ended_by_it():
    got = []
    written = RunOutput(got.append, 1000)
    child = written.within(1000)
    written.print("from ")
    child.print("both")
    asyncio.run(child.end_run(None))
    assert got == []
    asyncio.run(written.end_run(None))
    assert got == ["from both"]


def test_each_run_has_its_most_and_counts_what_its_children_write():
    got = []
    written = RunOutput(got.append, 10)
    child = written.within(6)
    child.print("12345\n")
    with pytest.raises(LimitExceeded, match="output limit exceeded") as caught:
        child.print("6")
    assert caught.value.value == 6
    with pytest.raises(LimitExceeded) as caught:
        written.print("8901\n")
    assert caught.value.value == 10
    assert got == ["12345"]


@pytest.mark.parametrize(
    ("stream", "written"), [(None, None), (io.StringIO(), "tea\ufffd"), ("bytes", b"tea\xff")]
)
def test_the_standard_output_may_be_any_that_python_prints_to(monkeypatch, stream, written):
    if stream == "bytes":
        stream = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr("sys.stdout", stream)
    output = StandardOutput()
    output.write("tea")
    output.write(b"\xff")
    of = getattr(stream, "buffer", stream)
    assert (of and of.getvalue()) == written
