"""The interface of the protocols that a fake server speaks."""

from __future__ import annotations

from typing import Any, Protocol

from llmspell.testing.fakes.answers import Answer
from llmspell.testing.fakes.requests import Received


class Dialect(Protocol):
    """One protocol's requests and answers.

    Attributes:
        name: Name of the provider, or of the protocol if the provider has two.
    """

    name: str

    def answers(self, path: str) -> bool:
        """Whether requests to that path use this protocol."""
        ...

    def streams(self, request: Received) -> bool:
        """Whether the request asks for a streamed answer."""
        ...

    def key(self, request: Received) -> str | None:
        """Return the API key of the request, or None."""
        ...

    def problem(self, request: Received) -> str | None:
        """Return why the real server would reject the request, or None."""
        ...

    def body(self, answer: Answer, request: Received) -> dict[str, Any]:
        """Return the body of an answer that is not streamed."""
        ...

    def events(self, answer: Answer, request: Received) -> list[bytes]:
        """Return the answer as server-sent events."""
        ...

    def error(self, status: int, message: str, code: str | None = None) -> dict[str, Any]:
        """Return the body of an error."""
        ...

    def error_event(self, status: int, message: str) -> bytes:
        """Return the event for an error in the middle of a stream."""
        ...

    def unknown_event(self) -> bytes:
        """Return an event of a type that no client knows."""
        ...
