"""Which addresses are called, and that no trick of a URL or a name server leads elsewhere."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import ROOT
from tests.receiver import Receiver, receiving
from whisperx_api.outgoing.addresses import NOT_PUBLIC, Allowed
from whisperx_api.outgoing.client import guarded_client, trusted
from whisperx_api.outgoing.guard import Guard, Refused, SystemResolver, Unresolved

CERTIFICATE = ROOT / "tests" / "certificates" / "hooks.example.pem"
"""A certificate of hooks.example with its key, signed by itself and good for a hundred years."""
NOBODY = Allowed()
SPECIAL = [network for network in NOT_PUBLIC if network.version == 4]


def within(network) -> st.SearchStrategy[IPv4Address | IPv6Address]:
    return st.integers(int(network.network_address), int(network.broadcast_address)).map(
        IPv4Address if network.version == 4 else IPv6Address
    )


v4 = st.one_of(st.ip_addresses(v=4), *map(within, SPECIAL))
v6 = st.one_of(st.ip_addresses(v=6), *(within(network) for network in NOT_PUBLIC if network.version == 6))


@given(st.one_of(v4, v6))
def test_what_python_calls_not_global_is_not_called(address) -> None:
    if not address.is_global or address.is_multicast or address.is_reserved or address.is_link_local:
        reachable = getattr(address, "ipv4_mapped", None)
        assert not NOBODY.address(str(address)) or (reachable and NOBODY.address(str(reachable))) or translated(address)


def translated(address) -> bool:
    return address in ip_network("64:ff9b::/96") and NOBODY.address(str(IPv4Address(int(address) & 0xFFFFFFFF)))


@given(v4)
def test_ipv4_address_within_an_ipv6_one_is_judged_as_itself(address: IPv4Address) -> None:
    called = NOBODY.address(str(address))
    assert NOBODY.address(f"::ffff:{address}") is called
    assert NOBODY.address(f"64:ff9b::{address}") is called
    for hidden in (f"::{address}", f"64:ff9b:1::{address}", str(six_to_four(address)), str(teredo(address))):
        assert not NOBODY.address(hidden)


def six_to_four(address: IPv4Address) -> IPv6Address:
    return IPv6Address((0x2002 << 112) | (int(address) << 80) | 1)


def teredo(address: IPv4Address) -> IPv6Address:
    return IPv6Address((0x20010000 << 96) | (int(address) << 64) | (int(address) ^ 0xFFFFFFFF))


@given(st.ip_addresses(v=4), st.integers(0, 32))
def test_allowed_network_is_called_and_no_more_than_it(address: IPv4Address, bits: int) -> None:
    network = ip_network(f"{address}/{bits}", strict=False)
    allowed = Allowed.read([str(network)])
    assert allowed.address(str(address)) and allowed.address(f"::ffff:{address}")
    for other in ("127.0.0.1", "10.1.2.3", "169.254.169.254"):
        assert allowed.address(other) is (ip_address(other) in network)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.255.255.254", "0.0.0.0", "10.0.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254",
        "100.64.0.1", "100.127.255.255", "192.0.0.170", "198.18.0.1", "224.0.0.1", "255.255.255.255", "240.0.0.1",
        "::1", "::", "fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1",
        "::ffff:169.254.169.254", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:db8::1", "2001::1", "100::1", "nothing", "",
    ],
)  # fmt: skip
def test_private_and_special_addresses_are_not_called(address: str) -> None:
    assert not NOBODY.address(address)


@pytest.mark.parametrize(
    "address", ["93.184.215.14", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8"]
)
def test_public_addresses_are_called(address: str) -> None:
    assert NOBODY.address(address)


@pytest.mark.parametrize("entry", ["10.0.0.1/8", "999.1.1.1", "127.1", "http://intranet", "a b", "", "-x"])
def test_entry_that_is_no_network_and_no_name_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match="must list addresses"):
        Allowed.read([entry])


class Names:
    """A name server that gives its answers one after the other, the last one for ever."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if not answer:
            raise OSError("unknown")
        return answer


def guard(*answers: list[str], allow: tuple[str, ...] = ()) -> Guard:
    return Guard(Allowed.read(allow), Names(*(answers or ([],))))


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/", "file:///etc/passwd", "example.org", "", "http://", "https:///path", "//example.org/",
        "http://user@93.184.215.14/", "http://:word@93.184.215.14/", "http://127.0.0.1/", "http://[::1]/",
        "http://[::ffff:127.0.0.1]:80/", "http://169.254.169.254/", "http://93.184.215.14:99999/", "http://[/",
        "http://93.184.215.14/\n", "http://93.184.215.14/" + "x" * 2048, "http://93.184.215.14:0/", "gopher://x/",
        "http://xn--a/", "http://xn--a.example.org/", "https://xn--zzzzzzzzz--/x", "http://\ud800.example.org/",
    ],
)  # fmt: skip
def test_url_that_is_plainly_wrong_is_refused(url: str) -> None:
    with pytest.raises(Refused, match="must "):
        guard().read(url)


def test_any_port_of_a_public_host_will_do() -> None:
    for url in ("http://93.184.215.14:8123/x?y=z", "https://example.org", "https://[2606:4700::1111]/"):
        assert str(guard().read(url)) == url


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "0177.1", "127.1", "localhost"])
def test_other_spellings_of_this_machine_are_refused_when_resolved(host: str) -> None:
    async def go() -> None:
        resolver = SystemResolver()
        try:
            with pytest.raises(Refused):
                await Guard(NOBODY, resolver).look(f"http://{host}/")
        finally:
            resolver.close()

    asyncio.run(go())


def test_one_private_address_among_others_refuses_them_all() -> None:
    async def go() -> None:
        url = httpx.URL("http://hooks.example/")
        assert await guard(["93.184.215.14", "8.8.8.8"]).addresses(url) == ["93.184.215.14", "8.8.8.8"]
        with pytest.raises(Refused, match="OUTGOING_ALLOW"):
            await guard(["93.184.215.14", "10.0.0.1"]).addresses(url)
        assert await guard(["10.0.0.1"], allow=("hooks.example",)).addresses(url) == ["10.0.0.1"]
        with pytest.raises(Refused):
            await guard(["10.0.0.1"], allow=("example",)).addresses(url)

    asyncio.run(go())


def test_host_without_an_address_may_be_named_but_not_called() -> None:
    async def go() -> None:
        nowhere = guard([])
        assert str(await nowhere.look("http://hooks.example/")) == "http://hooks.example/"
        with pytest.raises(Unresolved, match=r"hooks\.example"):
            await nowhere.addresses(httpx.URL("http://hooks.example/"))

    asyncio.run(go())


def call(guard: Guard, use: Callable[[httpx.AsyncClient], Awaitable[None]], context: ssl.SSLContext) -> None:
    async def go() -> None:
        async with guarded_client(guard, context) as client:
            await use(client)

    asyncio.run(go())


def test_address_that_was_checked_is_the_one_connected_to() -> None:
    """A name server that says something else the second time is not asked a second time."""
    with receiving(Receiver()) as receiver:
        names = Names(["127.0.0.1"], ["127.0.0.2"])

        async def use(client: httpx.AsyncClient) -> None:
            answer = await client.post(f"http://hooks.example:{receiver.port}/x", content=b"hello")
            assert answer.status_code == 200

        call(Guard(Allowed.read(["127.0.0.1"]), names), use, trusted())
    assert names.asked == 1
    assert receiver.requests[0].headers["host"] == f"hooks.example:{receiver.port}"
    assert receiver.requests[0].body == b"hello"


def test_name_that_turns_to_a_private_address_is_refused_from_then_on() -> None:
    with receiving(Receiver()) as receiver:
        rebinding = Guard(NOBODY, Names(["93.184.215.14"], ["127.0.0.1"]))

        async def use(client: httpx.AsyncClient) -> None:
            url = await rebinding.look(f"http://hooks.example:{receiver.port}/")
            with pytest.raises(Refused):
                await client.post(url)

        call(rebinding, use, trusted())
    assert receiver.requests == []


def test_next_address_is_tried_where_the_first_does_not_answer() -> None:
    with receiving(Receiver()) as receiver:

        async def use(client: httpx.AsyncClient) -> None:
            assert (await client.post(f"http://hooks.example:{receiver.port}/", content=b"x")).status_code == 200

        call(guard(["127.0.0.9", "127.0.0.1"], allow=("127.0.0.0/8",)), use, trusted())
    assert [request.body for request in receiver.requests] == [b"x"]


def test_cookie_of_one_call_is_sent_with_no_other() -> None:
    with receiving(Receiver(headers={"Set-Cookie": "login=ann; Path=/"})) as receiver:

        async def use(client: httpx.AsyncClient) -> None:
            for _ in range(2):
                assert (await client.get(receiver.url)).status_code == 200

        call(guard(allow=("127.0.0.1",)), use, trusted())
    assert ["cookie" in request.headers for request in receiver.requests] == [False, False]


def test_proxy_of_the_environment_is_not_asked(monkeypatch) -> None:
    with receiving(Receiver()) as proxy, receiving(Receiver()) as receiver:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)

        async def use(client: httpx.AsyncClient) -> None:
            assert (await client.get(receiver.url)).status_code == 200

        call(guard(allow=("127.0.0.1",)), use, trusted())
    assert proxy.requests == [] and len(receiver.requests) == 1


def test_server_name_and_certificate_are_those_of_the_name() -> None:
    named: list[str | None] = []
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(CERTIFICATE)
    serving.sni_callback = lambda connection, name, context: named.append(name)
    trusting = trusted()
    trusting.load_verify_locations(CERTIFICATE)
    with receiving(Receiver(), lambda plain: serving.wrap_socket(plain, server_side=True)) as receiver:

        async def use(client: httpx.AsyncClient) -> None:
            assert (await client.get(f"https://hooks.example:{receiver.port}/")).status_code == 200
            with pytest.raises(httpx.ConnectError, match=r"[Hh]ostname mismatch|not valid"):
                await client.get(f"https://other.example:{receiver.port}/")

        call(guard(["127.0.0.1"], allow=("127.0.0.1",)), use, trusting)

        async def strange(client: httpx.AsyncClient) -> None:
            with pytest.raises(httpx.ConnectError, match="certificate"):
                await client.get(f"https://hooks.example:{receiver.port}/")

        call(guard(["127.0.0.1"], allow=("127.0.0.1",)), strange, trusted())
    assert named[:2] == ["hooks.example", "other.example"]
    assert len(receiver.requests) == 1
