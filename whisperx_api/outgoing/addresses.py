"""Which addresses the service calls at somebody's request: those of the public internet, and what the operator allows.

The tables follow IANA's special-purpose address registries (RFC 6890) and, for IPv6, its rule that global unicast is
2000::/3.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

NOT_PUBLIC = tuple(
    ip_network(network)
    for network in (
        "0.0.0.0/8",  # this host
        "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16",  # private
        "100.64.0.0/10",  # behind a carrier's NAT
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local: the metadata of clouds
        "192.0.0.0/24", "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24",  # protocols, documentation
        "192.88.99.0/24",  # relays of 6to4
        "198.18.0.0/15",  # benchmarks
        "224.0.0.0/4", "240.0.0.0/4",  # multicast, reserved, broadcast
        "2001::/23",  # protocols, Teredo among them: an IPv4 address hides in it
        "2001:db8::/32", "3fff::/20",  # documentation
        "2002::/16",  # 6to4: an IPv4 address hides in it
        "3ffe::/16",  # given back
    )
)  # fmt: skip
GLOBAL_UNICAST = ip_network("2000::/3")
NAT64 = ip_network("64:ff9b::/96")
"""An IPv4 address as a translating network writes it (RFC 6052): what counts is that address."""
HOST = re.compile(r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")


@dataclass(frozen=True)
class Allowed:
    """What may be called besides the public internet: host names, and networks."""

    hosts: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    @classmethod
    def read(cls, entries: Iterable[str]) -> Allowed:
        """Read addresses, networks (10.0.0.0/8) and host names. Raises `ValueError` with the entry that is neither."""
        hosts, networks = set(), []
        for entry in entries:
            try:
                networks.append(ip_network(entry))
            except ValueError:
                if not HOST.fullmatch(entry.lower()) or entry.replace(".", "").isdigit():
                    raise ValueError(
                        f"must list addresses, networks like 10.0.0.0/8 and host names; not '{entry}'"
                    ) from None
                hosts.add(entry.lower())
        return cls(frozenset(hosts), tuple(networks))

    def host(self, name: str) -> bool:
        """Whether a host may be called by this name, whatever its addresses are."""
        return name.lower().rstrip(".") in self.hosts

    def address(self, address: str) -> bool:
        """Whether an address, as it is connected to, may be called. What is no address may not."""
        try:
            meant = embedded(ip_address(address))
        except ValueError:
            return False
        return public(meant) or any(meant in network for network in self.networks)


def embedded(address: Address) -> Address:
    """Return the address that packets to `address` reach: the IPv4 address in a mapped or translated one."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def public(address: Address) -> bool:
    """Whether an address is one of the public internet's."""
    if isinstance(address, IPv6Address) and address not in GLOBAL_UNICAST:
        return False
    return not any(address in network for network in NOT_PUBLIC)
