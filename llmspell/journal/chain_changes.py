"""How the hooks and the middleware of the host differ from those that a run was recorded with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

Chain = Mapping[str, Sequence[str]]
"""The names of the host's hooks and middleware in their order: {hooks, middleware}."""


def chain_changes(then: Chain | None, now: Chain) -> str:
    """Describe the changes, or return "" if there are none.

    `then` is None if a run was recorded without its chain.
    """
    if then is None:
        return ""
    return " and ".join(chain.from_iterable(_changes(kind, then, now) for kind in now))


def _changes(kind: str, then: Chain, now: Chain) -> Iterator[str]:
    old, new = (list(dict.fromkeys(names)) for names in (then.get(kind) or (), now[kind]))
    added, removed = [n for n in new if n not in old], [n for n in old if n not in new]
    for names, what in ((added, "added"), (removed, "removed")):
        if names:
            singular = kind if kind == "middleware" else kind.removesuffix("s")
            has = "was" if len(names) == 1 else "were"
            yield f"the {singular if len(names) == 1 else kind} {', '.join(names)} {has} {what}"
    if not (added or removed) and old != new:
        yield f"the order of the {kind} was changed"
