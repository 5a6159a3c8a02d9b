"""Who is at the other end of a request: its address behind the proxies that are trusted, and what it is counted as."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address

SITE = 64
"""Bits of an IPv6 address that one client can't choose: a single machine commonly has a whole /64 of addresses."""
_WITH_PORT = re.compile(r"\[([^\[\]]+)\](?::\d+)?|([^:]+):\d+")


def counted_as(host: str) -> str:
    """Return what a client's address is counted as: an IPv6 address as its /64, what is no address as it is."""
    address = _address(host)
    if isinstance(address, IPv6Address):
        return str(IPv6Network((int(address), SITE), strict=False))
    return str(address or host)


@dataclass(frozen=True)
class Proxies:
    """Whose word is taken for where a request comes from."""

    networks: tuple[IPv4Network | IPv6Network, ...] = ()

    @classmethod
    def read(cls, entries: Iterable[str]) -> Proxies:
        """Read addresses and networks (10.0.0.0/8). Raises `ValueError` with the entry that is neither."""
        networks = []
        for entry in entries:
            try:
                networks.append(ip_network(entry))
            except ValueError:
                raise ValueError(f"must list addresses and networks like 10.0.0.0/8; not '{entry}'") from None
        return cls(tuple(networks))

    def trusts(self, host: str) -> bool:
        """Whether a host is one of them."""
        address = _address(host)
        return address is not None and any(address in network for network in self.networks)

    def client(self, peer: str, forwarded: Iterable[str]) -> str:
        """Return the address of the client: of a trusted `peer`, the last in `X-Forwarded-For` that is not trusted.

        Each proxy adds on the right whom it has heard from; what is left of a stranger, the stranger has written. Where
        all are trusted, the first of them is the client. What is no address ends the search: the one on its right
        counts, for nobody knows who it stands for.
        """
        client = peer
        for entry in reversed(",".join(forwarded).split(",")):
            if not self.trusts(client) or (address := _address(entry.strip())) is None:
                break
            client = str(address)
        return client


def _address(text: str) -> Address | None:
    """Return an address, also one with a port; of an IPv4 address inside an IPv6 one, the IPv4 address."""
    if (found := _WITH_PORT.fullmatch(text)) is not None:
        text = found[1] or found[2]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
