"""The network addresses that a stranger's URL may lead to: public ones."""

from __future__ import annotations

import ipaddress
import socket

from detseg.errors import SourceError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_UNICAST = ipaddress.ip_network("2000::/3")  # what of IPv6 is given out at all, RFC 4291
_TEREDO = ipaddress.ip_network("2001::/32")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address
_METADATA = frozenset(map(ipaddress.ip_address, ("168.63.129.16", "100.100.100.200", "192.0.0.192")))
"""Services of clouds for their own machines alone, whose addresses look public or nearly so."""


def is_public(address: str) -> bool:
    """Check that an IP address is one of the open internet, also where an IPv4 address is wrapped in IPv6.

    Of IPv6 only what is given out is, so that no form of an address that leads elsewhere has to be known.

    >>> is_public("93.184.216.34"), is_public("127.0.0.1"), is_public("::ffff:10.0.0.1")
    (True, False, False)
    """
    parsed: Address = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        wrapped = _wrapped(parsed)
        if wrapped is None and (parsed not in _UNICAST or parsed in _TEREDO):
            return False
        parsed = wrapped or parsed
    return parsed.is_global and not parsed.is_multicast and parsed not in _METADATA


def resolve_public(host: str, port: int) -> str:
    """The first address of a host, if all its addresses are public. Raises SourceError that says why not."""
    addresses = resolve(host, port)
    private = [address for address in addresses if not is_public(address)]
    if private:
        shown = host if host == private[0] else f"{host} ({private[0]})"
        raise SourceError(
            f"{shown} is on this machine or a private network: set source.allow_private_addresses if it "
            "is meant"
        )
    return addresses[0]


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host in the order of the system's preference. Raises SourceError for none."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise SourceError(f"there is no host {host} ({error})") from error
    return [str(address[0]) for *_, address in found]


def _wrapped(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return None
