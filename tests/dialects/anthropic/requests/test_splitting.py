"""Bodies of many requests, taken apart wherever they are cut."""

import json
from typing import Any

import pytest

from dialects.anthropic.requests.splitting import Splitter
from tasks.errors import Malformed

ODD = [{"a": '"}]{[\\', "b": {"c": [1, {"d": '\\"'}]}}, {"x": "ä\u2028"}, {}]


def split(body: bytes, size: int, most: int = 1000) -> list[Any]:
    splitter = Splitter(most)
    found = [raw for at in range(0, len(body), size) for raw in splitter.feed(body[at : at + size])]
    splitter.finish()
    assert splitter.count == len(found)
    return [json.loads(raw) for raw in found]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_requests_are_found_wherever_the_body_is_cut(size: int) -> None:
    """In the middle of a string, of what is escaped, of a character; with spaces anywhere, and without."""
    for body in (json.dumps({"requests": ODD}), json.dumps({"requests": ODD}, indent=2, ensure_ascii=False)):
        assert split(body.encode(), size) == ODD
    assert split(b' { "requests" : [ ] } \n', size) == []


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "ends where there should be the beginning"),
        (b'{"requests": [{}', "ends where there should be a comma"),
        (b'{"requests": [{"a": "', "ends where there should be the rest"),
        (b'{"requests": [{}]', "ends where there should be the body's end"),
        (b'{"requests": [{}]} x', "there should be nothing"),
        (b'{"requests": [{}], "more": 1}', "there should be the body's end"),
        (b'{"requests": [{} {}]}', "there should be a comma"),
        (b'{"requests": [{},]}', "must be an object"),
        (b'{"requests": [7]}', "must be an object"),
        (b'{"model": "m"' + b" " * 1100, "must be an object with"),
        (b'{"requests": [{"a": ' + b"[" * 70, "nested deeper"),
        (b'{"requests": [{"a": "' + b"x" * 2000, "more than 1000 bytes"),
    ],
)
def test_what_is_no_such_body_is_refused(body: bytes, said: str) -> None:
    """As soon as that is seen: what never ends is never kept."""
    for size in (1, 64):
        with pytest.raises(Malformed, match=said):
            split(body, size)
