"""`text/event-stream` as the HTML standard says it is to be read, however it is cut."""

import time

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmspell.providers.server_events import EventReader, ServerEvent


def read(*pieces):
    reader = EventReader()
    return [event for piece in pieces for event in reader.feed(piece)] + reader.feed(
        b"", final=True
    )


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        ("data: a\n\n", [("a", "message")]),
        ("data: a\n\ndata: b\n\n", [("a", "message"), ("b", "message")]),
        (
            "data:a\r\n\r\ndata:  b\r\rdata: c\n\r\n",
            [("a", "message"), (" b", "message"), ("c", "message")],
        ),
        ("event: ping\ndata: {}\n\n", [("{}", "ping")]),
        ("data: {}\nevent: ping\n\ndata: x\n\n", [("{}", "ping"), ("x", "message")]),
        ("data: a\ndata: b\n\n", [("a\nb", "message")]),
        ("data\n\n", [("", "message")]),
        ("\ufeffdata: a\n\n", [("a", "message")]),
        ("\n\n\n\ndata: a\n\n\n\n", [("a", "message")]),
        (": keep-alive\n\ndata: a\n: more\nid: 1\nretry: 5\nother: x\n\n", [("a", "message")]),
        # What holds no data is no event.
        ("retry: 3000\n\nid: 7\n\nevent: ping\n\ndata: a\n\n", [("a", "message")]),
        # Nor is one that the stream breaks off in.
        ("data: a\n\ndata: b", [("a", "message")]),
        ("data: a\n\ndata: b\n", [("a", "message")]),
        ("data: a\r\n\r", [("a", "message")]),
        ("data: ü€😀\n\n", [("ü€😀", "message")]),
        ("data: a\u2028b\x0bc\x85\n\n", [("a\u2028b\x0bc\x85", "message")]),
    ],
)
def test_events_however_they_are_cut(stream, events):
    events = [ServerEvent(*event) for event in events]
    data = stream.encode()
    assert read(data) == events
    assert read(*[data[n : n + 1] for n in range(len(data))]) == events
    for n in range(len(data)):
        assert read(data[:n], data[n:]) == events


def test_what_is_no_utf_8():
    assert read(b"data: \xff\xc3", b"\n\n") == [ServerEvent("\ufffd\ufffd")]


def test_those_that_came_at_once_are_given_at_once():
    reader = EventReader()
    assert reader.feed(b"data: a\n\ndata: b\n\nda") == [ServerEvent("a"), ServerEvent("b")]
    assert reader.feed(b"ta: c\n") == []
    assert reader.feed(b"\n") == [ServerEvent("c")]


LINES = st.sampled_from(
    ["data: a", "data:b", "data", "event: e", "event", ": note", "id: 1", "", "x"]
)
ENDS = st.sampled_from(["\n", "\r", "\r\n"])


@given(st.lists(st.tuples(LINES, ENDS)), st.lists(st.integers(min_value=1, max_value=9)))
def test_we_read_what_httpx2_reads(lines, sizes):
    # The end is no line end: it takes a last \r for two of them.
    data = "".join([*(line + end for line, end in lines), "end"]).encode()
    pieces = []
    for size in sizes:
        pieces, data = [*pieces, data[:size]], data[size:]
    pieces.append(data)
    response = httpx2.Response(
        200, headers={"content-type": "text/event-stream"}, content=b"".join(pieces)
    )
    response.request = httpx2.Request("GET", "http://localhost/")
    # It also tells of events without any data, which the standard says not to do.
    theirs = [(event.data, event.event) for event in httpx2.EventSource(response)]
    assert [(e.data, e.name) for e in read(*pieces) if e.data] == [e for e in theirs if e[0]]


def test_an_event_in_a_million_pieces_takes_no_longer_than_it_is():
    reader = EventReader()
    begin = time.process_time()
    reader.feed(b"data: ")
    for _ in range(100_000):
        reader.feed(b"x" * 50)
    assert reader.pending == 5_000_006
    assert reader.feed(b"\n\n") == [ServerEvent("x" * 5_000_000)]
    assert reader.pending == 0
    assert time.process_time() - begin < 5
