"""Keeping keys out of what is shown.

A server may quote the key it was sent, whole, cut short or partly masked. So every stretch of
the text that also stands in a secret is blotted out, and whatever else looks like a key.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from llmspell.base64_secrets import in_base64
from llmspell.providers.strict_json import write_json

BLOT = "[redacted]"
LOGGER = "llmspell.providers.http"

_STRETCH = 8  # characters; words of error messages do not share so many with a random key
_LOOKS_LIKE_KEY = re.compile(
    r"\b(?:sk|pk|gsk|xai|tgp|fw|csk|key)[-_][\w*.\-]{6,}|\bBearer\s+[^\s\"',;]{6,}"
    r"|(?<=://)[^\s/@]+(?=@)"  # a URL's user and password
)
_NAMES_OF_SECRETS = re.compile(r"auth|key|token|secret|cookie|password", re.IGNORECASE)


def secrets_in(key: str | None, headers: Mapping[str, str]) -> list[str]:
    """What must not be shown: the key, and the headers that are named like one."""
    secrets = [text for name, text in headers.items() if names_a_secret(name)]
    return [*([key] if key else []), *secrets]


def names_a_secret(name: str) -> bool:
    """Whether a header or setting of that name is likely to hold one."""
    return _NAMES_OF_SECRETS.search(name) is not None


def redacted(text: str, secrets: Iterable[str]) -> str:
    """The text with `[redacted]` in place of secrets, of parts of them, and of likely keys."""
    hidden = bytearray(len(text))
    secrets = list(secrets)
    encoded = {way for word in _words(secrets) for way in in_base64(word)}
    for secret in (*secrets, *encoded):
        for start, end in _shared(text, secret):
            hidden[start:end] = b"\x01" * (end - start)
    for match in _LOOKS_LIKE_KEY.finditer(text):
        hidden[match.start() : match.end()] = b"\x01" * (match.end() - match.start())
    pieces: list[str] = []
    shown = 0
    for stretch in re.finditer(rb"\x01+", hidden):
        pieces += text[shown : stretch.start()], BLOT
        shown = stretch.end()
    return "".join((*pieces, text[shown:]))


def without_whole(text: str, secrets: Iterable[str]) -> str:
    """A model's answer, as JSON, with `[redacted]` in place of each whole secret.

    What merely looks like a key stays: an answer may well be about keys.
    """
    for form in forms_of(secrets):
        text = text.replace(form, BLOT)
    return text


def forms_of(secrets: Iterable[str]) -> tuple[str, ...]:
    """Each way in which a word of a secret may stand in an answer; short words are no secret."""
    return _forms_of(tuple(secrets))


@lru_cache(maxsize=64)  # each answer of a provider is searched for the same few
def _forms_of(secrets: tuple[str, ...]) -> tuple[str, ...]:
    ways = {way for word in _words(secrets) for way in {word} | in_base64(word)}
    return tuple(sorted({form for way in ways for form in {way} | _in_json(way)}, reverse=True))


def _words(secrets: Iterable[str]) -> set[str]:
    return {word for secret in secrets for word in secret.split() if len(word) >= _STRETCH}


def _in_json(text: str) -> set[str]:
    """How a text may stand in JSON, also within JSON that is a string of JSON itself."""
    once = write_json(text)[1:-1]
    forms = {once, once.replace("/", "\\/")}
    return forms | {write_json(form)[1:-1] for form in forms}


class RedactingFilter(logging.Filter):
    """Keeps secrets out of the log of what speaks HTTP, which quotes headers of answers."""

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
    """Where stretches of the text begin and end that it shares with the secret."""
    length = min(_STRETCH, len(secret))
    if length < _STRETCH // 2:
        return  # "x" and "none" are what servers without keys are given
    for start in range(len(secret) - length + 1):
        stretch = secret[start : start + length]
        at = text.find(stretch)
        while at >= 0:
            yield at, at + length
            at = text.find(stretch, at + 1)
