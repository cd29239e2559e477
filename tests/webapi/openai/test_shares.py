"""A tenant that has its share: OpenAI's client is told to come again, and does."""

import contextlib
import socket
from collections.abc import Callable

import pytest
from openai import DefaultHttpx2Client, OpenAI, RateLimitError

from tests.webapi.serving import Served
from tests.webapi.test_shares import asking

HELLO = {"model": "alpha", "prompt": "Hi", "extra_headers": {"Prefer": "wait=1"}}


def client(served: Served, *, retries: int, freed: contextlib.ExitStack | None = None) -> OpenAI:
    """One that has the sockets closed when it is told of its share."""
    hooks = {"response": [lambda answer: freed.close() if freed and answer.status_code == 429 else None]}
    http = DefaultHttpx2Client(event_hooks=hooks)
    return OpenAI(
        base_url=f"http://127.0.0.1:{served.port}/v1", api_key=served.key, max_retries=retries, http_client=http
    )


def ask_until_refused(sdk: OpenAI, wait: Callable[[], socket.socket]) -> None:
    """Has ever more waits beside its calls. Raises what the client does."""
    sockets = list[socket.socket]()
    while True:
        sockets.extend(wait() for _ in range(128))
        sdk.completions.create(**HELLO)  # type: ignore[call-overload]


def test_whoever_has_its_share_is_asked_to_come_again_and_does(served: Served) -> None:
    """429 as the client knows it; its own retries get through once there is room."""
    with contextlib.ExitStack() as waiting:
        path = f"/v1/jobs/{served.submit()}?wait=60"
        with client(served, retries=0) as sdk, pytest.raises(RateLimitError) as told:
            ask_until_refused(sdk, lambda: waiting.enter_context(asking(served, path)))
        assert (told.value.code, told.value.type) == ("rate_limit_exceeded", "rate_limit_error")
        assert int(told.value.response.headers["retry-after"]) <= 120
        with client(served, retries=8, freed=waiting) as sdk:
            answer = sdk.completions.with_raw_response.create(**HELLO)  # type: ignore[call-overload]
    assert answer.http_response.status_code == 202
    assert int(answer.http_request.headers["x-stainless-retry-count"]) >= 1
