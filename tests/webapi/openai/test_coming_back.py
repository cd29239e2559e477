"""Calls whose clients lose them: they come back and find their job, or don't, and then it is ended."""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
import redis
from openai import APITimeoutError, OpenAI

from cli.launcher import embedded
from tests.support import waiting
from tests.support.platform import Stack
from tests.webapi.openai.conftest import SLOW, Jobs

ENDS = ("succeeded", "failed", "cancelled", "expired")


def words(count: int) -> str:
    """A prompt of the test's own, that is said again in 20 ms a word."""
    return " ".join((uuid.uuid4().hex, *(f"word{n}" for n in range(count))))


def call(prompt: str, **more: Any) -> dict[str, Any]:
    return {
        "model": SLOW,
        "messages": [{"role": "user", "content": prompt}],
        "temperature": 0,
        "metadata": {"test": prompt[:32]},
        **more,
    }


@contextmanager
def impatient(stack: Stack, *, retries: int) -> Iterator[OpenAI]:
    """A client that gives up after a second."""
    with OpenAI(base_url=f"{stack.url}/v1", api_key=stack.key, timeout=1, max_retries=retries) as sdk:
        yield sdk


@pytest.mark.parametrize("stream", [False, True])
def test_a_retry_finds_its_job(stack: Stack, sdk: OpenAI, jobs: Jobs, stream: bool) -> None:
    """The client gave up and asked again by itself: one job, one answer."""
    prompt = words(120)
    asked = call(prompt)
    with impatient(stack, retries=8) as client:
        if stream:  # whose client was cut off, and tries again as the library would
            client.chat.completions.create(**asked, stream=True).close()
            again = {"x-stainless-retry-count": "1"}
            chunks = sdk.chat.completions.create(**asked, stream=True, extra_headers=again)
            text = "".join(part.delta.content or "" for chunk in chunks for part in chunk.choices)
        else:
            text = client.chat.completions.create(**asked).choices[0].message.content
    assert prompt in text
    assert [job["status"] for job in jobs.noted(prompt[:32])] == ["succeeded"]


def test_equal_calls_at_once_are_jobs_of_their_own(sdk: OpenAI, jobs: Jobs) -> None:
    """Somebody wanted two answers."""
    prompt = words(30)
    with ThreadPoolExecutor(2) as threads:
        made = list(threads.map(lambda _: sdk.chat.completions.create(**call(prompt)), range(2)))
    assert len({one.id for one in made}) == len(jobs.noted(prompt[:32])) == 2


def test_an_equal_call_later_is_a_job_of_its_own(stack: Stack, sdk: OpenAI, jobs: Jobs) -> None:
    """Only who says that it asks again joins a job."""
    prompt = words(120)
    with impatient(stack, retries=0) as client, pytest.raises(APITimeoutError):
        client.chat.completions.create(**call(prompt))
    sdk.chat.completions.create(**call(prompt))
    assert len(jobs.noted(prompt[:32])) == 2


def test_a_job_nobody_comes_back_for_is_ended_after_a_while(stack: Stack, jobs: Jobs) -> None:
    """Not at once: when its client is known to be gone, it still runs."""
    prompt = words(1500)
    with impatient(stack, retries=0) as client, pytest.raises(APITimeoutError):
        client.chat.completions.create(**call(prompt))
    (job,) = jobs.noted(prompt[:32])
    register = redis.Redis.from_url(embedded.redis_url(stack.data))
    waiting.until(lambda: _is_left(register, job["id"]))
    assert jobs.get(job["id"])["status"] == "running"
    waiting.until(lambda: jobs.get(job["id"])["status"] == "cancelled", look_s=0.2)


def test_a_stream_that_never_pauses_is_waited_for(stack: Stack, sdk: OpenAI, jobs: Jobs) -> None:
    """The register is told so while words come one after the other: else the job would be ended in mid-sentence."""
    prompt = words(1500)
    register = redis.Redis.from_url(embedded.redis_url(stack.data))
    with sdk.chat.completions.create(**call(prompt), stream=True) as chunks:
        next(chunks)
        (job,) = jobs.noted(prompt[:32])
        first = _waited_for(register, job["id"])
        for _ in chunks:
            if _waited_for(register, job["id"]) > first:
                break
        else:
            pytest.fail("it came to its end, and the register wasn't told again")
    jobs.cancel(job["id"])


def _is_left(register: redis.Redis, job_id: str) -> bool:
    """Whether the register of calls says that nobody waits for this job."""
    seconds, microseconds = register.time()
    return _waited_for(register, job_id) <= seconds + microseconds / 1e6


def _waited_for(register: redis.Redis, job_id: str) -> float:
    """Until when the job is known to be waited for, by Redis' clock."""
    calls = dict(register.zrange("forebay:calls", 0, -1, withscores=True))
    return float(next(until for call, until in calls.items() if call.decode().endswith(job_id.removeprefix("job_"))))


def test_a_worker_that_dies_in_a_stream_is_noticed_by_nobody(stack: Stack, sdk: OpenAI, jobs: Jobs) -> None:
    """The answer goes on where it was cut, in the same stream."""
    prompt = words(150)
    said, killed = "", False
    for chunk in sdk.chat.completions.create(**call(prompt), stream=True):
        said += "".join(part.delta.content or "" for part in chunk.choices)
        if not killed and "word20" in said:
            stack.started(f"worker-{SLOW}").kill()
            killed = True
    (job,) = jobs.noted(prompt[:32])
    assert said == job["result"]["message"]["content"]
    assert said.count(prompt) == 1
    assert [attempt["how"] for attempt in jobs.get(job["id"])["attempts"]] == ["lost", "succeeded"]
