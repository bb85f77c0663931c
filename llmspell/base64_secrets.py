"""How a secret stands in a text that was put into base64, with whatever is before and after it."""

from __future__ import annotations

import base64

_BITS, _BYTES = 6, 8  # of a character and of what it stands for


def in_base64(secret: str) -> set[str]:
    """The characters that stand for a secret alone, wherever it begins, in both alphabets."""
    data = secret.encode("utf-8", "surrogatepass")
    found = set()
    for before in range(3):  # three bytes are four characters, so it may begin in three ways
        first = -(-before * _BYTES // _BITS)
        last = (before + len(data)) * _BYTES // _BITS
        for encoded in (base64.b64encode, base64.urlsafe_b64encode):
            found.add(encoded(bytes(before) + data).decode()[first:last])
    return found
