"""Grants: what a run may touch. Nothing is granted by default."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from llmspell.errors import PermissionDenied

Kind = Literal["read", "write", "net"]
KINDS: tuple[Kind, ...] = ("read", "write", "net")


class Need(NamedTuple):
    """One thing an effect is about to touch: a path for read and write, a URL for net."""

    kind: Kind
    target: str


@dataclass(frozen=True)
class Grants:
    """What a run may read, write and reach.

    Each field lists folders and files, or hosts (`example.com`, `example.com:8080`,
    `*.example.com`). None means nothing; an empty tuple means everything. A path grants what
    is below it. Links and `..` are resolved before they are judged.
    """

    read: tuple[str, ...] | None = None
    write: tuple[str, ...] | None = None
    net: tuple[str, ...] | None = None

    @classmethod
    def all(cls) -> Grants:
        return cls(read=(), write=(), net=())

    def merged(self, other: Grants) -> Grants:
        """Everything either of the two grants."""
        return Grants(*(_union(getattr(self, k), getattr(other, k)) for k in KINDS))

    def allows(self, need: Need) -> bool:
        granted = getattr(self, need.kind)
        if granted is None:
            return False
        if not granted:
            return True
        if need.kind == "net":
            return any(_host_matches(g, need.target) for g in granted)
        path = Path(need.target).resolve()
        return any(path.is_relative_to(Path(g).expanduser().resolve()) for g in granted)

    def check(self, need: Need, *, by: str) -> None:
        """Raise `PermissionDenied`, with the flag that would grant it, unless it is granted.

        `by` names the tool or effect that asks.
        """
        if self.allows(need):
            return
        target = _host(need.target) if need.kind == "net" else str(Path(need.target).resolve())
        shown = _host(need.target) if need.kind == "net" else need.target
        verb = {"read": "read", "write": "write", "net": "reach"}[need.kind]
        raise PermissionDenied(
            f"{by} may not {verb} {shown}",
            hint=f"grant it with --allow-{need.kind}={shown}",
            details={"kind": need.kind, "target": target},
        )


def _union(a: tuple[str, ...] | None, b: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if a is None or b is None:
        return a if b is None else b
    return () if not a or not b else tuple(dict.fromkeys(a + b))


def _host(url: str) -> str:
    """`host:port` of a URL, without a port that is the scheme's own."""
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    try:
        port = parts.port
    except ValueError:
        return ""
    default = {"http": 80, "https": 443}.get(parts.scheme)
    shown = f"[{host}]" if ":" in host else host
    return shown if port in (None, default) else f"{shown}:{port}"


def _host_matches(grant: str, url: str) -> bool:
    host = _host(url).lower()
    grant = grant.lower()
    if not host:
        return False
    if host == grant:
        return True
    name, _, port = (
        host.rpartition(":") if not host.endswith("]") and ":" in host else (host, "", "")
    )
    if ":" not in grant.rsplit("]", 1)[-1] and name == grant:
        return True
    if grant.startswith("*.") and not _is_address(name):
        wanted, _, wanted_port = grant[1:].partition(":")
        return name.endswith(wanted) and wanted_port in ("", port)
    return False


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True
