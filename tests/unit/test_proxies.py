"""Who a request comes from: whom proxies name, whose word is taken for it, and what an address is counted as."""

from __future__ import annotations

import pytest

from whisperx_api.proxies import Proxies, counted_as
from whisperx_api.settings import SettingsError, load_settings

PROXIES = Proxies.read(("10.0.0.0/8", "192.0.2.7", "fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),  # a stranger's word
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["198.51.100.1, 203.0.113.9"], "203.0.113.9"),  # the first is what the client has written
        ("10.0.0.1", ["10.9.9.9, 203.0.113.9"], "203.0.113.9"),  # even where it has written a proxy's address
        ("10.0.0.1", ["198.51.100.1,203.0.113.9 ,192.0.2.7"], "203.0.113.9"),  # over two proxies
        ("10.0.0.1", ["198.51.100.1", "203.0.113.9, 10.0.0.2"], "203.0.113.9"),  # in two lines
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),  # a client inside
        ("10.0.0.1", ["203.0.113.9, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.9, unknown, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", ["203.0.113.9:4711"], "203.0.113.9"),
        ("10.0.0.1", ["[2001:db8::1]:4711"], "2001:db8::1"),
        ("fd00::1", ["2001:db8::1"], "2001:db8::1"),
        ("::ffff:10.0.0.1", ["::ffff:203.0.113.9"], "203.0.113.9"),
        ("testclient", ["203.0.113.9"], "testclient"),
    ],
)
def test_client_is_the_last_that_is_no_trusted_proxy(peer, forwarded, client) -> None:
    assert PROXIES.client(peer, forwarded) == client


def test_nobody_is_trusted_unless_named() -> None:
    assert Proxies().client("127.0.0.1", ["203.0.113.9"]) == "127.0.0.1"
    assert load_settings().trusted_proxies == ()


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "testclient"),
        ("", ""),
    ],
)
def test_ipv6_is_counted_by_its_64(address, counted) -> None:
    assert counted_as(address) == counted


@pytest.mark.parametrize("text", ["*", "proxy", "10.0.0.1/8", "10.0.0.0/33"])
def test_proxy_that_is_no_address_is_said_at_start(text) -> None:
    with pytest.raises(SettingsError, match=r"TRUSTED_PROXIES.* must list addresses and networks") as caught:
        load_settings(trusted_proxies=f"::1,{text}")
    assert f"not '{text}'" in str(caught.value)
