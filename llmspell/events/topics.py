"""Topics of events, and patterns that match them."""

from __future__ import annotations

from collections.abc import Sequence

MAX_LENGTH = 256  # characters of a topic or pattern
MAX_PARTS = 16


def check_topic(topic: str) -> str:
    """Return a topic after checking it: non-empty parts separated by dots, such as `order.paid`.

    Raises:
        ValueError: The topic is invalid.
    """
    if any("*" in part for part in _parts(topic, "topic")):
        raise ValueError(f"{topic!r} is not a topic: only a pattern may contain *")
    return topic


class Pattern:
    """A pattern that matches topics.

    `*` matches any one part, or at the end one or more; `**` matches any number of parts, including
    none.
    """

    def __init__(self, text: str) -> None:
        """Parse a pattern. Raises ValueError if it is invalid."""
        self.text = text
        parts = _parts(text, "pattern")
        if any("*" in part and part not in ("*", "**") for part in parts):
            raise ValueError(
                f"{text!r} is not a pattern: a * stands for whole parts, as in order.*"
            )
        self._parts = [*parts, "**"] if parts[-1] == "*" else parts

    def matches(self, topic: str) -> bool:
        return _match(self._parts, topic.split("."))


def _match(pattern: Sequence[str], topic: Sequence[str]) -> bool:
    """Match in at most as many steps as the product of the numbers of parts."""
    at = 0
    open_at, taken = -1, 0  # the last `**`, and the end of what it matches so far
    position = 0
    while position < len(topic):
        part = pattern[at] if at < len(pattern) else None
        if part == "**":
            open_at, taken = at, position
            at += 1
        elif part in ("*", topic[position]):
            at += 1
            position += 1
        elif open_at >= 0:
            taken += 1
            at, position = open_at + 1, taken
        else:
            return False
    return all(part == "**" for part in pattern[at:])


def _parts(text: str, what: str) -> list[str]:
    if not isinstance(text, str) or not 0 < len(text) <= MAX_LENGTH:
        raise ValueError(
            f"a {what} must be a string of 1 to {MAX_LENGTH} characters, not {text!r:.50}"
        )
    parts = text.split(".")
    if not all(parts) or len(parts) > MAX_PARTS:
        raise ValueError(
            f"{text!r:.50} is not a {what}: it must have 1 to {MAX_PARTS} parts separated by dots"
        )
    return parts
