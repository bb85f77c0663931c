"""Reads HTTP responses of limited size: JSON, server-sent events, or an error status."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import httpx2

from llmspell.content_encoding import check_content_encoding
from llmspell.errors import ProviderError
from llmspell.providers.failures import interrupted, malformed_answer, refused
from llmspell.providers.redaction import redact_complete
from llmspell.providers.server_events import EventReader, ServerEvent
from llmspell.providers.strict_json import read_json

if TYPE_CHECKING:
    from llmspell.providers.endpoints import Endpoint

MAX_ANSWER = 32 << 20  # bytes
EVENTS = "text/event-stream"

_MAX_ERROR = 64 << 10  # bytes of an error's body worth reading


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed attempt, returned rather than raised: see `Connection._send`.

    Attributes:
        retry_safe: Whether the request can be retried without the risk of being answered twice.
    """

    error: ProviderError
    retry_safe: bool = False


class AnswerReader:
    """Reads the responses of an endpoint and redacts its secrets in them."""

    def __init__(self, endpoint: Endpoint, secrets: list[str]) -> None:
        self._endpoint, self._secrets = endpoint, secrets

    async def read(self, response: httpx2.Response) -> Any | Failure:
        """Read the whole body and parse it as JSON."""
        try:
            return await self._json(response)
        except httpx2.HTTPError as error:
            return Failure(interrupted(self._endpoint, error))

    async def events(
        self, response: httpx2.Response
    ) -> AsyncGenerator[list[ServerEvent] | dict[str, Any], None]:
        """Yield the events of a stream, batched as they arrive, or the JSON object sent instead.

        Raises:
            ProviderError: The response is neither, or too large.
            httpx2.HTTPError: The connection broke.
        """
        content_type = _content_type(response)
        if _is_json(content_type):
            yield as_table(self._endpoint, await self._json(response))
            return
        if not content_type.lower().startswith(EVENTS):
            body, _ = await _read(response, _MAX_ERROR)
            raise self._unreadable(content_type, body, wanted="a stream of events")
        reader = EventReader()
        async with _body(response) as pieces:
            async for piece in pieces:
                if events := reader.feed(piece):
                    yield events
                if reader.pending > MAX_ANSWER:
                    raise self._too_large()
        if events := reader.feed(b"", final=True):
            yield events

    async def refusal(self, response: httpx2.Response) -> Failure:
        """Turn a response with an error status into a failure."""
        try:
            body, _ = await _read(response, _MAX_ERROR)
        except httpx2.HTTPError:
            body = b""  # the status alone is enough
        error = refused(self._endpoint, response.status_code, response.headers, body)
        return Failure(error, retry_safe=error.retryable)

    async def _json(self, response: httpx2.Response) -> Any | Failure:
        body, whole = await _read(response, MAX_ANSWER)
        if not whole:
            return Failure(self._too_large())
        try:
            return read_json(redact_complete(body.decode(), self._secrets))
        except ValueError:
            return Failure(self._unreadable(_content_type(response), body))

    def _too_large(self) -> ProviderError:
        what = f"the answer is larger than {MAX_ANSWER >> 20} MiB"
        return malformed_answer(self._endpoint, what, retry=False)

    def _unreadable(self, content_type: str, body: bytes, *, wanted: str = "JSON") -> ProviderError:
        if wanted == "JSON" and (_is_json(content_type) or not content_type):
            return malformed_answer(self._endpoint, "the answer is not JSON, or not all of it")
        shown = body[:200].decode("utf-8", "replace")
        return malformed_answer(
            self._endpoint,
            f"the answer is {content_type.partition(';')[0] or 'of no type'}, not {wanted}",
            hint=f"is {self._endpoint.base_url} the API's base URL? Most end in /v1",
            body=shown,
            retry=False,
        )


def _content_type(response: httpx2.Response) -> str:
    """Return the content type as it was sent, since secrets are redacted only in that form."""
    content_type: str = response.headers.get("content-type", "")
    return content_type


def _is_json(content_type: str) -> bool:
    return "json" in content_type.lower()


def as_table(endpoint: Endpoint, answer: Any | Failure) -> dict[str, Any]:
    """Return the answer if it is a JSON object. Raises ProviderError."""
    if isinstance(answer, Failure):
        raise answer.error
    if not isinstance(answer, dict):
        raise malformed_answer(endpoint, "the answer is not a JSON object")
    return answer


def _body(response: httpx2.Response) -> aclosing[AsyncGenerator[bytes, None]]:
    """Return an iterator over the decompressed body, as it arrives."""
    packed = "content-encoding" in response.headers
    if packed:
        check_content_encoding(response)
    # An uncompressed body is much cheaper to read without httpx2's decoding.
    pieces = (
        response.aiter_bytes() if packed else aiter(cast("httpx2.AsyncByteStream", response.stream))
    )
    return aclosing(cast("AsyncGenerator[bytes, None]", pieces))


async def _read(response: httpx2.Response, limit: int) -> tuple[bytes, bool]:
    """Return at most `limit` bytes of the body, and whether that is all of it."""
    pieces: list[bytes] = []
    size = 0
    async with _body(response) as stream:
        async for piece in stream:
            size += len(piece)
            if size > limit:
                return b"".join(pieces), False
            pieces.append(piece)
    return b"".join(pieces), True
