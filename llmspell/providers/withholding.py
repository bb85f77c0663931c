"""Keeping keys out of an answer that is shown while it is still being given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from llmspell.providers.messages import Delta, ToolCallDelta
from llmspell.providers.redaction import BLOT, forms_of, without_whole
from llmspell.providers.strict_json import read_json, write_json


class Withholding:
    """Holds back the end of what came so far as long as it may be the beginning of a secret."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = list(secrets)
        self._forms = forms_of(self._secrets)
        self._first = {form[0] for form in self._forms}
        self._held: Delta | None = None

    def let_through(self, delta: Delta) -> Iterable[Delta]:
        """What can be shown now that this has come."""
        if self._held is None and self._first.isdisjoint(_text(delta)):
            return (delta,)  # no secret begins here
        return self._passed(delta)

    def rest(self) -> Iterable[Delta]:
        """What is still held back when nothing more comes."""
        held, self._held = self._held, None
        return () if held is None else (held,)

    def cleaned(self, answer: dict[str, Any]) -> dict[str, Any]:
        """The whole answer, as `without_whole` has it."""
        if not self._forms:
            return answer
        written = write_json(answer)
        clean = without_whole(written, self._secrets)
        cleaned: dict[str, Any] = answer if clean == written else read_json(clean)
        return cleaned

    def _passed(self, delta: Delta) -> Iterator[Delta]:
        held = self._held
        if held is not None and not _same_place(held, delta):
            yield held
            held = None
        text = _text(delta) if held is None else _text(held) + _text(delta)
        for form in self._forms:
            text = text.replace(form, BLOT)
        at = len(text) - max(_beginning(text, form) for form in self._forms)
        whole = delta if held is None else held
        if at or not text:
            yield _with_text(whole, text[:at])
            whole = _continued(whole)
        self._held = _with_text(whole, text[at:]) if at < len(text) else None


def _same_place(a: Delta, b: Delta) -> bool:
    if isinstance(a, ToolCallDelta) and isinstance(b, ToolCallDelta):
        return a.index == b.index
    return type(a) is type(b)


def _text(delta: Delta) -> str:
    return delta.arguments if isinstance(delta, ToolCallDelta) else delta.text


def _with_text(delta: Delta, text: str) -> Delta:
    if isinstance(delta, ToolCallDelta):
        return replace(delta, arguments=text)
    return type(delta)(text)


def _continued(delta: Delta) -> Delta:
    return ToolCallDelta(delta.index) if isinstance(delta, ToolCallDelta) else delta


def _beginning(text: str, form: str) -> int:
    """How many of its last characters are the first of the form."""
    at = text.find(form[0], max(len(text) - len(form) + 1, 0))
    while at >= 0 and not form.startswith(text[at:]):
        at = text.find(form[0], at + 1)
    return len(text) - at if at >= 0 else 0
