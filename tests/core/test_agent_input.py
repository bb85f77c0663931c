import pytest
from hypothesis import given
from plain_values import values

from llmspell.agents.input import message_from
from llmspell.effects import Effect
from llmspell.errors import InvalidArguments, PermissionDenied, ToolError
from llmspell.permissions import Grants
from llmspell.providers.messages import File, Image, Message, Text
from llmspell.tools.files import read_file
from llmspell.tools.registry import Tools

pytestmark = pytest.mark.anyio

URL = "https://example.com/cat.png"
PNG = b"\x89PNG\r\n\x1a\n and so on"
QUIET = b"RIFF\x2c\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00data" + bytes(8)
PDF = b"%PDF-1.7 \xff"


@pytest.fixture
def read(new_run, tmp_path):
    """The message of an input; files may be read below the test's folder."""
    run = new_run(grants=Grants(read=(str(tmp_path),)))
    run[Tools].register("read_file", read_file)

    async def read(value):
        return await message_from(Effect("agent.run", {}, "0/1", run), value)

    read.run = run
    return read


@pytest.mark.parametrize(
    ("value", "content"),
    [
        ("hello", [Text("hello")]),
        (5, [Text("5")]),
        (False, [Text("false")]),
        ({"text": "hello"}, [Text("hello")]),
        ({"text": "look", "attachments": [URL]}, [Text("look"), Image(url=URL)]),
        ({"text": "", "attachments": [URL]}, [Text(""), Image(url=URL)]),
        ({"text": "hello", "attachments": []}, [Text("hello")]),
        ({"text": b"\xff"}, [Text("\ufffd")]),
        ({"text": {"a": 1}}, [Text('{"a": 1}')]),
        (["a", "b"], [Text('["a", "b"]')]),
        ({"text": "a", "score": 1}, [Text('{"score": 1, "text": "a"}')]),
        ({"attachments": [URL]}, [Text(f'{{"attachments": ["{URL}"]}}')]),
    ],
    ids=repr,
)
async def test_an_input_is_a_users_message(read, value, content):
    assert await read(value) == Message("user", tuple(content))


@pytest.mark.parametrize(
    "value",
    [None, "", [], {}, {"text": ""}, {"text": None}, {"text": [], "attachments": []}],
    ids=repr,
)
async def test_nothing_to_say_is_an_error(read, value):
    with pytest.raises(InvalidArguments, match="empty"):
        await read(value)


@pytest.mark.parametrize(
    "attachments",
    [
        URL,
        [5],
        {"url": URL},
        [[URL]],
        [None],
        None,
        [""],
        [{"data": 5}],
        [{"url": URL}],
        ["ftp://x/y"],
    ],
)
async def test_attachments_are_a_list_of_paths_and_urls(read, attachments):
    with pytest.raises(InvalidArguments, match="attachments"):
        await read({"text": "look", "attachments": attachments})


@given(value=values)
async def test_any_value_is_a_message_or_refused(value):
    try:
        message = await message_from(Effect("agent.run", {}, "0/1", None), value)
    except InvalidArguments:
        return
    assert message.role == "user"
    assert isinstance(message.text, str)


@pytest.mark.parametrize(
    ("name", "data", "block"),
    [
        ("a.png", PNG, Image(PNG, "image/png")),
        ("misnamed.txt", PNG, Image(PNG, "image/png")),
        ("a.jpg", b"\xff\xd8\xff\xe0", Image(b"\xff\xd8\xff\xe0", "image/jpeg")),
        ("a.webp", b"RIFF\x01\x02\x03\x04WEBP", Image(b"RIFF\x01\x02\x03\x04WEBP", "image/webp")),
        ("a.pdf", PDF, File(PDF, "application/pdf", "a.pdf")),
        ("plain.pdf", b"%PDF-1.7", File(b"%PDF-1.7", "application/pdf", "plain.pdf")),
        ("a.mp3", b"ID3\xff", File(b"ID3\xff", "audio/mpeg", "a.mp3")),
        ("quiet.wav", QUIET, File(QUIET, "audio/wav", "quiet.wav")),
        ("a.md", b"ID3 is a kind of tag", Text("a.md:\nID3 is a kind of tag\n")),
        ("a.lua", b"print(1)", Text("a.lua:\nprint(1)\n")),
        ("Makefile", "é".encode(), Text("Makefile:\né\n")),
        ("a.svg", b"<svg/>", Text("a.svg:\n<svg/>\n")),
    ],
    ids=repr,
)
async def test_a_file_is_shown_as_what_it_is(read, tmp_path, name, data, block):
    path = tmp_path / name
    path.write_bytes(data)
    message = await read({"text": "look", "attachments": [str(path)]})
    assert message.content == (Text("look"), block)
    assert read.run.paths == [("0/1/0", "tool.call")]
    given_data = await read({"text": "look", "attachments": [{"data": data, "name": name}]})
    assert given_data == message


async def test_what_is_said_to_be_a_recording_is_one(read):
    entry = {"data": "RIFF, all of it below 128", "media_type": "audio/wav", "name": "a.wav"}
    (_, block) = (await read({"text": "listen", "attachments": [entry]})).content
    assert block == File(b"RIFF, all of it below 128", "audio/wav", "a.wav")


async def test_a_document_at_a_url_is_a_file(read):
    url = "https://example.com/a.pdf?x=1"
    (_, block) = (await read({"text": "look", "attachments": [url]})).content
    assert block == File(url=url, media_type="application/pdf", name="a.pdf")


async def test_files_that_cannot_be_shown(read, tmp_path):
    (tmp_path / "a.bin").write_bytes(b"\xff\xfe\xff")
    for path, error, said in [
        (tmp_path / "a.bin", InvalidArguments, "media_type"),
        (tmp_path / "none.png", ToolError, "does not exist"),
        ("/etc/passwd", PermissionDenied, "may not read"),
    ]:
        with pytest.raises(error, match=said):
            await read({"text": "look", "attachments": [str(path)]})
