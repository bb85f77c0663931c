"""Converts the attachments of a prompt, such as images and documents, to message blocks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import NoReturn
from urllib.parse import urlsplit

from llmspell.effects import Effect
from llmspell.errors import InvalidArguments
from llmspell.providers.messages import Block, File, Image, Text
from llmspell.values import Value

LARGEST = 20_000_000  # bytes per attachment; providers accept no more

# Magic numbers: RFC 2083, 8118 and the like, as listed in the WHATWG's "MIME Sniffing".
_BEGINNINGS = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
    b"%PDF-": "application/pdf",
    b"ID3": "audio/mpeg",
    b"OggS": "audio/ogg",
}
_PICTURES = (
    "image/png",
    "image/jpeg",
    "image/gif",
    "image/webp",
)  # formats models accept as images
_URL = re.compile(r"[a-z][a-z0-9+.-]*://|data:image/", re.IGNORECASE)
_IN_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav"}


async def attached(effect: Effect, entry: Value) -> Block:
    """Return the block of an attachment: a path or URL, or {data, media_type, name}.

    A file is read by the tool `read_file`, so grants are checked and the read is recorded.

    Raises:
        InvalidArguments: It is none of these, or a kind of file that models cannot be shown.
        PermissionDenied: Reading the file is not permitted.
        ToolError: The file cannot be read.
    """
    if isinstance(entry, str) and _URL.match(entry):
        return _linked(entry)
    if isinstance(entry, str) and entry:
        args: dict[str, Value] = {"path": entry, "encoding": "binary", "max_bytes": LARGEST}
        data = await effect.perform("tool.call", name="read_file", args=args)
        return _block(_bytes(data), PurePosixPath(entry).name)
    if isinstance(entry, Mapping) and entry.keys() <= {"data", "media_type", "name"}:
        data, kind, name = entry.get("data"), entry.get("media_type"), entry.get("name", "file")
        if isinstance(data, (str, bytes)) and isinstance(name, str):
            return _block(_bytes(data), name, kind if isinstance(kind, str) else None)
    return _refuse("each is a path, a URL, or {data, media_type, name}")


def _linked(url: str) -> Block:
    """Return the block for a URL, which the provider fetches: an image unless its name differs."""
    try:
        scheme, _, path, *_ = urlsplit(url)
    except ValueError:
        _refuse(f"{url} is not a URL")
    if scheme not in ("http", "https", "data"):
        _refuse(f"{url} is not an http or https URL")
    kind = _by_name(path)
    if scheme == "data" or kind is None or kind.startswith("image/"):
        return Image(url=url)
    return File(url=url, media_type=kind, name=PurePosixPath(path).name)


def _block(data: bytes, name: str, kind: str | None = None) -> Block:
    heard = kind is not None and kind.startswith(("audio/", "video/"))
    kind = kind or _by_content(data) or _by_name(name)
    if kind in _PICTURES:
        return Image(data, kind)
    if kind == "application/pdf":
        return File(data, kind, name)
    text = None if heard else _text_of(data)
    if text is not None:
        return Text(f"{name}:\n{text}\n")
    if kind is None:
        _refuse(f"{name} is neither text nor of a known type: give its media_type")
    return File(data, kind, name)


def _text_of(data: bytes) -> str | None:
    """Decode the data as text; None if it is binary: no UTF-8, or with a zero byte in it."""
    try:
        return None if b"\0" in data else data.decode()
    except UnicodeDecodeError:
        return None


def _by_content(data: bytes) -> str | None:
    for beginning, kind in _BEGINNINGS.items():
        if data.startswith(beginning):
            return kind
    return _IN_RIFF.get(data[8:12]) if data.startswith(b"RIFF") else None


def _by_name(name: str) -> str | None:
    from mimetypes import guess_type

    kind = guess_type(name, strict=False)[0]
    return None if kind == "application/octet-stream" else kind


def _bytes(data: Value) -> bytes:
    return data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data


def _refuse(problem: str) -> NoReturn:
    raise InvalidArguments("prompt", [f"attachments: {problem}"])
