import pytest
from hypothesis import given
from plain_values import values

from llmspell.agents.input import message_from
from llmspell.errors import InvalidArguments
from llmspell.providers.messages import Image, Message, Text

URL = "https://example.com/cat.png"


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
def test_an_input_is_a_users_message(value, content):
    assert message_from(value) == Message("user", tuple(content))


@pytest.mark.parametrize(
    "value",
    [None, "", [], {}, {"text": ""}, {"text": None}, {"text": [], "attachments": []}],
    ids=repr,
)
def test_nothing_to_say_is_an_error(value):
    with pytest.raises(InvalidArguments, match="empty"):
        message_from(value)


@pytest.mark.parametrize("attachments", [URL, [5], {"url": URL}, [[URL]], [None], None])
def test_attachments_are_a_list_of_urls(attachments):
    with pytest.raises(InvalidArguments, match="attachments"):
        message_from({"text": "look", "attachments": attachments})


@given(values)
def test_any_value_is_a_message_or_refused(value):
    try:
        message = message_from(value)
    except InvalidArguments:
        return
    assert message.role == "user"
    assert isinstance(message.text, str)
