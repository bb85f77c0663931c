"""Checks the content encoding of HTTP responses."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx2


def check_content_encoding(response: httpx2.Response) -> None:
    """Raise httpx2's `DecodingError` for a body that is compressed more than once.

    Each decompression may expand it a thousandfold, and the intermediate size is not checked.
    """
    import httpx2

    named = response.headers.get_list("content-encoding", split_commas=True)
    packed = [coding for coding in named if coding.strip().lower() not in ("", "identity")]
    if len(packed) > 1:
        raise httpx2.DecodingError(f"the body is compressed more than once: {', '.join(packed)}")
