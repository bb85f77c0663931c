"""A tool for HTTP requests."""

# ruff: noqa: D417 - `effect` is injected; callers do not give it

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from llmspell.bounded_json import decode_json
from llmspell.content_encoding import check_content_encoding
from llmspell.effects import Effect
from llmspell.errors import ToolError
from llmspell.tools.network_access import NetworkAccess, check_url
from llmspell.tools.tool import tool

if TYPE_CHECKING:
    import ssl

    import httpx2

MAX_REDIRECTS = 5
MAX_BODY = 100_000_000

_REDIRECTS = {301, 302, 303, 307, 308}
_CREDENTIALS = ("authorization", "cookie", "proxy-authorization")
_OF_THE_BODY = ("content-type", "content-length", "content-encoding", "content-language")
# RFC 9110, section 9.2.2: repeating these requests does no harm.
_IDEMPOTENT = {"GET", "HEAD", "PUT", "DELETE", "OPTIONS"}


@dataclass(slots=True)
class HttpResponse:
    """A response.

    Attributes:
        status: HTTP status code.
        headers: By lower-case name; repeated headers are joined with ", ".
        body: Text, or bytes if it is not valid in the declared encoding (by default UTF-8).
        json: The decoded body, if the response declares JSON and it is valid.
        url: The URL that answered, after redirects.
    """

    status: int
    headers: dict[str, str]
    body: str | bytes
    json: Any
    url: str


_REPEATABLE = ("GET", "PUT", "DELETE", "HEAD", "OPTIONS")  # RFC 9110, section 9.2.2


@tool(
    category="net",
    net=["url"],
    idempotent=lambda args: args.get("method", "GET") in _REPEATABLE,
)
async def http_request(
    effect: Effect,
    url: str,
    *,
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"] = "GET",
    headers: dict[str, str] | None = None,
    query: dict[str, str | int | float | bool | list[str | int | float | bool]] | None = None,
    json: Any = None,
    body: str | bytes | None = None,
    timeout: Annotated[float, Field(gt=0, le=600)] = 30,  # noqa: ASYNC109 - a parameter of the spell
    max_bytes: Annotated[int, Field(ge=1, le=MAX_BODY)] = 10_000_000,
    follow_redirects: bool = True,
) -> HttpResponse:
    """Make an HTTP request. The result is `{status, headers, body, json, url}`.

    Every status is a result, even 404 and 500; it is an error if no response arrives. `headers`
    has lower-case names, and `json` is the decoded body of a JSON response.

    Args:
        url: An http:// or https:// address.
        method: The HTTP method.
        headers: Headers to send, by name.
        query: Parameters to add to the URL's query; a list becomes one parameter per item.
        json: A value to send as a JSON body. An empty table is sent as a list.
        body: Text (as UTF-8) or bytes to send as they are.
        timeout: Seconds for the whole exchange.
        max_bytes: A larger response body is an error.
        follow_redirects: Follow up to 5 redirects; each host must be granted.
    """
    import anyio
    import httpx2

    from llmspell.tools.transport import CheckedTransport

    _check_headers(headers or {})
    with _translate_errors(url, method, timeout), anyio.fail_after(timeout) as time:
        reach = NetworkAccess(effect, time, by="http_request")
        transport = CheckedTransport(reach, tls=_tls())
        # trust_env=False: no proxies or .netrc passwords, since a spell has only what is granted.
        async with httpx2.AsyncClient(
            transport=transport, trust_env=False, timeout=None, headers={"user-agent": "llmspell"}
        ) as client:
            request = _request(
                client, method, url, headers=headers, query=query, json=json, body=body
            )
            return await _answer(reach, client, request, max_bytes, follow_redirects)


@contextmanager
def _translate_errors(url: str, method: str, timeout: float) -> Iterator[None]:
    """Turn transport errors into a ToolError, retryable if repeating the request is harmless."""
    import httpx2

    try:
        yield
    except TimeoutError as error:
        raise ToolError(
            f"no complete response from {url} within {timeout:g} s",
            hint="give a larger timeout, or try again later",
            details={"url": url, "timeout": timeout},
            retryable=method in _IDEMPOTENT,
        ) from error
    except httpx2.TransportError as error:
        unsent = isinstance(error, httpx2.ConnectError)
        ours = isinstance(error, httpx2.LocalProtocolError)
        what = "cannot connect to" if unsent else "cannot get a response from"
        raise ToolError(
            f"{what} {url}: {str(error) or type(error).__name__}",
            details={"url": url, "type": type(error).__name__},
            retryable=unsent or (method in _IDEMPOTENT and not ours),
        ) from error
    except (httpx2.InvalidURL, httpx2.DecodingError) as error:
        raise ToolError(f"{url}: {error}", details={"url": url}) from error


@cache
def _tls() -> ssl.SSLContext:
    """Create the TLS context, once: loading the certificates takes 30 ms."""
    import httpx2

    return httpx2.create_ssl_context()


def _check_headers(headers: dict[str, str]) -> None:
    if any(name.lower() == "host" for name in headers):
        raise ToolError(
            "the header Host cannot be set",
            hint="the host in the URL is the one that grants are checked against",
        )
    for name, value in headers.items():
        if not f"{name}{value}".isascii():
            raise ToolError(
                f"the header {name} contains characters that are not ASCII",
                hint="encode them, for example with url_encode",
            )


def _request(
    client: httpx2.AsyncClient,
    method: str,
    url: str,
    *,
    headers: dict[str, str] | None,
    query: dict[str, Any] | None,
    json: Any,
    body: str | bytes | None,
) -> httpx2.Request:
    import httpx2

    if json is not None and body is not None:
        raise ToolError("json and body cannot both be sent")
    target = httpx2.URL(url)
    check_url(target, url)
    if query:
        target = target.copy_merge_params(query)
    try:
        request = client.build_request(method, target, headers=headers, content=body, json=json)
    except TypeError as error:
        raise ToolError("json contains a function or a string that is not UTF-8") from error
    except ValueError as error:
        raise ToolError(f"json cannot be sent: {error}") from error
    stated, length = request.headers.get("content-length"), len(request.content)
    if stated not in (None, str(length)):
        raise ToolError(
            f"the header Content-Length is {stated}, but the body has {length} bytes",
            hint="leave the header out",
        )
    return request


async def _answer(
    reach: NetworkAccess,
    client: httpx2.AsyncClient,
    request: httpx2.Request,
    max_bytes: int,
    follow_redirects: bool,
) -> HttpResponse:
    """Return the response to a request, following redirects."""
    for _ in range(MAX_REDIRECTS + 1):
        await reach.check(request.url)
        response = await client.send(request, stream=True)
        try:
            location = response.headers.get("location")
            if not (follow_redirects and location and response.status_code in _REDIRECTS):
                return _result(response, await _body(response, max_bytes))
            request = _redirected(client, request, response.status_code, location)
        finally:
            await response.aclose()
    raise ToolError(
        f"more than {MAX_REDIRECTS} redirects, the last to {request.url}",
        details={"url": str(request.url), "limit": MAX_REDIRECTS},
    )


def _redirected(
    client: httpx2.AsyncClient, request: httpx2.Request, status: int, location: str
) -> httpx2.Request:
    """Build the request for a redirect (RFC 9110, section 15.4)."""
    url = request.url.join(location)
    headers = {k: v for k, v in request.headers.items() if k != "host"}
    method, body = request.method, request.content
    if (status == 303 and method != "HEAD") or (status in (301, 302) and method == "POST"):  # noqa: PLR2004
        method, body = "GET", b""
    dropped = [] if body else list(_OF_THE_BODY)
    if _origin(url) != _origin(request.url):
        dropped.extend(_CREDENTIALS)
    headers = {k: v for k, v in headers.items() if k not in dropped}
    return client.build_request(method, url, headers=headers, content=body or None)


def _origin(url: httpx2.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


async def _body(response: httpx2.Response, max_bytes: int) -> bytes:
    """Read the body and undo its content encoding."""
    check_content_encoding(response)
    body = bytearray()
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) > max_bytes:
            raise ToolError(
                f"the response of {response.url} is larger than max_bytes = {max_bytes:,}",
                hint=f"give a larger max_bytes, at most {MAX_BODY:,}",
                details={"url": str(response.url), "max_bytes": max_bytes},
            )
    return bytes(body)


def _result(response: httpx2.Response, body: bytes) -> HttpResponse:
    content_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_json = content_type == "application/json" or content_type.endswith("+json")
    return HttpResponse(
        status=response.status_code,
        headers=dict(response.headers),
        body=_decoded(body, response.charset_encoding or "utf-8"),
        json=_json(body) if is_json else None,
        url=str(response.url),
    )


def _decoded(body: bytes, charset: str) -> str | bytes:
    try:
        return body.decode(charset)
    except (UnicodeDecodeError, LookupError):
        return body


def _json(body: bytes) -> Any:
    """Parse JSON; None if it is invalid or too large, as `body` has the text in any case."""
    from json import detect_encoding

    try:
        return decode_json(body.decode(detect_encoding(body), "surrogatepass"))
    except ValueError:
        return None
