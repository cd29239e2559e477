"""Where webhooks may go: what a URL must look like, and which addresses are anybody's."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks import errors
from tasks.settings import WebhookPolicy
from tasks.webhooks import destinations
from tasks.webhooks.destinations import Destination

STRICT = WebhookPolicy()
INSIDE = WebhookPolicy(allow_http=True, networks=(ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8")))


@pytest.mark.parametrize(
    ("url", "parts", "authority"),
    [
        ("https://example.com", ("https", "example.com", 443, "/"), "example.com"),
        ("https://Example.com:443/a/b?c=d%20e", ("https", "example.com", 443, "/a/b?c=d%20e"), "example.com"),
        ("https://example.com:8443?x", ("https", "example.com", 8443, "/?x"), "example.com:8443"),
        ("https://8.8.8.8/", ("https", "8.8.8.8", 443, "/"), "8.8.8.8"),
        ("https://[2606:4700::1111]:8443/", ("https", "2606:4700::1111", 8443, "/"), "[2606:4700::1111]:8443"),
    ],
)
def test_url_is_taken_apart_once(url: str, parts: tuple[str, str, int, str], authority: str) -> None:
    """What is connected to, what is asked for and what the Host header says come from one reading."""
    found = destinations.parse(url, STRICT)
    assert (found, found.authority) == (Destination(*parts), authority)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "http://example.com/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "https://",
        "https:///path",
        "https://user@example.com/",
        "https://user:word@example.com/",
        "https://@example.com/",
        "https://example.com/#part",
        "https://example.com:22/",
        "https://example.com:80/",
        "https://example.com:0/",
        "https://example.com:99999/",
        "https://example.com:port/",
        "https://exa mple.com/",
        "https://example.com/\r\nHost: other",
        "https://example.com\\@other.com/",
        "https://bücher.example/",
        "https://example.com/ü",
        "https://[::1/",
        "https://[fe80::1%25eth0]/",
        "https://127.0.0.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::ffff:10.0.0.1]/",
        "https://10.0.0.1/",
        "https://" + "a" * 2048,
    ],
)
def test_url_that_nothing_may_be_sent_to_is_refused(url: str) -> None:
    """Each is refused with the name of the field that it came in."""
    with pytest.raises(errors.InvalidField) as refused:
        destinations.parse(url, STRICT, "webhook.url")
    assert refused.value.field == "webhook.url"


def test_operator_may_allow_plain_http_and_networks_of_his_own() -> None:
    """What is allowed is allowed by name: the networks listed, no others."""
    assert destinations.parse("http://10.1.2.3:8080/x", INSIDE).port == 8080
    assert destinations.parse("http://example.com/", INSIDE).port == 80
    for url in ("http://127.0.0.1/", "http://192.168.0.1/"):
        with pytest.raises(errors.InvalidField):
            destinations.parse(url, INSIDE)
    assert [destinations.refuses(INSIDE, a) for a in ("10.9.9.9", "::ffff:10.0.0.1", "fd00::1")] == [False] * 3


NOT_PUBLIC = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "169.254.170.2",
    "172.16.0.1",
    "172.31.255.255",
    "168.63.129.16",
    "192.0.0.1",
    "192.0.0.8",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:0.0.0.0",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b::a83f:8110",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:a9fe:a9fe::",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_address_that_is_not_the_publics_is_refused(address: str) -> None:
    """Private, loopback, link-local, metadata, multicast, unspecified, and every disguise of these in IPv6."""
    assert destinations.refuses(STRICT, address)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "8.8.8.8", "::ffff:8.8.8.8", "64:ff9b::808:808", "2606:4700::1111", "2a00:1450::1"]
)
def test_public_address_is_allowed(address: str) -> None:
    """Also behind NAT64, where an IPv6-only network reaches IPv4."""
    assert not destinations.refuses(STRICT, address)


@given(st.ip_addresses(v=4))
def test_disguise_is_judged_as_what_it_leads_to(address: ipaddress.IPv4Address) -> None:
    """An IPv4 address and its mapped and translated forms are refused or allowed together."""
    plain = destinations.refuses(STRICT, str(address))
    assert destinations.refuses(STRICT, f"::ffff:{address}") == plain
    assert destinations.refuses(STRICT, f"64:ff9b::{address}") == plain


@given(st.text(max_size=60))
def test_no_text_breaks_the_reading(text: str) -> None:
    """Whatever comes is read or refused."""
    for url in (text, f"https://{text}"):
        try:
            destinations.parse(url, STRICT)
        except errors.InvalidField:
            continue
