"""Finds the base64 form of a secret inside a longer encoded text."""

from __future__ import annotations

import base64

_BITS, _BYTES = 6, 8  # bits per base64 character and per byte


def in_base64(secret: str) -> set[str]:
    """Return the characters that encode only the secret, for each offset and both alphabets."""
    data = secret.encode("utf-8", "surrogatepass")
    forms = set()
    for before in range(3):  # three bytes make four characters, so there are three alignments
        first = -(-before * _BYTES // _BITS)
        last = (before + len(data)) * _BYTES // _BITS
        for encoded in (base64.b64encode, base64.urlsafe_b64encode):
            forms.add(encoded(bytes(before) + data).decode()[first:last])
    return forms
