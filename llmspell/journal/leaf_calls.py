"""The calls of leaves into the spell, for as long as somebody may ask about them."""

from __future__ import annotations


class LeafCalls:
    """The calls that leaves have made into the spell, by path.

    A call is forgotten once it has ended and its leaf has, too: until then, what the called function
    has begun may go on.
    """

    def __init__(self) -> None:
        self._paths: set[str] = set()
        self._running: dict[str, str | None] = {}  # the leaf of each call in progress
        self._ended: dict[str, set[str]] = {}  # the other calls of each leaf in progress

    def __len__(self) -> int:
        return len(self._paths)

    def __contains__(self, path: str) -> bool:
        return path in self._paths

    def add(self, path: str, leaf: str | None) -> None:
        """Note a call by the leaf at a path; None for a leaf that is answered from the record."""
        self._paths.add(path)
        self._running.setdefault(path, leaf)
        if leaf is not None:
            self._ended.setdefault(leaf, set())

    def add_unclaimed(self, path: str) -> None:
        """Note a call by a leaf that has yet to reach it."""
        self._paths.add(path)

    def call_ended(self, path: str) -> None:
        if path not in self._running:
            return
        leaf = self._running.pop(path)
        if leaf in self._ended:
            self._ended[leaf].add(path)
        else:
            self._paths.discard(path)

    def leaf_ended(self, leaf: str) -> None:
        self._paths -= self._ended.pop(leaf, set())
