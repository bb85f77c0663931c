"""Builds the ProviderErrors for failed requests, with hints on what to do next.

Messages of servers and of the network pass through `redacted`, as they may quote the key.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from llmspell.errors import ProviderError
from llmspell.providers.redaction import redacted
from llmspell.providers.strict_json import read_json, write_json

if TYPE_CHECKING:
    import httpx2

    from llmspell.providers.endpoints import Endpoint

_SHOWN = 600  # characters of a server's message that are shown
_READ = 20_000  # characters of a server's message that are read and redacted
_UNAUTHORIZED = (401, 403)
_NOT_FOUND = 404
_RETRYABLE = (408, 409, 429)
_SERVER_ERRORS = range(500, 600)
_HTTP_ERRORS = range(400, 600)
_REDIRECT = range(300, 400)
_STATUSES: Mapping[str | int, int] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "api_error": 500,
    "server_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""OpenAI's and Anthropic's error types, and the HTTP status that goes with each."""

_UNPAID = ("insufficient_quota", "billing_error")


def is_local(endpoint: Endpoint) -> bool:
    host = urlsplit(endpoint.base_url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


def missing_key(endpoint: Endpoint) -> ProviderError:
    return ProviderError(
        f"{endpoint.name}: no API key",
        hint=f"set the environment variable {endpoint.key_env}",
        details={"provider": endpoint.name, "api_key_env": endpoint.key_env},
    )


def unreachable(endpoint: Endpoint, error: httpx2.HTTPError) -> ProviderError:
    """Return the error for a request whose answer never began."""
    import httpx2

    hint = _server_hint(endpoint)
    if isinstance(error, httpx2.ConnectTimeout):
        what = f"cannot connect to {endpoint.base_url}: it took too long"
    elif isinstance(error, httpx2.ConnectError):
        what = f"cannot connect to {endpoint.base_url}"
    elif isinstance(error, httpx2.TimeoutException):
        what = f"no answer within {endpoint.timeout:g} seconds"
        hint = f"raise timeout in [providers.{endpoint.name}], or ask for less"
    else:
        what = "the connection was lost before an answer came"
    late = isinstance(error, httpx2.ReadTimeout)
    return _broken(endpoint, what, hint=hint, reason=_reason_of(error), billed=late)


def interrupted(endpoint: Endpoint, error: httpx2.HTTPError) -> ProviderError:
    """Return the error for an answer that broke off."""
    import httpx2

    if isinstance(error, httpx2.TimeoutException):
        what = f"the answer stopped for {endpoint.timeout:g} seconds"
    elif isinstance(error, httpx2.DecodingError):
        what = "the answer cannot be decompressed"
    else:
        what = "the connection was lost in the middle of the answer"
    return _broken(endpoint, what, hint="try again", reason=_reason_of(error))


def too_slow(endpoint: Endpoint, setting: str) -> ProviderError:
    """Return the error for exceeding `setting`: `first_timeout` or `total_timeout`."""
    seconds = getattr(endpoint, setting)
    wanted = (
        "no part of the answer arrived"
        if setting == "first_timeout"
        else "the answer did not arrive completely"
    )
    hint = f"raise {setting} in [providers.{endpoint.name}], or ask for less"
    return _broken(endpoint, f"{wanted} within {seconds:g} seconds", hint=hint, reason="")


def malformed_answer(
    endpoint: Endpoint, what: str, *, hint: str | None = None, body: str = "", retry: bool = True
) -> ProviderError:
    """Return the error for an answer that violates the protocol."""
    return _broken(endpoint, what, hint=hint, reason=body, retry=retry)


def refused(
    endpoint: Endpoint, status: int, headers: Mapping[str, str], body: bytes
) -> ProviderError:
    """Return the error for a response with an error status."""
    text = body.decode("utf-8", "replace")
    try:
        answer = read_json(text)
    except ValueError:
        answer = "it sent a web page" if "html" in headers.get("content-type", "").lower() else text
    wish = _retry_after(headers)
    return _refused(endpoint, status, answer, _retry_delay(answer) if wish is None else wish)


def failed_inside(endpoint: Endpoint, error: Any) -> ProviderError:
    """Return the error for one reported with status 200; its code or type may tell the status."""
    status = None
    if isinstance(error, dict):
        words = [error.get("code"), error.get("type")]
        found: list[Any] = [_STATUSES.get(w, w) for w in words if isinstance(w, (str, int))]
        status = next((s for s in found if isinstance(s, int) and s in _HTTP_ERRORS), None)
    return _refused(endpoint, status, {"error": error}, None)


def _refused(
    endpoint: Endpoint, status: int | None, answer: Any, retry_after: float | None
) -> ProviderError:
    reason, code = _words(answer)
    shown = _clean(endpoint, reason) or "the request failed"
    details: dict[str, Any] = {"provider": endpoint.name}
    if code is not None:
        details["code"] = _clean(endpoint, code)
    if retry_after is not None:
        details["retry_after"] = retry_after
    unpaid = code in _UNPAID
    bad_key = _google_detail(answer, "ErrorInfo").get("reason") == "API_KEY_INVALID"  # with a 400
    hint = _status_hint(endpoint, _UNAUTHORIZED[0] if bad_key else status, retry_after)
    return ProviderError(
        f"{endpoint.name}: {shown}" + (f" (HTTP {status})" if status is not None else ""),
        status=status,
        retryable=(status in _RETRYABLE or status in _SERVER_ERRORS) and not unpaid,
        hint="check the account's plan and billing" if unpaid else hint,
        details=details,
    )


def _broken(
    endpoint: Endpoint,
    what: str,
    *,
    hint: str | None,
    reason: str,
    retry: bool = True,
    billed: bool = True,
) -> ProviderError:
    details = {"provider": endpoint.name, "url": endpoint.base_url}
    if reason := _clean(endpoint, reason):
        details["reason"] = reason
    message = f"{endpoint.name}: {_clean(endpoint, what)}"
    error = ProviderError(message, retryable=retry, hint=hint, details=details)
    error.billed = billed
    return error


def _clean(endpoint: Endpoint, text: str) -> str:
    shown = redacted(" ".join(text[:_READ].split()), endpoint.secrets)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]} …"


def _reason_of(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _server_hint(endpoint: Endpoint) -> str:
    where = f"base_url in [providers.{endpoint.name}]"
    if endpoint.name == "ollama":
        return f"start it with `ollama serve`, or set {where}"
    if is_local(endpoint):
        return f"is the server running at {endpoint.base_url}? If it is elsewhere, set {where}"
    return f"check the network, and {where} if it is set"


def _status_hint(
    endpoint: Endpoint, status: int | None, retry_after: float | None = None
) -> str | None:
    if status in _UNAUTHORIZED:
        if endpoint.key_env is None:
            return f"name the variable with the key: api_key_env in [providers.{endpoint.name}]"
        return f"check the key in the environment variable {endpoint.key_env}"
    if status == _NOT_FOUND:
        if endpoint.name == "ollama":
            return "fetch the model with `ollama pull NAME`; `ollama list` shows those you have"
        listed = f"; {endpoint.base_url}/models lists the available ones"
        return "check the model's name" + (listed if endpoint.kind.startswith("openai") else "")
    if status in _REDIRECT:
        return f"it has moved: correct base_url in [providers.{endpoint.name}]"
    later = status in _RETRYABLE or status in _SERVER_ERRORS
    when = f"in {math.ceil(retry_after)} s" if retry_after else "later"
    return f"try again {when}, or send fewer requests at once" if later else None


def _words(answer: Any) -> tuple[str, str | None]:
    """Return the server's error message and error code.

    OpenAI: {"error": {"message", "code", "type"}}; Google: {"error": {"message", "code",
    "status"}}, whose code is a number; Ollama: {"error": "…"}; Mistral: {"message"}; FastAPI
    servers: {"detail": …}. Some wrap it in a list.
    """
    body = answer[0] if isinstance(answer, list) and answer else answer
    error = body.get("error") or body if isinstance(body, dict) else body
    if not isinstance(error, dict):
        return _written(error), None
    code = error.get("status") or error.get("code") or error.get("type")
    words = error.get("message") or error.get("detail") or error
    return _written(words), str(code) if code else None


def _written(value: Any) -> str:
    return value if isinstance(value, str) else write_json(value)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds to wait: RFC 9110 section 10.2.3, or OpenAI's `retry-after-ms`."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) * unit
        except ValueError:
            continue
        if math.isfinite(seconds):
            return max(seconds, 0.0)
    try:
        date = parsedate_to_datetime(headers.get("retry-after", ""))
    except (ValueError, OverflowError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max((date - datetime.now(UTC)).total_seconds(), 0.0)


def _retry_delay(answer: Any) -> float | None:
    """Return the same from Google's body: `retryDelay` of `google.rpc.RetryInfo`, "17.5s"."""
    delay = _google_detail(answer, "RetryInfo").get("retryDelay")
    try:
        seconds = float(str(delay).removesuffix("s"))
    except ValueError:
        return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None


def _google_detail(answer: Any, kind: str) -> dict[str, Any]:
    """Return the detail of type `google.rpc.{kind}` from a Google error; empty if it has none."""
    body = answer[0] if isinstance(answer, list) and answer else answer
    error = body.get("error") if isinstance(body, dict) else None
    details = error.get("details") if isinstance(error, dict) else None
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict) and str(detail.get("@type")).endswith(f"google.rpc.{kind}"):
            return detail
    return {}
