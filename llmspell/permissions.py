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

    Each field lists folders and files, or hosts (`example.com`, `example.com:8080`, `[::1]`,
    `*.example.com` for what is below it). None means nothing; an empty tuple means everything. A
    path grants what is below it. Links and `..` are resolved before they are judged. A host
    without a port grants all its ports.
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
        path = _resolved(need.target)
        places = [_resolved(grant, expand=True) for grant in granted]
        return path is not None and any(p is not None and path.is_relative_to(p) for p in places)

    def check(self, need: Need, *, by: str) -> None:
        """Raise `PermissionDenied`, with the flag that would grant it, unless it is granted.

        `by` names the tool or effect that asks.
        """
        if self.allows(need):
            return
        verb = {"read": "read", "write": "write", "net": "reach"}[need.kind]
        target = _host(need.target) if need.kind == "net" else _resolved(need.target)
        if not target:
            raise PermissionDenied(
                f"{by} may not {verb} {need.target!r}: "
                f"{'it names no host' if need.kind == 'net' else 'it leads nowhere'}",
                details={"kind": need.kind, "target": need.target},
            )
        shown = target if need.kind == "net" else need.target
        raise PermissionDenied(
            f"{by} may not {verb} {shown}",
            hint=f"grant it with --allow-{need.kind}={shown}",
            details={"kind": need.kind, "target": str(target)},
        )


def _union(a: tuple[str, ...] | None, b: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if a is None or b is None:
        return a if b is None else b
    return () if not a or not b else tuple(dict.fromkeys(a + b))


def _resolved(path: str, *, expand: bool = False) -> Path | None:
    """Where a path leads; None for a circle of links and for what can be no path."""
    try:
        return (Path(path).expanduser() if expand else Path(path)).resolve()
    except (OSError, RuntimeError, ValueError):
        return None


def _host(url: str) -> str:
    """`host:port` of a URL, without a port that is the scheme's own; "" when it has no host."""
    host, port, default = _address(url)
    shown = f"[{host}]" if ":" in host else host
    return shown if port == default or not host else f"{shown}:{port}"


def _address(url: str) -> tuple[str, int | None, int | None]:
    """Host, port, and the port of the scheme; the host is "" where there is none."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "", None, None
    host = (parts.hostname or "").rstrip(".")
    default = {"http": 80, "https": 443}.get(parts.scheme)
    address = _ip_address(host)
    return str(address) if address else host, default if port is None else port, default


def _host_matches(grant: str, url: str) -> bool:
    host, port, _ = _address(url)
    bare = _ip_address(grant) is not None and ":" in grant
    wanted, wanted_port, _ = _address(f"//[{grant}]" if bare else f"//{grant}")
    if not host or not wanted or set(grant) & set("/@?#"):
        return False
    if wanted_port not in (None, port):
        return False
    if wanted.startswith("*."):
        return host.endswith(wanted[1:]) and _ip_address(host) is None
    return host == wanted


def _ip_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
