"""IP addresses: which of them anybody on the internet may have."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

IpAddress = IPv4Address | IPv6Address

_LOOPBACK: dict[int, IpAddress] = {4: IPv4Address("127.0.0.1"), 6: IPv6Address("::1")}
_INTERNET = IPv6Network("2000::/3")  # RFC 4291: all of IPv6's global unicast that is given out
_TRANSLATED = IPv6Network("64:ff9b::/96")  # RFC 6052: an IPv4 address is in the last 32 bits


def read_address(text: str) -> IpAddress | None:
    """The address that a text leads to; None when it is no address.

    An IPv4 address in IPv6's clothes is bared, and who asks for "no address in particular",
    0.0.0.0 or ::, gets to this machine.
    """
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    return _LOOPBACK[address.version] if address.is_unspecified else address


def is_public(address: IpAddress) -> bool:
    """Whether it is an address of one host on the internet.

    Private, loopback, link-local, unique-local, shared (carrier's NAT), multicast, reserved and
    unspecified addresses are not.
    """
    if isinstance(address, IPv4Address):
        return address.is_global and not address.is_multicast
    if inner := _inner(address):
        return is_public(inner)
    return address in _INTERNET and address.is_global


def _inner(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that packets to this one end up at."""
    if address in _TRANSLATED:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour
