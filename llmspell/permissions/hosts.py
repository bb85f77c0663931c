from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_network
from urllib.parse import urlsplit

from llmspell.addresses import IpAddress, is_public, read_address

EVERY_PUBLIC_HOST = "*"
EVERY_HOST = "**"

_PORTS = {"http": 80, "https": 443}


def host_in(url: str) -> str:
    """Return `host:port` of a URL, without the scheme's default port; "" if it has no host."""
    host, port, default = _parts(url)
    shown = f"[{host}]" if ":" in host else host
    return shown if port == default or not host else f"{shown}:{port}"


def is_host(granted: str) -> bool:
    """Return whether a grant can cover anything: it is a host, a range of addresses or a wildcard."""
    return bool(_range(granted) or _granted_parts(granted)[0])


def host_matcher(url: str) -> Callable[[str], bool]:
    """Return a function that tells whether a granted host or address range covers a URL."""
    host, port, _ = _parts(url)
    address = read_address(host)

    def matches(granted: str) -> bool:
        if granted == EVERY_HOST or not host:
            return granted == EVERY_HOST
        if granted == EVERY_PUBLIC_HOST:
            return is_public(address) if address else not _is_loopback_name(host)
        if addresses := _range(granted):
            return address is not None and address in addresses
        wanted, wanted_port = _granted_parts(granted)
        return wanted_port in (None, port) and _is_named(host, address, wanted)

    return matches


def _is_named(host: str, address: IpAddress | None, wanted: str) -> bool:
    if wanted.startswith("*."):
        return host.endswith(wanted[1:]) and address is None
    if wanted == "localhost" and address is not None:
        return address.is_loopback
    return host == wanted


def _parts(url: str) -> tuple[str, int | None, int | None]:
    """Return host, port, and the scheme's default port; the host is "" if there is none."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "", None, None
    host = _asked_for(parts.hostname or "").rstrip(".")
    default = _PORTS.get(parts.scheme)
    return str(read_address(host) or host), default if port is None else port, default


def _asked_for(host: str) -> str:
    """Return a host as a client requests it: non-ASCII names in their ASCII form (RFC 5891)."""
    if host.isascii():
        return host
    import idna

    below = "*." if host.startswith("*.") else ""
    try:
        return below + idna.encode(host.removeprefix(below)).decode()
    except UnicodeError:  # no client can request it
        return host


def _granted_parts(granted: str) -> tuple[str, int | None]:
    """Return host and port of a grant; the host is "" if it is invalid."""
    if set(granted) & set("/@?#"):
        return "", None
    bare = ":" in granted and read_address(granted) is not None
    host, port, _ = _parts(f"//[{granted}]" if bare else f"//{granted}")
    return host, port


def _range(granted: str) -> IPv4Network | IPv6Network | None:
    """Return the addresses of a range such as `10.0.0.0/8`, or None for any other form."""
    try:
        return ip_network(granted, strict=False) if "/" in granted else None
    except ValueError:
        return None


def _is_loopback_name(host: str) -> bool:
    return host == "localhost" or host.endswith(".localhost")
