"""Tools for hashes, ids and encodings."""

from __future__ import annotations

from typing import Literal

from llmspell.errors import ToolError
from llmspell.tools.tool import tool
from llmspell.values import as_bytes, text_or_bytes

Algorithm = Literal["md5", "sha1", "sha256", "sha384", "sha512", "sha3_256", "blake2b"]


@tool(category="encoding", pure=True)
def hash(data: str | bytes, algorithm: Algorithm = "sha256") -> str:  # noqa: A001 - its Lua name
    """Compute the hash of some data, in hexadecimal.

    Args:
        data: Text (as UTF-8) or bytes.
        algorithm: The hash function. md5 and sha1 do not protect against forgery.
    """
    import hashlib

    return hashlib.new(algorithm, as_bytes(data), usedforsecurity=False).hexdigest()


@tool(category="encoding", pure=True)
def hmac(key: str | bytes, data: str | bytes, algorithm: Algorithm = "sha256") -> str:
    """Compute the keyed hash (HMAC, RFC 2104) of some data, in hexadecimal.

    Args:
        key: The secret: text (as UTF-8) or bytes.
        data: Text (as UTF-8) or bytes.
        algorithm: The hash function.
    """
    from hmac import digest

    return digest(as_bytes(key), as_bytes(data), algorithm).hex()


@tool(category="encoding", pure=True)
async def uuid() -> str:
    """Generate a random id: a UUID of version 4 (RFC 9562), 36 characters."""
    from uuid import uuid4

    return str(uuid4())


@tool(category="encoding", pure=True)
async def base64_encode(data: str | bytes, url_safe: bool = False) -> str:
    """Encode data as Base64 (RFC 4648), with padding.

    Args:
        data: Text (as UTF-8) or bytes.
        url_safe: Use `-` and `_` instead of `+` and `/`.
    """
    import base64

    encode = base64.urlsafe_b64encode if url_safe else base64.b64encode
    return encode(as_bytes(data)).decode()


@tool(category="encoding", pure=True)
async def base64_decode(text: str) -> str | bytes:
    """Decode Base64 (RFC 4648) in either alphabet, to text, or to bytes if that is not UTF-8.

    Args:
        text: The Base64. Whitespace is ignored, and padding may be missing.
    """
    import base64
    import binascii

    compact = "".join(text.split()).rstrip("=").replace("-", "+").replace("_", "/")
    try:
        data = base64.b64decode(compact + "=" * (-len(compact) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ToolError(
            "the text is not Base64", hint="it may contain A-Z, a-z, 0-9, + and / or - and _, and ="
        ) from error
    return text_or_bytes(data)


@tool(category="encoding", pure=True)
async def url_encode(text: str | bytes) -> str:
    """Percent-encode text for any part of a URL (RFC 3986): all except letters, digits and `-._~`.

    Args:
        text: Text (as UTF-8) or bytes.
    """
    from urllib.parse import quote

    return quote(text, safe="")


@tool(category="encoding", pure=True)
async def url_decode(text: str) -> str | bytes:
    """Decode percent-encoded text, to text, or to bytes if that is not UTF-8.

    Args:
        text: The encoded text. A `+` stays a `+`.
    """
    from urllib.parse import unquote_to_bytes

    return text_or_bytes(unquote_to_bytes(text))
