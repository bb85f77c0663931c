"""Chat completions in pieces, as OpenAI's are and as those of others come."""

import json

import httpx2
import openai
import pytest

from llmspell.errors import ProviderError
from llmspell.providers.messages import (
    Message,
    ModelRequest,
    Reasoning,
    ReasoningDelta,
    Refusal,
    Text,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from llmspell.providers.openai_body import request_body

pytestmark = pytest.mark.anyio

REQUEST = ModelRequest("test/gpt", (Message.of("user", "hi"),))
USAGE = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}


def chunk(delta, finish_reason=None, **fields):
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1790000000,
        "model": "gpt-1",
        "choices": [choice],
    } | fields


def call(index=None, id_=None, name=None, arguments=None):
    """A part of a tool call; what is None is left out."""
    function = {n: v for n, v in (("name", name), ("arguments", arguments)) if v is not None}
    part = {"index": index, "id": id_, "function": function}
    return {n: v for n, v in part.items() if v is not None}


def calling(*parts):
    return chunk({"tool_calls": list(parts)})


def events(*chunks, end=b"data: [DONE]\n\n"):
    return b"".join([b"data: " + json.dumps(each).encode() + b"\n\n" for each in chunks]) + end


def transport(body):
    headers = {"content-type": "text/event-stream"}
    return httpx2.MockTransport(lambda _: httpx2.Response(200, content=body, headers=headers))


@pytest.fixture
def hear(provider_at):
    """The deltas and the response of a stream of these chunks."""

    async def hearing(*chunks, body=None, **fields):
        body = events(*chunks) if body is None else body
        async with provider_at("http://test/v1", transport=transport(body), **fields) as provider:
            *deltas, response = [part async for part in provider.stream(REQUEST)]
        return deltas, response

    return hearing


OPENAIS = {
    "text": [
        chunk({"role": "assistant", "content": "", "refusal": None}),
        chunk({"content": "Hel"}),
        chunk({"content": "lo."}),
        chunk({}, "stop"),
        chunk({}, choices=[], usage=USAGE),
    ],
    "two calls": [
        chunk({"role": "assistant", "content": None}),
        calling(call(0, "a", "weather", "") | {"type": "function"}),
        calling(call(0, arguments='{"city"')),
        calling(call(0, arguments=':"Oslo"}')),
        calling(call(1, "b", "now", "") | {"type": "function"}),
        calling(call(1, arguments="{}")),
        chunk({}, "tool_calls"),
        chunk({}, choices=[], usage=USAGE),
    ],
    "refusal": [
        chunk({"role": "assistant", "content": None, "refusal": ""}),
        chunk({"refusal": "I'm "}),
        chunk({"refusal": "sorry."}),
        chunk({}, "stop"),
    ],
    "too long": [chunk({"role": "assistant", "content": "Half an ans"}), chunk({}, "length")],
}


@pytest.mark.parametrize("name", OPENAIS)
async def test_we_hear_what_the_official_sdk_hears(name, hear):
    deltas, ours = await hear(*OPENAIS[name])
    body = events(*OPENAIS[name])
    async with (
        openai.AsyncOpenAI(
            api_key="sk-test",
            http_client=httpx2.AsyncClient(transport=transport(body)),
            _strict_response_validation=True,
        ) as sdk,
        sdk.chat.completions.stream(
            model="gpt", messages=[], stream_options={"include_usage": True}
        ) as stream,
    ):
        if name == "too long":
            with pytest.raises(openai.LengthFinishReasonError) as caught:
                await stream.get_final_completion()
            theirs = caught.value.completion
        else:
            theirs = await stream.get_final_completion()
    choice = theirs.choices[0]
    assert ours.message.text == (choice.message.content or "")
    assert ours.message.refusal == choice.message.refusal
    assert [(c.id, c.name, c.arguments) for c in ours.message.tool_calls] == [
        (c.id, c.function.name, json.loads(c.function.arguments))
        for c in choice.message.tool_calls or []
    ]
    assert ours.finish_reason == choice.finish_reason
    assert ours.usage == (Usage(9, 3) if theirs.usage else Usage())
    assert (ours.id, ours.model) == (theirs.id, f"test/{theirs.model}")
    assert "".join([d.text for d in deltas if isinstance(d, TextDelta)]) == ours.message.text


async def test_calls_are_shown_as_they_are_written(hear):
    deltas, _ = await hear(*OPENAIS["two calls"])
    assert deltas == [
        ToolCallDelta(0, "a", "weather"),
        ToolCallDelta(0, arguments='{"city"'),
        ToolCallDelta(0, arguments=':"Oslo"}'),
        ToolCallDelta(1, "b", "now"),
        ToolCallDelta(1, arguments="{}"),
    ]


OSLO, ROME = '{"city": "Oslo"}', '{"city": "Rome"}'


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param(
            [calling(call(0, "a", "w", OSLO), call(1, "b", "w", ROME))], id="whole, in one piece"
        ),
        pytest.param(
            [calling(call(0, "a", "w", OSLO)), calling(call(1, "b", "w", ROME))], id="whole"
        ),
        pytest.param(
            [calling(call(0, "a", "w", OSLO)), calling(call(0, "b", "w", ROME))],
            id="each counted as the first",
        ),
        pytest.param(
            [calling(call(None, "a", "w", OSLO)), calling(call(None, "b", "w", ROME))],
            id="not counted",
        ),
        pytest.param(
            [
                calling(call(None, "a", "w", '{"city": ')),
                calling(call(arguments='"Oslo"}')),
                calling(call(None, "b", "w")),
                calling(call(arguments=ROME)),
            ],
            id="not counted, in parts",
        ),
        pytest.param(
            [
                calling(call(0, "a", "w", '{"city": ')),
                calling(call(0, "a", "w", '"Oslo"}')),
                calling(call(1, "b", "w", '{"city": ')),
                calling(call(1, "b", "w", '"Rome"}')),
            ],
            id="named in each part",
        ),
        pytest.param(
            [
                calling(call(0, "a", "w", OSLO)),
                calling(call(0, "a", "w", "")),
                calling(call(1, "b", "w", ROME)),
                calling(call(0, "a", "w"), call(1, "b", "w", "")),
            ],
            id="named again at the end",
        ),
        pytest.param(
            [
                calling(call(1, "b", "w", '{"city"'), call(0, "a", "w", '{"city": ')),
                calling(call(0, arguments='"Oslo"}'), call(1, arguments=': "Rome"}')),
            ],
            id="in turns",
        ),
        pytest.param(
            [
                calling(
                    call(0, "a", "w") | {"function": {"name": "w", "arguments": {"city": "Oslo"}}}
                ),
                calling(call(1, "b", "w", ROME)),
            ],
            id="arguments that are a table",
        ),
        pytest.param(
            [
                calling(call(0, "a", "w", OSLO), "?", {"index": [], "function": "?"}),
                calling(call("1", "b", "w", ROME)),
            ],
            id="with oddities",
        ),
    ],
)
async def test_every_way_in_which_servers_send_calls(chunks, hear):
    deltas, response = await hear(*chunks, chunk({}, "tool_calls"))
    calls = response.message.tool_calls
    assert sorted((c.id, c.name, c.arguments["city"]) for c in calls) == [
        ("a", "w", "Oslo"),
        ("b", "w", "Rome"),
    ]
    written = {}
    for delta in deltas:
        written[delta.index] = written.get(delta.index, "") + delta.arguments
    assert [json.loads(written[n]) for n in sorted(written)] == [c.arguments for c in calls]


async def test_calls_without_ids_that_come_whole_are_told_apart(hear):
    """Neither a number nor an id: two calls all the same."""
    for index in (None, 0):
        _, response = await hear(
            calling(call(index, None, "w", OSLO)), calling(call(index, None, "w", ROME))
        )
        assert response.message.tool_calls == [
            ToolCall("call00001", "w", {"city": "Oslo"}),
            ToolCall("call00002", "w", {"city": "Rome"}),
        ]
        assert response.finish_reason == "tool_calls"


async def test_doubled_ids_are_replaced_as_in_whole_answers(hear):
    _, response = await hear(
        calling(call(0, "a", "w", OSLO)), calling(call(1, "a", "w", ROME)), chunk({}, "stop")
    )
    assert [c.id for c in response.message.tool_calls] == ["a", "call00002"]


async def test_arguments_that_are_cut_off_are_kept_for_the_model_to_mend(hear):
    _, response = await hear(calling(call(0, "a", "w", '{"city": "Os')), chunk({}, "length"))
    (cut,) = response.message.tool_calls
    assert (cut.arguments, cut.raw) == ({}, '{"city": "Os')
    assert cut.problem.startswith("the arguments are not valid JSON")
    assert response.finish_reason == "length"


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
async def test_reasoning_comes_first_and_goes_back(field, hear):
    deltas, response = await hear(
        chunk({"role": "assistant", "content": "", field: "H"}),
        chunk({field: "m."}),
        chunk({"content": "Yes.", field: None}),
        chunk({}, "stop"),
    )
    assert deltas == [ReasoningDelta("H"), ReasoningDelta("m."), TextDelta("Yes.")]
    assert response.message.content == (Reasoning("test", "Hm.", {"field": field}), Text("Yes."))


async def test_reasoning_that_is_said_by_both_names_is_shown_once(hear):
    deltas, response = await hear(
        chunk({"reasoning": "Hm.", "reasoning_content": "Hm."}), chunk({}, "stop")
    )
    assert deltas == [ReasoningDelta("Hm.")]
    assert response.message.reasoning == "Hm."


async def test_openrouters_details_are_put_together_by_their_index(hear):
    def detail(index, **fields):
        return {"index": index, "format": "f", **fields}

    text, secret = "reasoning.text", "reasoning.encrypted"
    _, response = await hear(
        chunk({"reasoning": "H", "reasoning_details": [detail(0, type=text, text="H")]}),
        chunk({"reasoning": "m.", "reasoning_details": [detail(0, type=text, text="m.")]}),
        chunk({"reasoning_details": [detail(0, type=text, signature="sig")]}),
        chunk({"reasoning_details": [detail(1, type=secret, data="gAAA")]}),
        chunk({"reasoning_details": [detail(2, type=secret, data="gBBB")]}),
        chunk({"content": "Yes."}),
        chunk({}, "stop"),
    )
    assert response.message.content[0] == Reasoning(
        "test",
        "Hm.",
        {
            "reasoning_details": [
                detail(0, type=text, text="Hm.", signature="sig"),
                detail(1, type=secret, data="gAAA"),
                detail(2, type=secret, data="gBBB"),
            ]
        },
    )


async def test_mistrals_parts_keep_their_order(hear):
    def thinking(text):
        return {"type": "thinking", "thinking": [{"type": "text", "text": text}]}

    deltas, response = await hear(
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": [thinking("H")]}),
        chunk({"content": [thinking("m.")]}),
        chunk({"content": "Ja"}),
        chunk({"content": ". "}),
        chunk({"content": [thinking("But."), {"type": "text", "text": "No."}]}),
        chunk({}, "stop"),
    )
    assert [d.text for d in deltas] == ["H", "m.", "Ja", ". ", "But.", "No."]
    assert response.message.content == (
        Reasoning("test", "Hm.", {"content": [thinking("Hm.")]}),
        Text("Ja. "),
        Reasoning("test", "But.", {"content": [thinking("But.")]}),
        Text("No."),
    )


async def test_what_we_do_not_know_is_kept_and_given_back(hear, provider_at):
    citation = {"type": "url_citation", "url": "https://example.com"}
    _, response = await hear(
        chunk({"content": "Yes.", "annotations": [citation]}),
        chunk({"annotations": [citation | {"url": "https://example.org"}], "audio": {"id": "a"}}),
        chunk({"audio": {"transcript": "Y"}, "level": 1}),
        chunk({"audio": {"transcript": "es."}, "level": 2}),
        chunk({}, "stop"),
    )
    async with provider_at("http://test/v1") as provider:
        request = ModelRequest("test/gpt", (response.message,))
        (message,) = request_body(request, "gpt", provider.endpoint)["messages"]
    assert message == {
        "role": "assistant",
        "content": "Yes.",
        "annotations": [citation, citation | {"url": "https://example.org"}],
        "audio": {"id": "a", "transcript": "Yes."},
        "level": 2,
    }


@pytest.mark.parametrize(
    "end",
    [
        pytest.param([chunk({}, "stop", usage=USAGE)], id="with the last piece"),
        pytest.param([chunk({}, "stop"), {"choices": [], "usage": USAGE}], id="after it"),
        pytest.param([chunk({}, "stop"), {"usage": USAGE}], id="without choices"),
        pytest.param([chunk({}, "stop", x_groq={"id": "r", "usage": USAGE})], id="Groq's way"),
        pytest.param(
            [chunk({}, usage=None), chunk({}, "stop", usage={}), chunk({}, usage=USAGE)], id="late"
        ),
    ],
)
async def test_usage_is_found_wherever_it_stands(end, hear):
    _, response = await hear(chunk({"content": "Yes."}), *end)
    assert response.usage == Usage(9, 3)
    assert response.message.text == "Yes."


async def test_a_stream_may_end_without_saying_so_twice(hear):
    body = events(chunk({"content": "Yes."}), chunk({}, "stop"), end=b"")
    assert (await hear(body=body))[1].finish_reason == "stop"
    body = events(chunk({"content": "Yes."}))
    assert (await hear(body=body))[1].finish_reason == "stop"


async def test_an_answer_may_come_as_a_single_event(hear, completion):
    deltas, response = await hear(completion())
    assert deltas == [TextDelta("Hello.")]
    assert response.usage == Usage(19, 10, 8, 4)


async def test_other_choices_are_left_aside(hear):
    other = chunk({"content": "No."})
    other["choices"][0]["index"] = 1
    deltas, response = await hear(chunk({"content": "Yes."}), other, chunk({}, "stop"))
    assert deltas == [TextDelta("Yes.")]
    assert response.message.text == "Yes."


@pytest.mark.parametrize(
    ("chunks", "problem"),
    [
        ([chunk({"content": "Half an"})], "the answer was cut off"),
        ([], "the answer was cut off"),
        ([chunk({"content": "a"}), ["b"]], "a piece of the answer is not a JSON object"),
        ([{"error": {"message": "overloaded", "code": 503}}], r"overloaded \(HTTP 503\)"),
        ([chunk({"content": "a"}), {"error": "out of memory"}], "out of memory"),
        ([chunk({}, x_groq={"error": "over capacity"})], "over capacity"),
        (
            [{"choices": [{"delta": {"content": ""}, "error": {"code": 502, "message": "gone"}}]}],
            r"gone \(HTTP 502\)",
        ),
    ],
)
async def test_streams_that_break(chunks, problem, hear):
    with pytest.raises(ProviderError, match=f"^test: .*{problem}"):
        await hear(body=events(*chunks, end=b""))


async def test_pieces_that_are_no_json(hear):
    with pytest.raises(ProviderError, match="a piece of the answer is not a JSON object"):
        await hear(body=b'data: {"choices": [{"del\n\n')


async def test_empty_choices_say_nothing_but_do_no_harm(hear):
    _, response = await hear(
        {"choices": []},
        {"choices": None},
        {"choices": ["?"]},
        chunk({"content": "a"}),
        chunk(None, "stop"),
    )
    assert response.message.text == "a"


async def test_a_refusal_is_no_text(hear):
    deltas, response = await hear(*OPENAIS["refusal"])
    assert deltas == []
    assert response.message.content == (Refusal("I'm sorry."),)
