"""Keeps secrets out of the journal."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from llmspell.base64_secrets import in_base64
from llmspell.journal.stored_values import text_of
from llmspell.values import Value

REDACTED = "[redacted]"

_SHORTEST = 8  # characters; anything shorter is too common in ordinary text


class Redaction:
    """Replaces secrets in values with `[redacted]`; idempotent.

    Args:
        secrets: Texts that must not be stored, such as the API keys of providers.
        patterns: Regular expressions for further secrets; if one has groups, only those are
            redacted.
    """

    def __init__(self, secrets: Iterable[str] = (), patterns: Iterable[str] = ()) -> None:
        words = {word for secret in secrets for word in secret.split() if len(word) >= _SHORTEST}
        ways = {way for word in words for way in {word} | in_base64(word)}
        forms = {form for way in ways for form in _forms(way)}
        self._words = sorted(forms, key=len, reverse=True)
        self._patterns = [re.compile(pattern) for pattern in patterns]

    def text_of(self, value: Value, *, in_order: bool = False) -> str:
        """Encode a value as text, see stored_values.py, with `[redacted]` in place of secrets."""
        text = text_of(value, in_order=in_order)
        if self._patterns or '"$bytes"' in text or self._has_word(text):
            return text_of(self._cleaned(value), in_order=in_order)
        return text

    def _has_word(self, text: str) -> bool:
        for word in self._words:  # noqa: SIM110 - a hot path: a generator would cost more
            if word in text:
                return True
        return False

    def text(self, text: str) -> str:
        """Return a text with `[redacted]` in place of secrets."""
        for word in self._words:
            if word in text:
                text = text.replace(word, REDACTED)
        for pattern in self._patterns:
            text = pattern.sub(_redact_match, text)
        return text

    def data(self, data: bytes) -> bytes:
        """Redact bytes that may contain text."""
        if not self._words and not self._patterns:
            return data
        return self.text(data.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")

    def _cleaned(self, value: Value) -> Value:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, bytes):
            return self.data(value)
        if isinstance(value, dict):
            return {self._cleaned(key): self._cleaned(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._cleaned(item) for item in value]
        return value


def _redact_match(match: re.Match[str]) -> str:
    if not match.re.groups:
        return REDACTED
    text, start = match[0], match.start()
    for group in range(match.re.groups, 0, -1):
        if match[group] is not None:
            begin, end = match.start(group) - start, match.end(group) - start
            text = text[:begin] + REDACTED + text[end:]
    return text


def _forms(word: str) -> set[str]:
    """Return the forms of a text within JSON, and within JSON that is a string in JSON."""
    once = json.dumps(word)[1:-1]
    plain = json.dumps(word, ensure_ascii=False)[1:-1]
    forms = {word, once, plain, once.replace("/", "\\/")}
    return forms | {json.dumps(form)[1:-1] for form in forms}
