"""Named things, found by name with suggestions for a wrong one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

from llmspell.errors import UnknownEffect

T = TypeVar("T")


class Registry(Mapping[str, T], Generic[T]):
    """A mapping from names to things of one kind.

    Registering makes a new dict, so a reader that iterates is never disturbed. A registry with a
    `parent` shows the parent's things too, and its own first: that is how a run, which sees all
    of its runtime's tools, defines some of its own.

    Attributes:
        kind: What it holds, for messages: "tool".
    """

    def __init__(self, kind: str, parent: Registry[T] | None = None) -> None:
        self.kind = kind
        self._parent = parent
        self._own: dict[str, T] = {}

    def register(self, name: str, thing: T, *, replace: bool = False) -> None:
        """Add a thing.

        Raises:
            ValueError: When this registry has that name already and `replace` is false.
        """
        if name in self._own and not replace:
            raise ValueError(f"a {self.kind} named {name!r} is registered already")
        self._own = {**self._own, name: thing}

    def remove(self, name: str) -> None:
        self._own = {n: t for n, t in self._own.items() if n != name}

    def __getitem__(self, name: str) -> T:
        if name in self._own:
            return self._own[name]
        if self._parent is not None:
            return self._parent[name]
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        inherited = () if self._parent is None else self._parent
        return iter(sorted({*self._own, *inherited}))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def find(self, name: str) -> T:
        """The thing of that name.

        Raises:
            UnknownEffect: With the most similar names.
        """
        try:
            return self[name]
        except KeyError:
            import difflib

            similar = difflib.get_close_matches(name, list(self), n=3, cutoff=0.6)
            raise UnknownEffect(self.kind, name, similar) from None
