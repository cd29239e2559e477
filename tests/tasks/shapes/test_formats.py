"""What a format lets through is what the standard library reads as such."""

import datetime
import ipaddress
import re
import uuid
from collections.abc import Callable

import pytest

from tasks.shapes import formats, schema
from tests.support import schemas

READERS: dict[str, Callable[[str], object]] = {
    "date": datetime.date.fromisoformat,
    "time": datetime.time.fromisoformat,
    "date-time": datetime.datetime.fromisoformat,
    "uuid": uuid.UUID,
    "ipv4": ipaddress.IPv4Address,
    "ipv6": ipaddress.IPv6Address,
}


@pytest.mark.parametrize("name", READERS)
def test_drawn_texts_are_read(name: str) -> None:
    """Two hundred of each kind, drawn from the grammar."""
    grammar = schema.compile({"type": "string", "format": name}).grammar
    for seed in range(200):
        READERS[name](schemas.draw(grammar, seed).strip('"'))


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("date", ["2024-02-29", "2000-02-29", "2023-12-31"], ["2023-02-29", "1900-02-29", "2024-04-31", "2024-13-01"]),
        ("time", ["23:59:59Z", "00:00:00.5-23:59"], ["24:00:00Z", "10:00:00", "10:00Z"]),
        ("date-time", ["2024-02-29T10:00:00Z"], ["2024-02-29 10:00:00Z", "2023-02-29T10:00:00Z"]),
        ("duration", ["P1Y2M3DT4H5M6S", "PT1H", "P2W", "P1D"], ["P", "PT", "P1H", "1D"]),
        ("email", ["a@b.cd", "a.b+c@x-y.example"], ["a@b", "a b@c.de", "@b.cd", "a..b@c.de"]),
        ("hostname", ["a", "a-b.example.org"], ["-a", "a-", "a..b"]),
        ("ipv4", ["0.0.0.0", "255.255.255.255"], ["256.0.0.1", "1.2.3", "01.2.3.4"]),
        ("ipv6", ["::", "1:2:3:4:5:6:7:8", "fe80::1"], [":::", "1:2:3", "g::"]),
        ("uri", ["https://a.b/c?d#e", "http://localhost:80"], ["a", "http://", "http://a b"]),
        ("uuid", ["123e4567-e89b-12d3-a456-426614174000"], ["123e4567e89b12d3a456426614174000"]),
    ],
)
def test_format_by_hand(name: str, good: list[str], bad: list[str]) -> None:
    """The edges of each."""
    pattern = re.compile(formats.PATTERNS[name])
    assert [text for text in good if not pattern.search(text)] == []
    assert [text for text in bad if pattern.search(text)] == []
