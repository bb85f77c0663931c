"""Chunks that match a template have the text that parsing them gives."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmspell.providers.anthropic_stream import MessageAssembly
from llmspell.providers.chunk_template import ChunkTemplate
from llmspell.providers.endpoints import Endpoint
from llmspell.providers.http_provider import Assembly
from llmspell.providers.openai_stream import ChatAssembly
from llmspell.providers.server_events import ServerEvent
from llmspell.providers.strict_json import read_json


def text_in(chunk: Any) -> str | None:
    match chunk:
        case {"a": {"text": str(text), **more}} if not more:
            return text
    return None


def learned(chunk: str) -> ChunkTemplate:
    template = ChunkTemplate("text", text_in)
    template.learn(chunk, text_in(read_json(chunk)) or "")
    return template


def test_only_the_text_may_differ() -> None:
    template = learned('{"id": 7, "a": {"text": "one"}, "b": null}')
    assert template.text('{"id": 7, "a": {"text": "two \\"\\u00fc\\n"}, "b": null}') == 'two "ü\n'
    assert template.text('{"id": 7, "a": {"text": ""}, "b": null}') == ""
    for other in (
        '{"id": 8, "a": {"text": "two"}, "b": null}',
        '{"id": 7, "a": {"text": "two"}, "b": true}',
        '{"id": 7, "a": {"text": "two", "more": 1}, "b": null}',
        '{"id": 7, "a": {"text": "two"}, "b": null} ',
        '{"id": 7, "a": {"text": null}, "b": null}',
        '{"id": 7, "a": {"text": "cut o',
        '{"id": 7, "a": {"text": "no escape: \\x"}, "b": null}',
        '{"id": 7, "a": {"text": "a\nline"}, "b": null}',
    ):
        assert template.text(other) is None, other


@pytest.mark.parametrize(
    "chunk",
    [
        '{"text": "decoy", "a": {"text": "one"}}',
        '{"text": "decoy", "a": {"text": "probe"}}',
        '{"text": "decoy", "a": {"text": "decoy."}}',
        '{"b": ["\\"text\\": ", "\\"text\\":"], "a": {"text": "one"}}',
        '{"a": {"te\\u0078t": "one"}}',
        '{"b": {"text": null}, "a": {"te\\u0078t": "one"}}',
        '{"a": {"text": "one", "text": "two"}}',
    ],
)
def test_a_text_in_another_place_is_not_mistaken_for_it(chunk: str) -> None:
    assert text_in(read_json(chunk)) is not None
    template = learned(chunk)
    for similar in (chunk, chunk.replace("decoy", "another"), chunk.replace("one", "two")):
        assert template.text(similar) in (None, text_in(read_json(similar)))


def test_chunks_that_never_repeat_are_not_learned_for_ever() -> None:
    template = ChunkTemplate("text", text_in)
    for n in range(4):
        chunk = f'{{"id": {n}, "a": {{"text": "one"}}}}'
        assert template.text(chunk) is None
        template.learn(chunk, "one")
    assert template.text(chunk) is None


def test_a_template_that_matched_is_learned_anew_when_the_chunks_change() -> None:
    template = ChunkTemplate("text", text_in)
    for second in range(10):  # such as the time in the chunks of llama.cpp
        chunk = f'{{"created": {second}, "a": {{"text": "one"}}}}'
        assert template.text(chunk) is None
        template.learn(chunk, "one")
        assert template.text(chunk) == "one"


names = st.sampled_from(["text", "a", "content", '"', "id"])
atoms = st.none() | st.booleans() | st.integers(0, 3) | st.text(max_size=6) | st.just('"text":"')
lists = st.lists(atoms, max_size=3) | st.dictionaries(names, atoms, max_size=3)
values = atoms | lists | st.lists(lists, max_size=2) | st.dictionaries(names, lists, max_size=2)


@given(
    before=st.dictionaries(names, values, max_size=3),
    after=st.dictionaries(names, values, max_size=3),
    texts=st.lists(st.text(max_size=12), min_size=2, max_size=4),
    ascii_only=st.booleans(),
)
def test_a_match_is_what_parsing_gives(
    before: dict[str, Any], after: dict[str, Any], texts: list[str], ascii_only: bool
) -> None:
    after.pop("a", None)
    before.pop("a", None)
    chunks = [
        json.dumps({**before, "a": {"text": text}, **after}, ensure_ascii=ascii_only)
        for text in texts
    ]
    template = learned(chunks[0])
    for chunk in chunks:
        assert template.text(chunk) in (None, text_in(read_json(chunk)))


deltas = st.sampled_from(
    [
        {"content": "word "},
        {"content": "secret"},
        {"content": ""},
        {"content": None},
        {"content": "x", "reasoning_content": "why"},
        {"role": "assistant", "content": "x"},
        {"tool_calls": [{"index": 0, "id": "1", "function": {"name": "f", "arguments": "{}"}}]},
    ]
)
extras = st.sampled_from(
    [{}, {}, {}, {"usage": None}, {"usage": {"prompt_tokens": 1}}, {"created": 2}, {"choices": []}]
)


@given(
    st.lists(st.tuples(deltas, extras, st.sampled_from([None, None, None, "stop"])), max_size=12)
)
def test_an_answer_is_the_same_without_templates(pieces: list[tuple[Any, Any, Any]]) -> None:
    chunks = [
        json.dumps(
            {"id": "1", "created": 1}
            | {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
            | extra
        )
        for delta, extra, reason in [*pieces, ({"content": "end"}, {}, "stop")]
    ]
    all_different = [chunk + " " * n for n, chunk in enumerate(chunks)]
    assert assembled(chunks) == assembled(all_different)


def assembled(chunks: list[str], kind: type[Assembly] = ChatAssembly) -> object:
    assembly = kind(Endpoint("mock", "http://127.0.0.1:1/v1"))
    return [list(assembly.feed(ServerEvent(chunk))) for chunk in chunks], assembly.answer()


def of_anthropic(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, **fields}


def block_delta(index: int, **delta: Any) -> dict[str, Any]:
    return of_anthropic("content_block_delta", index=index, delta=delta)


blocks_events = st.sampled_from(
    [
        *(block_delta(index, type="text_delta", text="word ") for index in (0, 0, 1)),
        block_delta(0, type="text_delta", text=""),
        block_delta(1, type="text_delta", text="x", more=1),
        block_delta(1, type="thinking_delta", thinking="why"),
        block_delta(0, type="text_delta", text="x") | {"usage": {}},
        *(
            of_anthropic("content_block_start", index=index, content_block=block)
            for index in (0, 1)
            for block in ({"type": "text", "text": ""}, {"type": "thinking", "thinking": ""})
        ),
    ]
)


@given(st.lists(blocks_events, max_size=12))
def test_so_is_one_of_several_blocks(events: list[dict[str, Any]]) -> None:
    begins = [
        of_anthropic("content_block_start", index=index, content_block={"type": "text", "text": ""})
        for index in (0, 1)
    ]
    end = {"stop_reason": "end_turn"}
    message = of_anthropic("message_start", message={"id": "1", "role": "assistant"})
    whole = [message, *begins, *events, of_anthropic("message_delta", delta=end)]
    chunks = list(map(json.dumps, whole))
    all_different = [chunk + " " * n for n, chunk in enumerate(chunks)]
    assert assembled(chunks, MessageAssembly) == assembled(all_different, MessageAssembly)
