import contextlib
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from plain_values import text, values

from llmspell.lua import messages
from llmspell.lua.codec import MAX_NUMBER_KEYS, Found, MalformedMessage, decode, encode
from llmspell.lua.messages import Failure, Reader
from llmspell.values import LuaFunction, NotPlain, as_text

STANDING = b"w"


class Heard:
    """Keeps what a Lua state said."""

    def __init__(self):
        self.records = []

    def requested(self, task, path, name, args, functions, size):
        self.records.append(("requested", task, path, name, args, functions))

    def cancelled(self, task):
        self.records.append(("cancelled", task))

    def returned(self, call, value):
        self.records.append(("returned", call, value))

    def failed(self, call, failure):
        self.records.append(("failed", call, failure))

    def printed(self, text):
        self.records.append(("printed", text))


def heard(*records):
    receiver = Heard()
    Reader(receiver, memory=1 << 20).read(STANDING + b"".join(records))
    return receiver.records


def request(task, path, name, number, args):
    path, name = path.encode(), name.encode()
    head = struct.pack("<IH", task, len(path)) + path + name
    return struct.pack("<BH", 1, len(head)) + head + struct.pack("<I", number) + encode(args)


def numbered(kind, number, *parts):
    return struct.pack("<BI", kind, number) + b"".join(map(encode, parts))


def printed(line):
    return struct.pack("<BI", 5, len(line)) + line


numbers = st.integers(0, 2**32 - 1)


@given(numbers, text, text, numbers, values)
def test_a_request(task, path, name, number, args):
    path = path.encode("ascii", "ignore").decode()
    [record] = heard(request(task, path, name, number, args))
    assert record == ("requested", task, f"{path}/{number}", name, args, [])


def test_many_records_in_one_message_come_in_order():
    records = heard(
        printed(b"hello"),
        request(0, "0", "state.get", 4, {"key": "k"}),
        request(0, "0", "state.get", 5, {"key": "l"}),
        numbered(2, 7),
        numbered(3, 1, [1, None]),
        numbered(4, 2, {"code": "x"}, "text", b"trace\xff", "a.lua:3", None),
        printed(b"\xff"),
    )
    assert records == [
        ("printed", "hello"),
        ("requested", 0, "0/4", "state.get", {"key": "k"}, []),
        ("requested", 0, "0/5", "state.get", {"key": "l"}, []),
        ("cancelled", 7),
        ("returned", 1, [1, None]),
        ("failed", 2, Failure({"code": "x"}, "text", "trace\\xff", "a.lua:3", None)),
        ("printed", b"\xff"),
    ]


def test_functions_among_the_arguments_are_told():
    [(*_, args, functions)] = heard(request(0, "0", "f", 0, {"fn": LuaFunction(9)}))
    assert functions == [args["fn"]]
    assert args["fn"].id == 9


@pytest.mark.parametrize("memory", [1 << 20, 1 << 30], ids=["long", "short"])
def test_each_record_has_functions_and_numbers_as_keys_of_its_own(memory):
    args = {"fn": LuaFunction(9), "map": dict.fromkeys(range(1, 2 * MAX_NUMBER_KEYS, 3), 1)}
    receiver = Heard()
    several = [request(n, "0", "f", n, args) for n in range(2)] + [numbered(3, 1, args)] * 2
    reader = Reader(receiver, memory=memory)
    with contextlib.nullcontext() if memory > 1 << 20 else pytest.raises(MalformedMessage):
        reader.read(STANDING + b"".join(several))
    requests = [record for record in receiver.records if record[0] == "requested"]
    assert all(functions == [args["fn"]] for (*_, args, functions) in requests)
    assert len(receiver.records) == (4 if memory > 1 << 20 else 3)


def test_short_messages_share_no_count():
    receiver = Heard()
    reader = Reader(receiver, memory=1 << 20)
    args = dict.fromkeys(range(2, 60), None)
    assert not reader.read(STANDING + request(1, "0", "f", 0, args))
    for n in range(MAX_NUMBER_KEYS // 20):
        reader.read(STANDING + request(1, "0", "f", n, args))
    assert receiver.records[-1][-2] == args


def test_more_names_than_are_remembered():
    receiver = Heard()
    reader = Reader(receiver, memory=1 << 20)
    for n in range(5000):
        reader.read(STANDING + request(n, "0", f"effect.{n}", 0, None))
    long = "x" * 60_000
    reader.read(STANDING + request(1, "0", long, 0, None) * 2)
    assert [r[3] for r in receiver.records] == [*(f"effect.{n}" for n in range(5000)), long, long]


kinds = st.integers(0, 8).map(lambda kind: bytes([kind]))
counts = st.sampled_from([0, 1, 7, 8, 255, 2**16, 2**32 - 1]).map(lambda n: n.to_bytes(4, "little"))
noise = st.lists(kinds | counts | st.binary(max_size=12), max_size=30).map(b"".join)
whole = st.sampled_from(
    [request(1, "0.2", "tool.call", 3, {"a": [1]}), printed(b"x"), numbered(3, 0, {"r": 1.5})]
)


@given(st.lists(whole | noise, max_size=4).map(b"".join))
@example(b"\x01\x06\x00\x00\x00\x00\x00\xff\xff" + b"\x00" * 4 + b"n")  # a path longer than all
@example(b"\x05\xff\xff\xff\xff")
@example(numbered(4, 1, [1], [2], [3], [4], {"h": 5}))
def test_noise_is_understood_or_malformed(data):
    with contextlib.suppress(MalformedMessage):
        heard(data)


@pytest.mark.parametrize(
    "data",
    [
        b"\x09\x00\x00\x00\x00n",
        b"\x01",
        b"\x01\x02\x00ab" + b"\x00" * 4 + b"n",
        b"\x01\x07\x00" + struct.pack("<IH", 1, 9) + b"0" + b"\x00" * 4 + b"n",
        b"\x02\x00",
        b"\x03\x00\x00\x00\x00",
        b"\x05\x09\x00\x00\x00short",
    ],
)
def test_broken_records(data):
    with pytest.raises(MalformedMessage):
        heard(data)


@given(values)
def test_anything_is_shown_as_text(value):
    assert isinstance(as_text(value), str)


@given(values)
def test_replies_and_calls_hold_their_values(value):
    kind, task = struct.unpack_from("<BI", messages.reply(7, value))
    assert (kind, task) == (1, 7)
    assert decode(messages.reply(7, value), 5, Found())[0] == value
    called = messages.call(8, "0/1.0", LuaFunction(3), [value])
    kind, number, length = struct.unpack_from("<BIH", called)
    assert (kind, number, called[7 : 7 + length]) == (3, 8, b"0/1.0")
    assert struct.unpack_from("<q", called, 7 + length) == (3,)
    assert decode(called, 15 + length, Found())[0] == [value]


def test_what_is_not_plain_is_no_reply():
    with pytest.raises(NotPlain):
        messages.reply(1, object())
    with pytest.raises(NotPlain):
        messages.call(1, "0", LuaFunction(1), [object()])


def test_the_rest_of_what_is_said_to_lua():
    assert messages.refusal(2, {"code": "x"}) == b"\x02\x02\0\0\0" + encode({"code": "x"})
    assert messages.release(LuaFunction(2**32 - 1)) == b"\x04\xff\xff\xff\xff"
    assert messages.abort(3) == b"\x05\x03\0\0\0"
    assert messages.kill(5, "time", "too long") == b"\x06\x05\0\0\0\x04\0\0\0time\x08\0\0\0too long"
    main = messages.main("@a.lua", b"\xff", {"n": 1}, ["x"])
    assert main == b"\x07\0\0\0\0\x06\0\0\0@a.lua\x01\0\0\0\xff" + encode({"n": 1}) + encode(["x"])
