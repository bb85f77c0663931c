from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any, Literal, NamedTuple, get_args

from llmspell.frozen import Frozen
from llmspell.permissions.hosts import EVERY_HOST, EVERY_PUBLIC_HOST, host_in, host_matcher, is_host
from llmspell.permissions.paths import (
    is_decisive,
    path_matcher,
    place_of,
    program_matcher,
    program_place,
)

Kind = Literal["read", "write", "net", "run", "env", "tool", "llm"]
KINDS: tuple[Kind, ...] = get_args(Kind)

EVERYTHING = "*"
_WILDCARDS = "*?["  # of `fnmatch`

Targets = tuple[str, ...] | None


class Need(NamedTuple):
    """One thing that an effect is about to access.

    Attributes:
        kind: The kind of access.
        target: A path for read and write, a URL for net, a program for run, the name of a variable
            for env and of a tool for tool, "provider/model" for llm.
    """

    kind: Kind
    target: str

    @property
    def place(self) -> str:
        """The resolved target: a path with links followed, the host of a URL; "" if there is none.

        It is also "" for a target that would have a wider meaning in a grant.
        """
        if self.kind in ("read", "write"):
            return str(place_of(self.target) or "")
        if self.kind == "net":
            host = host_in(self.target)
            return "" if EVERYTHING in host else host
        return "" if self == ("run", EVERYTHING) else self.target


def targets_in(kind: Kind, given: Iterable[str]) -> Targets:
    """Return the targets in a list, where `*` grants everything and an empty list nothing."""
    targets = tuple(dict.fromkeys(given))
    if EVERYTHING in targets and (kind != "net" or len(targets) == 1):
        return ()
    return targets or None


def problems_in(lists: Mapping[Any, Iterable[str]]) -> list[str]:
    """Return what is wrong with lists of targets by kind: those that could never cover anything.

    Such a target is a mistake, and as a denial a dangerous one: nothing would be denied.
    """
    empty = [kind for kind, targets in lists.items() if "" in targets]
    hosts = [target for target in lists.get("net", ()) if target and not is_host(target)]
    models = [target for target in lists.get("llm", ()) if target and not _may_be_model(target)]
    return [
        *(f"{kind}: '' names nothing" for kind in empty),
        *(f"net: {host!r} is not a host such as example.com:8080 or 10.0.0.0/8" for host in hosts),
        *(
            f"llm: {name!r} is not a model such as openai/gpt-5.4-mini or openai/*"
            for name in models
        ),
    ]


def _may_be_model(target: str) -> bool:
    return not {"/", *_WILDCARDS}.isdisjoint(target)


def is_always_denied(need: Need) -> bool:
    """Return whether nothing can grant it: it writes what decides what later runs may do."""
    place = place_of(need.target) if need.kind == "write" else None
    return place is not None and is_decisive(place)


class Grants(Frozen):
    """What may be accessed. For each kind, None grants nothing and an empty tuple everything.

    Attributes:
        read: Folders and files. A path includes everything below it; links and `..` are resolved
            before the check.
        write: Likewise; code of the project has to be named explicitly, see `project_code.py`.
        net: Hosts: `example.com`, `example.com:8080`, `[::1]`, `10.0.0.0/8`, or `*.example.com` for
            subdomains. A host without a port includes all its ports. Everything, also written `*`,
            means all public hosts; `localhost` and non-public addresses are granted only by name,
            or by `**`, which means every host.
        run: Programs, by name or path.
        env: Names of environment variables; here and below, `*` matches any text.
        tool: Names of tools.
        llm: Models: `openai/gpt-5.4-mini`, `openai/*`.
    """

    read: Targets = None
    write: Targets = None
    net: Targets = None
    run: Targets = None
    env: Targets = None
    tool: Targets = None
    llm: Targets = None

    def __post_init__(self) -> None:
        for kind in KINDS:
            given: Any = self[kind]
            if given is None or (type(given) is tuple and all(type(one) is str for one in given)):
                continue
            if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
                raise TypeError(f"{kind}: {given!r} must be in a tuple: ({given!r},)")
            targets = tuple(os.fspath(one) for one in given)
            if not targets and type(given) is not tuple:
                raise TypeError(
                    f"{kind}: {given!r} is ambiguous: None grants nothing, () everything"
                )
            self.__dict__[kind] = targets

    @classmethod
    def all(cls) -> Grants:
        return cls((), (), (EVERY_HOST,), (), (), (), ())

    @classmethod
    def from_lists(cls, lists: Mapping[Any, Iterable[str]]) -> Grants:
        """Create grants from a list for each kind, as read by `targets_in`."""
        return cls(**{kind: targets_in(kind, lists.get(kind, ())) for kind in KINDS})

    def as_lists(self) -> dict[Kind, list[str]]:
        """Return the grants as lists, without kinds that grant nothing."""
        every = {kind: self[kind] for kind in KINDS}
        return {k: list(t) or [EVERYTHING] for k, t in every.items() if t is not None}

    @classmethod
    def of(cls, need: Need) -> Grants:
        """Return the grant that allows exactly one need."""
        named = need.kind in ("env", "tool", "llm")
        target = _literal(need.place) if named else need.place
        return cls(**{need.kind: (target,)})

    def __getitem__(self, kind: Kind) -> Targets:
        targets: Targets = getattr(self, kind)
        return targets

    def __bool__(self) -> bool:
        """Whether anything is granted."""
        return any(self[kind] is not None for kind in KINDS)

    def merged(self, other: Grants) -> Grants:
        """Return everything that either of the two grants."""
        if other == NOTHING:
            return self
        if self == NOTHING:
            return other
        return Grants(*(_union(kind, self[kind], other[kind]) for kind in KINDS))

    def resolved(self) -> Grants:
        """Return the grants with resolved paths."""
        return replace(
            self,
            read=self.read and tuple(map(_place, self.read)),
            write=self.write and tuple(map(_place, self.write)),
            run=self.run and tuple(map(_program, self.run)),
        )

    def beyond(self, other: Grants) -> Grants:
        """Return the part that `other` does not grant."""
        lists = self.as_lists()
        return Grants.from_lists(
            {kind: [t for t in lists.get(kind, ()) if not other._cover(kind, t)] for kind in KINDS}
        )

    def allows(self, need: Need) -> bool:
        return self._hold(need, everything=need.kind != "net")

    def forbids(self, need: Need) -> bool:
        """Like `allows`, for grants that list what is denied: everything includes non-public hosts."""
        return self._hold(need, everything=True)

    def _cover(self, kind: Kind, target: str) -> bool:
        """Return whether a target is granted already."""
        if target in (EVERYTHING, EVERY_HOST):
            held = self.as_lists().get(kind, ())
            return target in held or EVERY_HOST in held
        if kind in ("read", "write"):
            target = _place(target)
        return self.allows(Need(kind, f"//{target}" if kind == "net" else target))

    def _hold(self, need: Need, *, everything: bool) -> bool:
        targets = self[need.kind]
        if targets is None:
            return False
        if not targets or EVERYTHING in targets:
            if everything:
                return True
            targets = targets or (EVERY_PUBLIC_HOST,)
        return any(map(_MATCHERS[need.kind](need.target), targets))


NOTHING = Grants()


def _union(kind: Kind, a: Targets, b: Targets) -> Targets:
    if a is None or b is None:
        return a if b is None else b
    if kind == "net" and (a or b):  # all public hosts do not include named non-public ones
        a, b = a or (EVERY_PUBLIC_HOST,), b or (EVERY_PUBLIC_HOST,)
    return () if not a or not b else tuple(dict.fromkeys(a + b))


def _place(path: str) -> str:
    return str(place_of(path, expand=True) or path)


def _program(program: str) -> str:
    place = program_place(program, expand=True) if "/" in program else None
    return str(place or program)


def _name_matcher(name: str) -> Callable[[str], bool]:
    return lambda granted: granted == name or fnmatchcase(name, granted)


def _literal(name: str) -> str:
    """Return a pattern that matches exactly this name."""
    return re.sub(f"[{re.escape(_WILDCARDS)}]", r"[\g<0>]", name)


# Functions that take the needed target, and return whether a granted target covers it.
_MATCHERS: dict[Kind, Callable[[str], Callable[[str], bool]]] = {
    "read": path_matcher,
    "write": path_matcher,
    "net": host_matcher,
    "run": program_matcher,
    "env": _name_matcher,
    "tool": _name_matcher,
    "llm": _name_matcher,
}
