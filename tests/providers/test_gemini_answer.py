import base64

import httpx2
import pytest
from google import genai
from shared import answer_of

from llmspell.errors import ProviderError
from llmspell.providers.endpoints import Endpoint
from llmspell.providers.gemini import Gemini
from llmspell.providers.gemini_body import request_body
from llmspell.providers.messages import (
    Extra,
    File,
    Image,
    Message,
    ModelRequest,
    Reasoning,
    ReasoningDelta,
    Refusal,
    Text,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Unknown,
    Usage,
)
from llmspell.testing import fakes
from llmspell.testing.fakes import Answer, FakeServer
from llmspell.testing.fakes.wire import sse

pytestmark = pytest.mark.anyio

KEY = "AIzaSyD-Zx81_qLw7TtRb29vNhYc3KdM5pGa0XfE"
ENDPOINT = Endpoint("google", "http://fake", "GEMINI_API_KEY", KEY)
REQUEST = ModelRequest("google/gemini-3.8-flash", (Message.of("user", "hi"),))
OSLO, ROME = (ToolCall(i, "weather", {"city": c}) for i, c in (("t1", "Oslo"), ("t2", "Rome")))


async def asked(said, request=REQUEST, *, stream):
    """The response, and the deltas before it."""
    provider = Gemini(ENDPOINT, transport=FakeServer([said], key=KEY).transport(), max_retries=0)
    return await answer_of(provider, request, stream=stream)


@pytest.fixture(params=[False, True], ids=["whole", "streamed"])
def ask(request):
    async def asking(said):
        response, _ = await asked(said, stream=request.param)
        return response

    return asking


@pytest.mark.parametrize(
    "said",
    [
        Answer("Hello."),
        Answer("Half an ans", finish_reason="length"),
        Answer(OSLO, ROME),
        Answer(fakes.Reasoning("Hm, let me see."), "Both.", OSLO, usage=Usage(100, 20, 90, 5)),
        Answer("Grüße, 世界 🌍", "And more."),
    ],
)
async def test_we_read_what_the_official_sdk_reads(said, ask):
    async with httpx2.AsyncClient(transport=FakeServer(said).transport()) as client:
        options = {"base_url": "http://fake", "httpx_async_client": client}
        sdk = genai.Client(api_key=KEY, http_options=options)
        theirs = await sdk.aio.models.generate_content(model="gemini-3.8-flash", contents="hi")
    ours = await ask(said)
    parts = theirs.candidates[0].content.parts
    assert ours.message.text == "".join([p.text for p in parts if p.text and not p.thought])
    assert ours.message.reasoning == "".join([p.text for p in parts if p.thought])
    assert [(c.id, c.name, c.arguments) for c in ours.message.tool_calls] == [
        (p.function_call.id, p.function_call.name, p.function_call.args)
        for p in parts
        if p.function_call
    ]
    used = theirs.usage_metadata
    assert ours.usage == Usage(
        used.prompt_token_count,
        used.candidates_token_count + used.thoughts_token_count,
        used.cached_content_token_count,
        used.thoughts_token_count,
    )
    assert (ours.id, ours.model) == (theirs.response_id, f"google/{theirs.model_version}")


@pytest.mark.parametrize(
    ("reason", "meant"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("CONTINUATION", "length"),
        ("OTHER", "OTHER"),
        ("MALFORMED_FUNCTION_CALL", "MALFORMED_FUNCTION_CALL"),
    ],
)
async def test_finish_reasons(reason, meant, ask):
    assert (await ask(Answer("Hello.", finish_reason=reason))).finish_reason == meant


@pytest.mark.parametrize("reason", ["SAFETY", "RECITATION", "PROHIBITED_CONTENT", "SPII"])
async def test_what_is_withheld_is_refused(reason, ask):
    response = await ask(Answer("But", finish_reason=reason))
    assert response.message.content == (
        Text("But"),
        Refusal(f"The answer was withheld ({reason})."),
    )
    assert response.finish_reason == "content_filter"
    response = await ask(Answer(Refusal("It is about bombs."), "No."))
    assert response.message.refusal == "It is about bombs."


async def test_a_question_that_is_blocked_is_refused(ask):
    feedback = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}
    response = await ask(Answer(**feedback))
    assert response.message.refusal == "The prompt was refused (PROHIBITED_CONTENT)."
    assert response.finish_reason == "content_filter"
    assert response.usage.input_tokens == 19


async def test_signatures_stay_with_their_parts(ask):
    signed = {"text": "Yes.", "thoughtSignature": "c2ln"}
    thought = {"text": "Hm.", "thought": True, "thoughtSignature": "aG0="}
    ending = {"text": "", "thoughtSignature": "ZW5k"}
    said = [
        Unknown(part) for part in (thought, {"text": "Well. "}, signed, {"text": "Ok."}, ending)
    ]
    response = await ask(said)
    assert response.message.content == (
        Reasoning("google", "Hm.", {"thoughtSignature": "aG0="}),
        Text("Well. "),
        Extra("google", {"thoughtSignature": "c2ln"}),
        Text("Yes."),
        Text("Ok."),
        Extra("google", ending),
    )
    again = ModelRequest(REQUEST.model, (response.message,))
    (turn,) = request_body(again, "gemini-3.8-flash", ENDPOINT)["contents"]
    assert turn["parts"] == [thought, {"text": "Well. "}, signed, {"text": "Ok."}, ending]


async def test_calls_go_back_with_their_signatures(ask):
    response = await ask([OSLO, ROME])
    again = ModelRequest(REQUEST.model, (response.message,))
    (turn,) = request_body(again, "gemini-3.8-flash", ENDPOINT)["contents"]
    signature = base64.b64encode(b"thought weather").decode()
    assert turn["parts"] == [
        {
            "functionCall": {"id": id_, "name": "weather", "args": {"city": city}},
            "thoughtSignature": signature,
        }
        for id_, city in (("t1", "Oslo"), ("t2", "Rome"))
    ]


async def test_calls_without_ids_get_some(ask):
    response = await ask([ToolCall("", "now"), ToolCall("", "now")])
    assert [call.id for call in response.message.tool_calls] == ["call00001", "call00002"]


async def test_arguments_that_are_no_object_are_kept_for_the_model_to_mend(ask):
    response = await ask(ToolCall("t", "weather", raw='{"city": "Os'))
    (call,) = response.message.tool_calls
    assert (call.arguments, call.raw) == ({}, '{"city": "Os')


async def test_pictures_and_recordings_a_model_makes(ask):
    picture = {
        "inlineData": {"mimeType": "image/png", "data": "iVBORw=="},
        "thoughtSignature": "cw==",
    }
    sound = {"inlineData": {"mimeType": "audio/wav", "data": "UklGRg=="}}
    odd = {"inlineData": {"mimeType": "image/png", "data": "?"}}
    response = await ask([Unknown(part) for part in (picture, sound, odd)])
    assert response.message.content == (
        Extra("google", {"thoughtSignature": "cw=="}),
        Image(b"\x89PNG", "image/png"),
        File(b"RIFF", "audio/wav"),
        Extra("google", odd),
    )
    again = ModelRequest(REQUEST.model, (response.message,))
    (turn,) = request_body(again, "gemini-3.8-flash", ENDPOINT)["contents"]
    assert turn["parts"] == [picture, sound, odd]


async def test_what_we_do_not_know_is_kept_in_its_place(ask):
    code = {"executableCode": {"language": "PYTHON", "code": "1"}}
    response = await ask(["Let me see.", Unknown(code), "One."])
    assert response.message.content == (Text("Let me see."), Extra("google", code), Text("One."))


async def test_sources_are_kept_and_do_not_go_back(ask):
    grounded = {
        "candidates": [
            {
                "content": {"parts": [{"text": "Yes."}]},
                "finishReason": "STOP",
                "groundingMetadata": {"webSearchQueries": ["x"]},
            }
        ]
    }
    response = await ask(Answer("", **grounded))
    assert (
        Extra("google", {"groundingMetadata": {"webSearchQueries": ["x"]}})
        in response.message.content
    )
    again = ModelRequest(REQUEST.model, (response.message,))
    (turn,) = request_body(again, "gemini-3.8-flash", ENDPOINT)["contents"]
    assert all(part.keys() == {"text"} for part in turn["parts"])


async def test_pieces_are_shown_as_they_come():
    said = Answer(fakes.Reasoning("Hmm"), "Hi!", OSLO, ToolCall("", "now"), pieces=2)
    response, deltas = await asked(said, stream=True)
    assert deltas == [
        ReasoningDelta("Hm"),
        ReasoningDelta("m"),
        TextDelta("Hi"),
        TextDelta("!"),
        ToolCallDelta(0, "t1", "weather", '{"city":"Oslo"}'),
        ToolCallDelta(1, "", "now", "{}"),
    ]
    assert response.message.text == "Hi!"
    assert response.message.reasoning == "Hmm"


def chunks(*chunks):
    return fakes.Wire.stream([sse(chunk) for chunk in chunks])


def candidate(*parts, **fields):
    return {"candidates": [{"content": {"parts": list(parts)}, **fields}]}


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (chunks(candidate({"text": "Hel"})), "was cut off"),
        (chunks({"usageMetadata": {}}), "the answer has no candidates"),
        (chunks(candidate("Hello.", finishReason="STOP")), "is not a JSON object"),
        (chunks([1]), "is not a JSON object"),
    ],
)
async def test_what_is_no_stream_of_an_answer(said, problem):
    with pytest.raises(ProviderError, match=problem) as caught:
        await asked(said, stream=True)
    assert caught.value.retryable


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({}, "the answer has no candidates"),
        ({"candidates": []}, "the answer has no candidates"),
        ({"candidates": ["Hello."]}, "the answer has no candidates"),
        ({"promptFeedback": {}}, "the answer has no candidates"),
        ({"candidates": [{"content": {"parts": "Hello."}}]}, "not a list of objects"),
        (
            {"candidates": [{"finishReason": "MALFORMED_FUNCTION_CALL", "finishMessage": "x("}]},
            r"answer cannot be read \(MALFORMED_FUNCTION_CALL\)",
        ),
    ],
)
async def test_what_is_no_answer(data, problem):
    with pytest.raises(ProviderError, match=problem) as caught:
        await asked(fakes.Wire.json(data), stream=False)
    assert caught.value.retryable


async def test_an_answer_with_nothing_in_it(ask):
    response = await ask(Answer("", candidates=[{"finishReason": "STOP"}]))
    assert (response.message.content, response.finish_reason) == ((), "stop")


@pytest.mark.parametrize("wrapped", [False, True])
async def test_an_error_among_the_events(wrapped):
    failure = {"error": {"code": 503, "message": f"Key {KEY}", "status": "UNAVAILABLE"}}
    said = chunks(candidate({"text": "He"}), [failure] if wrapped else failure)
    with pytest.raises(
        ProviderError, match=r"(?m)^google: Key \[redacted\] \(HTTP 503\)$"
    ) as caught:
        await asked(said, stream=True)
    assert caught.value.retryable


async def refused(status, error, **headers):
    error = {"code": status, "message": "No."} | error
    answer = httpx2.Response(status, json={"error": error}, headers=headers)
    provider = Gemini(ENDPOINT, transport=httpx2.MockTransport(lambda _: answer), max_retries=0)
    with pytest.raises(ProviderError) as caught:
        await provider.complete(REQUEST)
    await provider.close()
    return caught.value


def google(kind, **fields):
    return {"@type": f"type.googleapis.com/google.rpc.{kind}", **fields}


async def test_a_wrong_key_is_a_bad_request_to_google():
    details = [google("LocalizedMessage"), google("ErrorInfo", reason="API_KEY_INVALID")]
    error = await refused(400, {"status": "INVALID_ARGUMENT", "details": details})
    assert error.hint == "check the key in the environment variable GEMINI_API_KEY"
    assert error.details["code"] == "INVALID_ARGUMENT"
    assert (await refused(400, {"details": "none"})).hint is None


@pytest.mark.parametrize(
    ("delay", "seconds"),
    [("17s", 17.0), ("0.5s", 0.5), ("soon", None), ("infs", None), (None, None)],
)
async def test_google_says_in_the_body_when_to_come_back(delay, seconds):
    details = [google("QuotaFailure"), google("RetryInfo", retryDelay=delay)]
    error = await refused(429, {"status": "RESOURCE_EXHAUSTED", "details": details})
    assert error.retryable
    assert error.details.get("retry_after") == seconds
    error = await refused(429, {"details": details}, **{"retry-after": "3"})
    assert error.details["retry_after"] == 3


async def test_the_models_it_has():
    listed = {
        "models": [
            {"name": "models/gemini-a", "supportedGenerationMethods": ["generateContent"]},
            {"name": "models/embedding-b", "supportedGenerationMethods": ["embedContent"]},
            {"name": "models/gemini-c"},
            "odd",
        ]
    }

    def answer(request):
        assert request.url == "http://fake/v1beta/models?pageSize=1000"
        assert request.headers["x-goog-api-key"] == KEY
        return httpx2.Response(200, json=listed)

    provider = Gemini(ENDPOINT, transport=httpx2.MockTransport(answer))
    assert await provider.list_models() == ["gemini-a"]
    await provider.close()


@pytest.mark.parametrize(
    ("base_url", "query", "url"),
    [
        ("http://a", {}, "http://a/v1beta/models/m:streamGenerateContent?alt=sse"),
        ("http://a/v1", {}, "http://a/v1/models/m:streamGenerateContent?alt=sse"),
        ("http://a", {"x": "1"}, "http://a/v1beta/models/m:streamGenerateContent?alt=sse&x=1"),
    ],
)
async def test_the_version_may_be_in_the_base_url(base_url, query, url):
    urls = []

    def answer(request):
        urls.append(str(request.url))
        return httpx2.Response(400)

    endpoint = Endpoint("google", base_url, query=query)
    provider = Gemini(endpoint, transport=httpx2.MockTransport(answer))
    with pytest.raises(ProviderError):
        await anext(provider.stream(ModelRequest("google/m", REQUEST.messages)))
    await provider.close()
    assert urls == [url]
