"""What a fake server needs to know of a protocol."""

from __future__ import annotations

from typing import Any, Protocol

from llmspell.testing.fakes.answers import Answer
from llmspell.testing.fakes.requests import Received


class Dialect(Protocol):
    """How one protocol writes answers.

    Attributes:
        name: The provider's, or the protocol's where one provider has two.
    """

    name: str

    def answers(self, path: str) -> bool:
        """Whether requests to that path are in this dialect."""
        ...

    def streams(self, request: Received) -> bool:
        """Whether the answer is wanted piece by piece."""
        ...

    def key(self, request: Received) -> str | None:
        """The key it was sent with."""
        ...

    def problem(self, request: Received) -> str | None:
        """What the real server would refuse in the request, or None."""
        ...

    def body(self, answer: Answer, request: Received) -> dict[str, Any]:
        """The answer, whole."""
        ...

    def events(self, answer: Answer, request: Received) -> list[bytes]:
        """The answer, as server-sent events."""
        ...

    def error(self, status: int, message: str, code: str | None = None) -> dict[str, Any]:
        """The body of an answer that is an error."""
        ...

    def error_event(self, status: int, message: str) -> bytes:
        """An error in the middle of a stream."""
        ...

    def unknown_event(self) -> bytes:
        """An event of a kind no client knows."""
        ...
