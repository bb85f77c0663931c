from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from llmspell.values import LuaFunction, NotPlain, Value

ROOM = 8 << 20
"""The approximate bytes of data in one backlog, regardless of its number of events."""

_ATOM = 32  # approximate bytes of the smallest value


@dataclass(frozen=True, slots=True, eq=False)
class Event:
    """An event. Subscribers share it, so its data must not be changed.

    Attributes:
        topic: For example "order.paid".
        data: A plain value.
        source: The publisher: "runtime", "host", or the id of a run.
        number: Its place among the events of its bus, from 1.
        time: Seconds since 1970.
        weight: The approximate size of its data in memory, in bytes.
    """

    topic: str
    data: Value
    source: str
    number: int
    time: float
    weight: int

    def as_plain(self) -> dict[str, Value]:
        return {
            "topic": self.topic,
            "data": self.data,
            "source": self.source,
            "number": self.number,
            "time": self.time,
        }


def weight_of(data: Value) -> int:
    """Return the approximate size of a plain value in bytes. Raises NotPlain for a Lua function."""
    kind = type(data)
    if kind is str or kind is bytes:
        return _ATOM + len(data)
    if kind is dict:
        weight = _ATOM
        for key, value in data.items():
            weight += weight_of(key)
            weight += _ATOM + len(value) if type(value) is str else weight_of(value)
        return weight
    if kind is list:
        return _ATOM + sum(map(weight_of, data))
    if kind is not LuaFunction:
        return _ATOM
    raise NotPlain("a function cannot be published")


class Backlog:
    """A queue of events, limited to `size` events and `ROOM` bytes."""

    __slots__ = ("_events", "_weight", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self._events: deque[Event] = deque()
        self._weight = 0

    def fits(self, event: Event) -> bool:
        return len(self._events) < self.size and self._weight + event.weight <= ROOM

    def put(self, event: Event) -> int:
        """Add an event; return how many of the oldest were dropped to make room."""
        dropped = 0
        while self._events and not self.fits(event):
            self.take()
            dropped += 1
        self._events.append(event)
        self._weight += event.weight
        return dropped

    def take(self) -> Event:
        event = self._events.popleft()
        self._weight -= event.weight
        return event

    def discard(self, is_it: Callable[[Event], bool]) -> bool:
        """Remove the oldest event of which `is_it` is true; return whether there was one."""
        for event in self._events:
            if is_it(event):
                self._events.remove(event)
                self._weight -= event.weight
                return True
        return False

    def clear(self) -> None:
        self._events.clear()
        self._weight = 0

    def __len__(self) -> int:
        return len(self._events)

    def __iter__(self) -> Iterator[Event]:
        return iter(self._events)
