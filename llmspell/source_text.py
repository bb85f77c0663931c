"""Decodes the files that people write."""

from __future__ import annotations


def text_of(source: bytes) -> str:
    """Decode UTF-8, without the byte order mark that some editors write.

    Raises:
        ValueError: A line, which the message names, is not UTF-8.
    """
    try:
        return source.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = source.count(b"\n", 0, error.start) + 1
        raise ValueError(f"not UTF-8: byte 0x{source[error.start]:02x} (at line {line})") from None
