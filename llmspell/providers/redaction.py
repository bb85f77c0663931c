"""Redacts secrets in messages, answers and logs.

A server may quote the key it was sent, whole, truncated or partly masked. So every stretch that a
message has in common with a secret is redacted, and anything else that looks like a key.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from llmspell.base64_secrets import in_base64
from llmspell.providers.strict_json import write_json

REDACTED = "[redacted]"
LOGGER = "llmspell.providers.http"

_STRETCH = 8  # characters; an error message does not share that many with a random key by chance
_LOOKS_LIKE_KEY = re.compile(
    r"\b(?:sk|pk|gsk|xai|tgp|fw|csk|key)[-_][\w*.\-]{6,}|\bBearer\s+[^\s\"',;]{6,}"
    r"|(?<=://)[^\s/@]+(?=@)"  # a URL's user and password
)
_NAMES_OF_SECRETS = re.compile(r"auth|key|token|secret|cookie|password", re.IGNORECASE)


def secrets_in(key: str | None, headers: Mapping[str, str]) -> list[str]:
    """Return the key, and the values of headers whose names suggest a secret."""
    secrets = [text for name, text in headers.items() if names_a_secret(name)]
    return [*([key] if key else []), *secrets]


def names_a_secret(name: str) -> bool:
    """Whether a header or setting of that name is likely to hold a secret."""
    return _NAMES_OF_SECRETS.search(name) is not None


def redacted(text: str, secrets: Iterable[str]) -> str:
    """Replace secrets, parts of them and anything that looks like a key by `[redacted]`."""
    hidden = bytearray(len(text))
    secrets = list(secrets)
    encoded = {encoding for word in _words(secrets) for encoding in in_base64(word)}
    for secret in (*secrets, *encoded):
        for start, end in _shared(text, secret):
            hidden[start:end] = b"\x01" * (end - start)
    for match in _LOOKS_LIKE_KEY.finditer(text):
        hidden[match.start() : match.end()] = b"\x01" * (match.end() - match.start())
    pieces: list[str] = []
    shown = 0
    for stretch in re.finditer(rb"\x01+", hidden):
        pieces += text[shown : stretch.start()], REDACTED
        shown = stretch.end()
    return "".join((*pieces, text[shown:]))


def redact_complete(text: str, secrets: Iterable[str]) -> str:
    """Replace complete secrets in a model's answer, which is JSON text, by `[redacted]`.

    Text that merely looks like a key stays: an answer may well be about keys.
    """
    for form in forms_of(secrets):
        text = text.replace(form, REDACTED)
    return text


def forms_of(secrets: Iterable[str]) -> tuple[str, ...]:
    """Return every encoding in which a secret's words may appear, except for short words."""
    return _forms_of(tuple(secrets))


@lru_cache(maxsize=64)  # a provider's answers are all searched for the same few secrets
def _forms_of(secrets: tuple[str, ...]) -> tuple[str, ...]:
    encodings = {encoding for word in _words(secrets) for encoding in {word} | in_base64(word)}
    return tuple(
        sorted(
            {form for encoding in encodings for form in {encoding} | _in_json(encoding)},
            reverse=True,
        )
    )


def _words(secrets: Iterable[str]) -> set[str]:
    return {word for secret in secrets for word in secret.split() if len(word) >= _STRETCH}


def _in_json(text: str) -> set[str]:
    """Return the encodings to escape a text in JSON, also in JSON nested in a JSON string."""
    once = write_json(text)[1:-1]
    forms = {once, once.replace("/", "\\/")}
    return forms | {write_json(form)[1:-1] for form in forms}


class RedactingFilter(logging.Filter):
    """Redacts secrets in the HTTP library's logs, which quote response headers."""

    _LOGGERS = (LOGGER, *(f"httpcore2.{n}" for n in ("connection", "http11", "proxy", "socks")))

    def __init__(self, secrets: Iterable[str]) -> None:
        super().__init__()
        self._secrets = tuple(secrets)

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redacted(record.getMessage(), self._secrets), ()
        return True

    def begin(self) -> None:
        for name in self._LOGGERS:
            logging.getLogger(name).addFilter(self)

    def end(self) -> None:
        for name in self._LOGGERS:
            logging.getLogger(name).removeFilter(self)


def _shared(text: str, secret: str) -> Iterable[tuple[int, int]]:
    """Yield start and end of each stretch that the text has in common with the secret."""
    length = min(_STRETCH, len(secret))
    if length < _STRETCH // 2:
        return  # "x" or "none" are placeholder keys, for servers that need none
    for start in range(len(secret) - length + 1):
        stretch = secret[start : start + length]
        at = text.find(stretch)
        while at >= 0:
            yield at, at + length
            at = text.find(stretch, at + 1)
