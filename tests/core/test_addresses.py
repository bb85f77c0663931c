from ipaddress import ip_address

import pytest

from llmspell.addresses import is_public, read_address


@pytest.mark.parametrize(
    "text",
    [
        "8.8.8.8",
        "192.167.255.255",
        "172.32.0.1",
        "100.128.0.1",
        "2606:4700::1",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
        "2002:808:808::1",
    ],
)
def test_addresses_of_the_internet(text):
    assert is_public(ip_address(text))
    assert is_public(read_address(text))


@pytest.mark.parametrize(
    "text",
    [
        "0.0.0.0",
        "10.0.0.5",
        "100.64.0.1",
        "127.0.0.1",
        "127.8.8.8",
        "169.254.169.254",
        "172.16.0.1",
        "192.168.1.1",
        "198.18.0.1",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::10.0.0.5",
        "fc00::1",
        "fd12::1",
        "fe80::1",
        "fe80::1%2",
        "fec0::1",
        "ff02::1",
        "ff0e::1",
        "::ffff:10.0.0.5",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::10.0.0.5",
        "64:ff9b:1::1",
        "2001:db8::1",
        "2002:a00:5::1",
        "2002:7f00:1::1",
        "4000::1",
    ],
)
def test_addresses_that_are_none_of_the_internet(text):
    assert not is_public(ip_address(text))
    assert not is_public(read_address(text))


def test_an_address_is_read_without_its_clothes():
    assert str(read_address("::ffff:10.0.0.5")) == "10.0.0.5"
    assert str(read_address("FE80::1")) == "fe80::1"
    assert str(read_address("0.0.0.0")) == str(read_address("::ffff:0:0")) == "127.0.0.1"
    assert str(read_address("::")) == "::1"
    assert [read_address(t) for t in ("", "example.com", "127.1", "10.0.0.0/8", "[::1]")] == [
        None
    ] * 5
