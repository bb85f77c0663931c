"""The official SDKs as clients of a fake server, behind one interface."""

import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from google import genai

KEY = "sk-test-1234567890"
MODEL = "some-model"


@dataclass
class Heard:
    """An answer as an SDK parsed it."""

    text: str = ""
    reasoning: str = ""
    refusal: str | None = None
    calls: list[tuple[str, Any]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    reason: str | None = None
    usage: tuple[int, int] = (0, 0)


class ChatCompletions:
    name = "openai"

    def __init__(self, client, url):
        self.sdk = openai.AsyncOpenAI(
            api_key=KEY,
            base_url=f"{url}/v1",
            http_client=client,
            max_retries=0,
            _strict_response_validation=True,
        )
        self.asked = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}

    async def whole(self):
        said = await self.sdk.chat.completions.create(**self.asked)
        choice = said.choices[0]
        message = choice.message
        calls = message.tool_calls or []
        return Heard(
            message.content or "",
            getattr(message, "reasoning_content", ""),
            message.refusal,
            [(call.function.name, json.loads(call.function.arguments)) for call in calls],
            [call.id for call in calls],
            choice.finish_reason,
            (said.usage.prompt_tokens, said.usage.completion_tokens),
        )

    async def streamed(self):
        heard, arguments = Heard(), []
        options = {"stream": True, "stream_options": {"include_usage": True}}
        async for chunk in await self.sdk.chat.completions.create(**self.asked, **options):
            if chunk.usage:
                heard.usage = (chunk.usage.prompt_tokens, chunk.usage.completion_tokens)
            for choice in chunk.choices:
                heard.text += choice.delta.content or ""
                heard.reasoning += getattr(choice.delta, "reasoning_content", None) or ""
                if choice.delta.refusal:
                    heard.refusal = (heard.refusal or "") + choice.delta.refusal
                heard.reason = choice.finish_reason or heard.reason
                for call in choice.delta.tool_calls or []:
                    if call.id:
                        arguments.append([call.function.name, ""])
                        heard.ids.append(call.id)
                    arguments[call.index][1] += call.function.arguments
        heard.calls = [(name, json.loads(written)) for name, written in arguments]
        return heard


class Responses:
    name = "openai-responses"

    def __init__(self, client, url):
        self.sdk = ChatCompletions(client, url).sdk

    async def whole(self):
        return self.heard(await self.sdk.responses.create(model=MODEL, input="hi"))

    async def streamed(self):
        text, last, numbers = "", None, []
        async for event in await self.sdk.responses.create(model=MODEL, input="hi", stream=True):
            numbers.append(event.sequence_number)
            last = event
            if event.type == "response.output_text.delta":
                text += event.delta
        assert numbers == sorted(set(numbers))
        heard = self.heard(last.response)
        assert heard.text == text
        return heard

    def heard(self, said):
        heard = Heard(said.output_text, usage=(said.usage.input_tokens, said.usage.output_tokens))
        heard.reason = said.incomplete_details.reason if said.incomplete_details else said.status
        for item in said.output:
            if item.type == "function_call":
                heard.calls.append((item.name, json.loads(item.arguments)))
                heard.ids.append(item.call_id)
            elif item.type == "reasoning":
                heard.reasoning += item.summary[0].text
            elif item.content[0].type == "refusal":
                heard.refusal = item.content[0].refusal
        return heard


class Messages:
    name = "anthropic"

    def __init__(self, client, url):
        self.sdk = anthropic.AsyncAnthropic(
            api_key=KEY,
            base_url=url,
            http_client=client,
            max_retries=0,
            _strict_response_validation=True,
        )
        messages = [{"role": "user", "content": "hi"}]
        self.asked = {"model": MODEL, "max_tokens": 100, "messages": messages}

    async def whole(self):
        return self.heard(await self.sdk.messages.create(**self.asked))

    async def streamed(self):
        async with self.sdk.messages.stream(**self.asked) as stream:
            text = "".join([piece async for piece in stream.text_stream])
            heard = self.heard(await stream.get_final_message())
        assert heard.text == text
        return heard

    def heard(self, said):
        usage = said.usage
        heard = Heard(
            reason=said.stop_reason,
            usage=(usage.input_tokens + usage.cache_read_input_tokens, usage.output_tokens),
        )
        if said.stop_details:
            heard.refusal = said.stop_details.explanation
        for block in said.content:
            if block.type == "text":
                heard.text += block.text
            elif block.type == "thinking":
                heard.reasoning += block.thinking
                assert block.signature
            else:
                heard.calls.append((block.name, block.input))
                heard.ids.append(block.id)
        return heard


class Gemini:
    name = "gemini"

    def __init__(self, client, url):
        options = {"base_url": url, "httpx_async_client": client}
        self.sdk = genai.Client(api_key=KEY, http_options=options)

    async def whole(self):
        said = await self.sdk.aio.models.generate_content(model=MODEL, contents="hi")
        return self.heard([said])

    async def streamed(self):
        stream = await self.sdk.aio.models.generate_content_stream(model=MODEL, contents="hi")
        return self.heard([chunk async for chunk in stream])

    def heard(self, chunks):
        heard = Heard()
        for chunk in chunks:
            candidate = chunk.candidates[0]
            heard.reason = candidate.finish_reason.value if candidate.finish_reason else None
            heard.refusal = candidate.finish_message
            usage = chunk.usage_metadata
            written = usage.candidates_token_count + usage.thoughts_token_count
            heard.usage = (usage.prompt_token_count, written)
            for part in candidate.content.parts:
                if part.function_call:
                    heard.calls.append((part.function_call.name, part.function_call.args))
                    heard.ids.append(part.function_call.id)
                elif part.thought:
                    heard.reasoning += part.text
                else:
                    heard.text += part.text
        return heard


SDKS = {kind.name: kind for kind in (ChatCompletions, Responses, Messages, Gemini)}


@pytest.fixture(params=SDKS)
def protocol(request):
    return request.param


@pytest.fixture(params=["in memory", "loopback"])
def connect(request, protocol):
    """`async with connect(server) as sdk`: for each protocol, with and without sockets."""

    @asynccontextmanager
    async def connected(server):
        if request.param == "in memory":
            async with httpx2.AsyncClient(transport=server.transport()) as client:
                yield SDKS[protocol](client, "http://fake")
        else:
            async with server, httpx2.AsyncClient() as client:
                yield SDKS[protocol](client, server.url)

    return connected
