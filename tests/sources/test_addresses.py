"""Addresses: only the open internet is public, however an address is written."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detseg.errors import SourceError
from detseg.sources.guarded import is_public, resolve_public

PRIVATE = (
    "127.0.0.1",
    "127.255.255.254",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",  # where clouds answer with credentials
    "100.64.0.1",
    "0.0.0.0",
    "255.255.255.255",
    "224.0.0.1",
    "::1",
    "::",
    "fe80::1%eth0",
    "fd00::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "2002:7f00:1::",
    "64:ff9b::a00:1",
)


@pytest.mark.parametrize("address", PRIVATE)
def test_what_is_not_the_open_internet_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "8.8.8.8", "2606:2800:220:1::1", "::ffff:8.8.8.8"])
def test_the_open_internet_is_public(address: str) -> None:
    assert is_public(address)


@given(st.ip_addresses(v=4))
def test_wrapping_an_address_in_another_form_changes_nothing(address: ipaddress.IPv4Address) -> None:
    wrapped = (f"::ffff:{address}", str(ipaddress.IPv6Address((0x64FF9B << 96) | int(address))))
    assert {is_public(form) for form in wrapped} == {is_public(str(address))}


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "2130706433", "0x7f000001", "127.1", "::1"])
def test_every_name_of_this_machine_is_refused(host: str) -> None:
    with pytest.raises(
        SourceError, match=r"is on this machine or a private network: set source.allow_private_addr"
    ):
        resolve_public(host, 80)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 64 + ".example", ""])
def test_no_host_is_said(host: str) -> None:
    with pytest.raises(SourceError, match=r"there is no host|on this machine"):
        resolve_public(host, 80)
