"""Which addresses the tower may connect to. The list is our own: Python's `ipaddress.is_global` lets NAT64, 6to4,
multicast and carrier-grade NAT through. Sources: IANA special-purpose registries for IPv4 and IPv6 (RFC 6890)."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

#: never reached, whatever a caller allows: "this network", link-local (cloud metadata), multicast, broadcast
NEVER: tuple[Network, ...] = tuple(
    ip_network(cidr)
    for cidr in ("0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32", "::/128", "fe80::/10", "ff00::/8")
)
#: not public: reached only through an explicit allowance
NOT_PUBLIC_V4: tuple[IPv4Network, ...] = tuple(
    IPv4Network(cidr)
    for cidr in (
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT
        "127.0.0.0/8",
        "172.16.0.0/12",
        "192.0.0.0/24",  # IETF protocol assignments
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT relays
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarking
        "198.51.100.0/24",
        "203.0.113.0/24",
        "240.0.0.0/4",
    )
)
#: of IPv6 only global unicast is public (so NAT64 64:ff9b::, ULA, site-local, SRv6 5f00:: are not), minus these
PUBLIC_V6 = IPv6Network("2000::/3")
NOT_PUBLIC_V6: tuple[IPv6Network, ...] = tuple(
    IPv6Network(cidr)
    for cidr in (
        "2001::/23",  # IETF protocol assignments: Teredo, ORCHID, benchmarking
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: carries an IPv4 address of the sender's choice
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
)


def is_reachable(address: Address, allow: Sequence[Network] = ()) -> bool:
    """Whether the tower may connect to an address. IPv4 written as IPv6 (``::ffff:a.b.c.d``) counts as IPv4."""
    address = plain(address)
    if is_within(address, NEVER):
        return False
    if is_within(address, allow):
        return True
    if isinstance(address, IPv4Address):
        return not is_within(address, NOT_PUBLIC_V4)
    return address in PUBLIC_V6 and not is_within(address, NOT_PUBLIC_V6)


def plain(address: Address) -> Address:
    """IPv4 written as IPv6 is IPv4."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped if mapped is not None else address


def is_within(address: Address, networks: Sequence[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)
