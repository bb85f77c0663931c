"""Registries of named items, with lookup by name, category, tag and full-text search."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable, ItemsView, Iterable, Iterator, Mapping, Sequence, ValuesView
from threading import Lock
from typing import Generic, Self, TypeVar

from llmspell.errors import UnknownEffect
from llmspell.suggestions import similar

FIRST_VERSION = "1"


T = TypeVar("T")


class Searchable(Generic[T]):
    """A collection that can be listed by category or tag, and searched.

    An item has a `name`, and may have a `category`, `tags` and a `description`.
    """

    @abstractmethod
    def values(self) -> Iterable[T]:
        """The items."""

    def by_category(self) -> dict[str, list[T]]:
        """Return the categories in order, each with its items sorted by name."""
        groups: dict[str, list[T]] = {}
        for item in self.values():
            groups.setdefault(_category(item), []).append(item)
        return dict(sorted(groups.items()))

    def by_tag(self) -> dict[str, list[T]]:
        """Return the tags in order, each with its items sorted by name."""
        groups: dict[str, list[T]] = {}
        for item in self.values():
            for tag in dict.fromkeys(_tags(item)):
                groups.setdefault(tag, []).append(item)
        return dict(sorted(groups.items()))

    def search(
        self, text: str = "", *, category: str | None = None, tag: str | None = None
    ) -> list[T]:
        """Return the items with every word of a text in their name, tags, category or description.

        Args:
            text: Words; without any, all items match.
            category: Only items of this category.
            tag: Only items with this tag.

        Returns:
            Matches in the name first, then those in tags or category, then those in the
            description; otherwise sorted by name.
        """
        words = text.lower().split()
        items = self.values() if category is None else self.by_category().get(category, ())
        ranked = [(_rank(words, t), t) for t in items if tag is None or tag in _tags(t)]
        fitting = [(rank, item) for rank, item in ranked if rank is not None]
        return [item for _, item in sorted(fitting, key=lambda pair: -pair[0])]


class Registry(Mapping[str, T], Searchable[T]):
    """A mapping from names to items of one kind.

    A name may have several versions: `weather@1` is one of them, `weather` the newest. Iteration
    yields plain names only.

    Writes are copy-on-write, so readers never wait and iteration is never disturbed, in any
    thread. A registry with a `parent` also shows the parent's items, which its own of the same name
    override, whatever the versions. This is how a run sees all tools of its runtime and defines
    some of its own.

    Attributes:
        kind: What it holds, for messages: "tool".
    """

    def __init__(self, kind: str, parent: Registry[T] | None = None) -> None:
        self.kind = kind
        self._parent = parent
        # Each item is stored as name@version, and the newest version of a name under the name too.
        self._own: Mapping[str, T] = {}
        self._writing = Lock()
        self._indexed: bool = parent is not None and parent._indexed  # noqa: SLF001 - its own kind
        self._named: tuple[Mapping[str, T], list[str]] | None = None
        self._index: tuple[list[Mapping[str, T]], dict[str, list[T]]] | None = None

    def with_category_index(self) -> Self:
        """Cache the items by category until something changes, and return the registry.

        Registries created later with this one as parent do the same.
        """
        self._indexed = True
        return self

    def register(
        self, name: str, item: T, *, version: str = FIRST_VERSION, replace: bool = False
    ) -> None:
        """Add an item.

        Args:
            name: Any name without an `@`.
            item: The item.
            version: Numbers separated by dots: "2", "1.10".
            replace: Whether to replace an item with the same name and version.

        Raises:
            ValueError: The name or version is invalid, or this registry has both already and
                `replace` is false.
        """
        version_order(version)
        if "@" in name:
            raise ValueError(f"{name!r} is not a valid name for a {self.kind}: it has an @")
        full = f"{name}@{version}"
        with self._writing:
            if full in self._own and not replace:
                shown = name if version == FIRST_VERSION else full
                raise ValueError(f"a {self.kind} named {shown!r} is already registered")
            items = {**self._own, full: item}
            newest = _versions_of(name, items)[0]
            self._own = {**items, name: items[f"{name}@{newest}"]}

    def own(self) -> dict[str, T]:
        """Return what is registered here, not in the parent, by plain name."""
        return {name: item for name, item in self._own.items() if "@" not in name}

    def own_versions(self) -> list[T]:
        """Return every version that is registered here, not in the parent."""
        return [item for name, item in self._own.items() if "@" in name]

    def remove(self, name: str) -> None:
        """Remove one version, `weather@1`, or all versions in this registry, `weather`.

        Does nothing if there is none.

        Raises:
            ValueError: It belongs to the parent, and would still be visible.
        """
        plain, one, _ = name.partition("@")
        if name not in self._own and self._parent is not None and name in self._parent:
            raise ValueError(
                f"the {self.kind} {name!r} is built in, or shared, and cannot be removed"
            )
        with self._writing:
            gone = {name, plain} if one else {name, *_full_names(plain, self._own)}
            items = {n: item for n, item in self._own.items() if n not in gone}
            if left := _versions_of(plain, items):
                items[plain] = items[f"{plain}@{left[0]}"]
            self._own = items

    def __getitem__(self, name: str) -> T:
        own = self._own
        if name in own:
            return own[name]
        if self._parent is not None:
            return self._parent[name]
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        return name in self._own or (self._parent is not None and name in self._parent)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())

    def items(self) -> ItemsView[str, T]:
        return self._snapshot().items()

    def values(self) -> ValuesView[T]:
        return self._snapshot().values()

    def _snapshot(self) -> dict[str, T]:
        """Return the current items, including any that are removed meanwhile."""
        own = self._own
        items = {name: own[name] for name in _plain_names(own)}
        if self._parent is not None:
            items = {**self._parent._snapshot(), **items}  # noqa: SLF001 - its own kind
        return dict(sorted(items.items()))

    def by_category(self) -> dict[str, list[T]]:
        if not self._indexed:
            return super().by_category()
        seen = self._layers()
        if self._index is None or any(
            old is not new for old, new in zip(self._index[0], seen, strict=True)
        ):
            self._index = seen, super().by_category()
        return {category: list(items) for category, items in self._index[1].items()}

    def _names(self) -> Sequence[str]:
        """Return the plain names, sorted; cached, since every run asks for those of its tools."""
        own = self._own
        if self._named is None or self._named[0] is not own:
            self._named = own, sorted(_plain_names(own))
        names = self._named[1]
        inherited = () if self._parent is None else self._parent._names()  # noqa: SLF001 - its own kind
        return sorted({*names, *inherited}) if names and inherited else names or inherited

    def _layers(self) -> list[Mapping[str, T]]:
        """Return the current mappings of this registry and its parents."""
        return [self._own, *(self._parent._layers() if self._parent is not None else ())]  # noqa: SLF001

    def versions(self, name: str) -> list[str]:
        """Return the versions of a name, newest first, the parent's too; empty for an unknown name."""
        versions = set(_versions_of(name, self._own))
        if self._parent is not None:
            versions.update(self._parent.versions(name))
        return sorted(versions, key=version_order, reverse=True)

    def find(self, name: str) -> T:
        """Return the item of that name.

        Raises:
            UnknownEffect: There is none; the error suggests similar names or the existing versions.
        """
        try:
            return self[name]
        except KeyError:
            raise UnknownEffect(self.kind, name, self._similar(name)) from None

    def _similar(self, name: str) -> list[str]:
        plain, version, _ = name.partition("@")
        if version and (versions := self.versions(plain)):
            return [f"{plain}@{known}" for known in versions]
        return similar(plain, self)


class Loading(Mapping[str, T]):
    """The lazily loaded contents of a registry of built-in items; each is loaded once."""

    def __init__(self, references: Mapping[str, str], load: Callable[[str], T]) -> None:
        """Set up the mapping; `references` are the arguments of `load`, by name."""
        first = {f"{name}@{FIRST_VERSION}": reference for name, reference in references.items()}
        self._references = {**references, **first}
        self._load = load
        self._loaded: dict[str, T] = {}

    def __getitem__(self, name: str) -> T:
        if name not in self._loaded:
            self._loaded[name] = self._load(self._references[name])
        return self._loaded[name]

    def __contains__(self, name: object) -> bool:
        return name in self._references

    def __iter__(self) -> Iterator[str]:
        return iter(self._references)

    def __len__(self) -> int:
        return len(self._references)


def plain_name(name: str) -> str:
    """Return the name without its version: `weather` of `weather@2`."""
    return name.partition("@")[0]


_VERSION = re.compile(r"\d+(\.\d+)*", re.ASCII)


def version_order(version: str) -> tuple[int, ...]:
    """Return the sort key of a version: 1.10 comes after 1.9. Raises ValueError when invalid."""
    if not _VERSION.fullmatch(version):
        raise ValueError(f"{version!r} is not a version: write numbers with dots, such as 1.2")
    return tuple(map(int, version.split(".")))


def _plain_names(items: Mapping[str, object]) -> list[str]:
    return [name for name in items if "@" not in name]


def _full_names(name: str, items: Mapping[str, object]) -> list[str]:
    return [full for full in items if full.startswith(f"{name}@")]


def _versions_of(name: str, items: Mapping[str, object]) -> list[str]:
    """Return the versions of a name, newest first."""
    versions = [full.partition("@")[2] for full in _full_names(name, items)]
    return sorted(versions, key=version_order, reverse=True)


def _category(item: object) -> str:
    return getattr(item, "category", "user")


def _tags(item: object) -> tuple[str, ...]:
    return getattr(item, "tags", ())


def _rank(words: list[str], item: object) -> int | None:
    """Return how well the words match, or None when one of them matches nowhere."""
    ranks = [_rank_of_word(word, item) for word in words]
    return sum(ranks) if all(ranks) else None


def _rank_of_word(word: str, item: object) -> int:
    name = str(getattr(item, "name", "")).lower()
    labels = [label.lower() for label in (*_tags(item), _category(item))]
    if word == name:
        return 5
    if word in name.split("_"):
        return 4
    if word in name:
        return 3
    if word in labels:
        return 2
    description = str(getattr(item, "description", "")).lower()
    return int(re.search(rf"\b{re.escape(word)}", description) is not None)
