"""Downloads a spell from a URL. A downloaded spell is never trusted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote

from llmspell.errors import SpellNotFound
from llmspell.spell import Spell, parse_spell
from llmspell.values import is_encodable

if TYPE_CHECKING:
    import httpx2

MAX_SIZE = 1_000_000  # bytes
MAX_REDIRECTS = 5
PATIENCE = 30.0  # seconds

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_LONGEST_NAME = 48  # Lua truncates chunk names at 60
_OK = 200
_GONE = (404, 410)
_REDIRECTS = (301, 302, 303, 307, 308)
_WEB_PAGES = ("text/html", "application/xhtml+xml")


def is_address(name: str) -> bool:
    """Whether it is a URL rather than a file or a name."""
    return _ADDRESS.match(name) is not None


async def fetch_spell(address: str, *, patience: float = PATIENCE) -> Spell:
    """Download the spell at an https:// URL, or at an http:// URL of this machine.

    Args:
        address: The URL; redirects are followed to https:// only.
        patience: Seconds until all of it must have arrived.

    Raises:
        SpellNotFound: It cannot be downloaded, is larger than 1 MB, or is not text.
        ConfigError: Its front matter is invalid.
    """
    import anyio
    import httpx2

    if not is_encodable(address):
        raise SpellNotFound(f"{address} is not a URL: it is not UTF-8")
    try:
        url = httpx2.URL(address)
    except httpx2.InvalidURL as error:
        raise SpellNotFound(f"{address} is not a URL: {error}") from error
    if url.scheme in ("http", "https") and not url.host:
        raise SpellNotFound(f"{address} is not a URL: it names no host")
    with _translate_errors(url, patience), anyio.fail_after(patience):
        async with httpx2.AsyncClient(
            headers={"user-agent": "llmspell", "accept-encoding": "identity"},
            mounts={"http://": None},  # a proxy cannot reach this machine
            timeout=None,
        ) as client:
            source = await _get(client, url)
    file = _file_name(url)
    return parse_spell(source, name=PurePosixPath(file).stem, file=file, trusted=False)


async def _get(client: httpx2.AsyncClient, url: httpx2.URL) -> bytes:
    if url.scheme != "https" and not (url.scheme == "http" and _is_this_machine(url.host)):
        hint = f"try {_shown(url.copy_with(scheme='https'))}" if url.scheme == "http" else None
        raise _refused(url, "only https:// is fetched, and http:// from this machine", hint)
    place = url
    for _ in range(MAX_REDIRECTS + 1):
        async with client.stream("GET", place) as response:
            location = response.headers.get("location")
            if not (location and response.status_code in _REDIRECTS):
                return await _text(url, response)
        place = place.join(location)
        if place.scheme != "https":
            raise _refused(url, f"it redirects to {_shown(place)}, which is not https://")
    raise _refused(url, f"more than {MAX_REDIRECTS} redirects")


async def _text(url: httpx2.URL, response: httpx2.Response) -> bytes:
    if response.status_code in _GONE:
        raise _refused(url, f"it does not exist (HTTP {response.status_code})", "check the address")
    if response.status_code != _OK:
        raise _refused(url, f"the server answers with HTTP {response.status_code}")
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in _WEB_PAGES:
        raise _refused(url, "it is a web page", "look there for a link to the raw text")
    body = bytearray()
    async for piece in response.aiter_raw():
        body += piece
        if len(body) > MAX_SIZE:
            raise _refused(url, f"it is larger than {MAX_SIZE // 1_000_000} MB")
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise _refused(url, "it is not text") from error
    return bytes(body)


@contextmanager
def _translate_errors(url: httpx2.URL, patience: float) -> Iterator[None]:
    import httpx2

    try:
        yield
    except TimeoutError as error:
        problem = f"it did not arrive within {patience:g} s"
        raise _refused(url, problem, "try again later, or save it and run the file") from error
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise _refused(url, *_reason_of(error)) from error


def _reason_of(error: Exception) -> tuple[str, str | None]:
    """Return what went wrong, and what to do about it."""
    import socket
    import ssl

    cause: BaseException | None = error
    while cause:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not valid: {cause.verify_message}", None
        if isinstance(cause, ssl.SSLError):
            return f"TLS failed: {cause.reason or cause}", None
        if isinstance(cause, socket.gaierror):
            return "its host is unknown", "check the address, and the network"
        cause = cause.__cause__ or cause.__context__
    return str(error) or type(error).__name__, None


def _refused(url: httpx2.URL, problem: str, hint: str | None = None) -> SpellNotFound:
    return SpellNotFound(f"cannot fetch {_shown(url)}: {problem}", hint=hint)


def _shown(url: httpx2.URL) -> str:
    """Format a URL without what may be secret: the user info and the query."""
    return str(url.copy_with(userinfo=b"", query=None, fragment=None))


def _file_name(url: httpx2.URL) -> str:
    """Return a display name: the last part of the URL's path."""
    last = PurePosixPath(unquote(url.path)).name or url.host
    return re.sub(r"[^\w.-]", "_", last)[-_LONGEST_NAME:]


def _is_this_machine(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
