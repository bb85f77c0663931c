"""How the body of a response is packed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx2


def check_content_encoding(response: httpx2.Response) -> None:
    """Raise httpx2's `DecodingError` for a body that is packed more than once.

    Each time it may grow a thousandfold, and of what is between two of them nobody sees the size.
    """
    import httpx2

    named = response.headers.get_list("content-encoding", split_commas=True)
    packed = [coding for coding in named if coding.strip().lower() not in ("", "identity")]
    if len(packed) > 1:
        raise httpx2.DecodingError(f"the body is packed more than once: {', '.join(packed)}")
