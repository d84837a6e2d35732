"""URLs of strangers lead to public addresses, however they are written. Nothing here leaves loopback."""

from __future__ import annotations

import ipaddress

import httpx
import pytest

from detseg.errors import SourceError
from detseg.sources.guarded import GuardedTransport, PrivateAddress, is_public
from tests.sources.servers import Answer, web_server

PRIVATE = {
    "loopback": "127.0.0.1",
    "all of loopback": "127.255.255.254",
    "unspecified": "0.0.0.0",
    "link-local metadata": "169.254.169.254",
    "containers' metadata": "169.254.170.2",
    "Azure's wire server": "168.63.129.16",
    "Alibaba's metadata": "100.100.100.200",
    "Oracle's metadata": "192.0.0.192",
    "carrier-grade NAT": "100.64.0.1",
    "broadcast": "255.255.255.255",
    "multicast": "224.0.0.1",
    "reserved": "240.0.0.1",
    "benchmarks": "198.18.0.1",
    "documentation": "203.0.113.1",
    "IPv6 loopback": "::1",
    "IPv6 unspecified": "::",
    "IPv4-compatible": "::127.0.0.1",
    "IPv4-compatible in hex": "::7f00:1",
    "mapped": "::ffff:127.0.0.1",
    "translated": "::ffff:0:127.0.0.1",
    "NAT64": "64:ff9b::7f00:1",
    "NAT64 of a cloud's metadata": "64:ff9b::a83f:8110",
    "local NAT64": "64:ff9b:1::1",
    "local NAT64 of a public one": "64:ff9b:1::5db8:d822",
    "6to4": "2002:7f00:1::1",
    "Teredo": "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "site-local": "fec0::1",
    "end of site-local": "feff:ffff::1",
    "link-local": "fe80::1%eth0",
    "unique local": "fd00:ec2::254",
    "IPv6 multicast": "ff02::1",
    "discard": "100::1",
    "IPv6 documentation": "2001:db8::1",
    "not given out": "4000::1",
}
PUBLIC = ("93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "::ffff:93.184.216.34", "64:ff9b::5db8:d822")


@pytest.mark.parametrize("name", PRIVATE)
def test_private_addresses_are_refused(name: str) -> None:
    assert not is_public(PRIVATE[name])


@pytest.mark.parametrize("address", PUBLIC)
def test_public_ones_are_not(address: str) -> None:
    assert is_public(address)


def test_every_form_of_a_private_address_is_refused() -> None:
    for private in ("10.1.2.3", "127.0.0.1", "169.254.169.254", "192.168.0.1", "172.16.0.1", "168.63.129.16"):
        number = int(ipaddress.IPv4Address(private))
        for prefix in ("::", "::ffff:0:0", "::ffff:0:0:0", "64:ff9b::", "64:ff9b:1::", "fec0::", "fe80::"):
            assert not is_public(str(ipaddress.IPv6Address(int(ipaddress.IPv6Address(prefix)) | number)))
        assert not is_public(str(ipaddress.IPv6Address((0x2002 << 112) | (number << 80))))


def test_the_address_that_was_looked_at_is_the_one_that_is_asked() -> None:
    """A name that changes its address in between: each request is looked up once, and goes there."""
    answers = iter(["127.0.0.1", "private"])
    looked_up = []

    def resolve(host: str, port: int) -> str:
        looked_up.append((host, port))
        address = next(answers)
        if address == "private":
            raise SourceError(f"{host} is on this machine or a private network")
        return address

    with web_server({"/a.png": Answer(b"image")}) as server:
        port = int(server.url.rpartition(":")[2])
        with httpx.Client(transport=GuardedTransport(resolve)) as http:
            assert http.get(f"http://changing.example:{port}/a.png").content == b"image"
            assert server.asked[0][1]["Host"] == f"changing.example:{port}"
            with pytest.raises(PrivateAddress):
                http.get(f"http://changing.example:{port}/a.png")
        assert looked_up == [("changing.example", port)] * 2
        assert len(server.asked) == 1
