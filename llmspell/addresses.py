"""IP addresses: parsing them, and telling which are public."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

IpAddress = IPv4Address | IPv6Address

_LOOPBACK: dict[int, IpAddress] = {4: IPv4Address("127.0.0.1"), 6: IPv6Address("::1")}
_INTERNET = IPv6Network("2000::/3")  # RFC 4291: the global unicast addresses assigned so far
_TRANSLATED = IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address


def read_address(text: str) -> IpAddress | None:
    """Return the address that a text resolves to, or None when it is not an IP address.

    An IPv4-mapped IPv6 address becomes the IPv4 address. The unspecified addresses, 0.0.0.0 and
    ::, become loopback, since connecting to them reaches this machine.
    """
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    return _LOOPBACK[address.version] if address.is_unspecified else address


def is_public(address: IpAddress) -> bool:
    """Whether it is the address of a single host on the internet.

    Private, loopback, link-local, unique-local, shared (carrier's NAT), multicast, reserved and
    unspecified addresses are not.
    """
    if isinstance(address, IPv4Address):
        return address.is_global and not address.is_multicast
    if inner := _inner(address):
        return is_public(inner)
    return address in _INTERNET and address.is_global


def _inner(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that packets to this one reach, or None."""
    if address in _TRANSLATED:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour
