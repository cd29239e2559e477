"""What a list of stored completions may be asked by."""

import pytest

from tests.webapi.conftest import Api


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("model=%00", "model"),
        ("model=", "model"),
        ("metadata[a]=%00", "metadata[a]"),
        ("metadata[%00]=x", "metadata[\ufffd]"),
        ("limit=101", "limit"),
        ("after=x", "after"),
    ],
)
def test_what_nothing_can_have_is_refused(api: Api, query: str, param: str) -> None:
    """PostgreSQL takes no NUL, not even to compare with."""
    answer = api.get(f"/v1/chat/completions?{query}")
    assert answer.status_code in (400, 404)
    assert answer.json["error"]["param"] in (param, None)


@pytest.mark.parametrize("query", ["metadata[a'%22;--]=x", "metadata[]=x", "metadata[a", "metadata=x", "model=%ff"])
def test_what_is_merely_odd_finds_nothing(api: Api, query: str) -> None:
    answer = api.get(f"/v1/chat/completions?{query}")
    assert (answer.status_code, answer.json["data"]) == (200, [])
