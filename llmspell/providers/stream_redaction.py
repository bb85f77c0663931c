"""Redacts secrets in streamed answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from llmspell.providers.messages import Delta, ToolCallDelta
from llmspell.providers.redaction import REDACTED, forms_of, redact_complete
from llmspell.providers.strict_json import read_json, write_json


class StreamRedactor:
    """Holds back the end of a text as long as it may be the beginning of a secret.

    When a delta of another text arrives, such as another call's arguments, the held text is
    released to keep the order. If it turns out to be the beginning of a secret, the rest of that
    is redacted.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = list(secrets)
        self._forms = forms_of(self._secrets)
        self._first = {form[0] for form in self._forms}
        self._held: Delta | None = None
        self._released: dict[_Place, str] = {}

    def feed(self, delta: Delta) -> Iterable[Delta]:
        """Return the deltas that can be shown once this one has arrived."""
        if self._held is None and not self._released and self._first.isdisjoint(_text(delta)):
            return (delta,)  # no secret can begin or continue here
        return self._release(delta)

    def rest(self) -> Iterable[Delta]:
        """Return the delta still held back at the end of the stream, if any."""
        held, self._held = self._held, None
        return () if held is None else (held,)

    def cleaned(self, answer: dict[str, Any]) -> dict[str, Any]:
        """Redact the whole answer by `redact_complete`."""
        if not self._forms:
            return answer
        written = write_json(answer)
        clean = redact_complete(written, self._secrets)
        cleaned: dict[str, Any] = answer if clean == written else read_json(clean)
        return cleaned

    def _release(self, delta: Delta) -> Iterator[Delta]:
        place = _place(delta)
        if self._held is not None and _place(self._held) != place:
            yield self._held
            other = _place(self._held)
            self._released[other] = self._released.get(other, "") + _text(self._held)
            self._held = None
        before = self._released.pop(place, "")
        whole = delta if self._held is None else self._held
        text = before + ("" if whole is delta else _text(whole)) + _text(delta)
        for form in self._forms:
            text = text.replace(form, REDACTED)
        kept = max(_beginning(text, form) for form in self._forms)
        text = text[_shared(before, text) :]
        if kept > len(text):
            self._released[place] = before
        at = max(len(text) - kept, 0)
        if at or not text:
            yield _with_text(whole, text[:at])
            whole = _continued(whole)
        self._held = _with_text(whole, text[at:]) if at < len(text) else None


_Place = tuple[type, int]


def _place(delta: Delta) -> _Place:
    """Return which of the answer's texts the delta belongs to."""
    return type(delta), delta.index if isinstance(delta, ToolCallDelta) else 0


def _text(delta: Delta) -> str:
    return delta.arguments if isinstance(delta, ToolCallDelta) else delta.text


def _with_text(delta: Delta, text: str) -> Delta:
    if isinstance(delta, ToolCallDelta):
        return replace(delta, arguments=text)
    return type(delta)(text)


def _continued(delta: Delta) -> Delta:
    return ToolCallDelta(delta.index) if isinstance(delta, ToolCallDelta) else delta


def _shared(one: str, other: str) -> int:
    """Return the length of the common prefix."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)))


def _beginning(text: str, form: str) -> int:
    """Return the length of the longest end of the text that is a prefix of the form."""
    at = text.find(form[0], max(len(text) - len(form) + 1, 0))
    while at >= 0 and not form.startswith(text[at:]):
        at = text.find(form[0], at + 1)
    return len(text) - at if at >= 0 else 0
