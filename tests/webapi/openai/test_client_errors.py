"""What OpenAI's client makes of our errors, and what it reads in our headers."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from openai import (
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    NotFoundError,
    OpenAI,
    UnprocessableEntityError,
)

from tests.support import waiting
from tests.support.platform import Stack
from tests.webapi.openai.conftest import CHAT, SLOW, Jobs

HELLO: Any = [{"role": "user", "content": "Hi"}]
Ask = Callable[[OpenAI], object]


def chat(**changes: Any) -> Ask:
    asked: dict[str, Any] = {"model": CHAT, "messages": HELLO, "max_completion_tokens": 1, **changes}
    return lambda sdk: sdk.chat.completions.create(**asked)


@pytest.mark.parametrize(
    ("ask", "error", "code", "param"),
    [
        (chat(temperature=3), BadRequestError, "invalid_value", "temperature"),
        (chat(messages=[]), BadRequestError, "invalid_value", "messages"),
        (chat(messages=[{"role": "nobody", "content": "Hi"}]), BadRequestError, "invalid_value", "messages.0.role"),
        (chat(max_completion_tokens=0), BadRequestError, "invalid_value", "max_completion_tokens"),
        (chat(top_logprobs=2), BadRequestError, "invalid_value", "top_logprobs"),
        (chat(extra_body={"unheard_of": 1}), BadRequestError, "invalid_value", "unheard_of"),
        (chat(messages=[{"role": "user", "content": "word " * 900}]), BadRequestError, "context_length_exceeded", None),
        (chat(model="none"), NotFoundError, "model_not_found", "model"),
        (lambda sdk: sdk.get("/nowhere", cast_to=object), NotFoundError, "not_found", None),
        (lambda sdk: sdk.post("/models", cast_to=object), APIStatusError, "method_not_allowed", None),
    ],
)
def test_errors_are_the_clients_own(sdk: OpenAI, ask: Ask, error: type[APIStatusError], code: str, param: str) -> None:
    """By their status; with a type, a code, a parameter that the exception names too, and a request's id."""
    with pytest.raises(error) as told:
        ask(sdk)
    assert (told.value.code, told.value.param) == (code, param)
    assert (param or "") in str(told.value)
    assert not isinstance(told.value, UnprocessableEntityError)
    assert told.value.type
    assert told.value.request_id


def test_keys_that_arent_ours_are_refused(stack: Stack) -> None:
    """Also one with spaces in it."""
    for key in ("My API Key", "fb_0123456789_" + "x" * 43):
        with OpenAI(base_url=f"{stack.url}/v1", api_key=key, max_retries=0) as stranger:
            with pytest.raises(AuthenticationError) as told:
                stranger.models.list()
            assert told.value.code == "invalid_api_key"


def test_bodies_that_are_too_large_are_told_by_status(sdk: OpenAI) -> None:
    """The client has no class of its own for it."""
    with pytest.raises(APIStatusError) as told:
        chat(messages=[{"role": "user", "content": "x" * 5_000_000}])(sdk)
    assert (told.value.status_code, told.value.code) == (413, "body_too_large")


def test_a_key_for_one_answer_gives_it_once(sdk: OpenAI) -> None:
    """The same again is the same answer; another request with it is refused."""
    once = {"Idempotency-Key": "one-key-of-this-test"}
    assert chat(extra_headers=once)(sdk) == chat(extra_headers=once)(sdk)
    with pytest.raises(BadRequestError):
        chat(extra_headers=once, seed=8)(sdk)


def test_a_conflict_isnt_asked_again(sdk: OpenAI, jobs: Jobs) -> None:
    """The client would, and have a job made that somebody has just cancelled: it is told not to."""
    slow = chat(
        model=SLOW,
        messages=[{"role": "user", "content": "word " * 500}],
        metadata={"test": "conflict"},
        max_completion_tokens=500,
    )
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(slow, sdk.with_options(max_retries=2))
        (job,) = waiting.until(lambda: jobs.noted("conflict"))
        jobs.cancel(job["id"])
        with pytest.raises(ConflictError) as told:
            call.result()
    assert told.value.response.headers["x-should-retry"] == "false"
    assert told.value.response.request.headers["x-stainless-retry-count"] == "0"
    assert len(jobs.noted("conflict")) == 1


def test_answers_have_openais_headers(sdk: OpenAI) -> None:
    """So do errors."""
    raw = sdk.chat.completions.with_raw_response.create(model=CHAT, messages=HELLO, max_completion_tokens=1)
    with pytest.raises(BadRequestError) as refused:
        chat(temperature=3)(sdk)
    for headers in (raw.headers, refused.value.response.headers):
        assert headers["x-request-id"]
        assert headers["openai-processing-ms"].isdigit()
        assert headers["openai-version"] == "2020-10-01"
    assert raw.parse()._request_id == raw.headers["x-request-id"]
