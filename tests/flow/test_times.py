"""Times of jobs on the whole platform, kept by the sweeps of its workers."""

import datetime as dt
from collections.abc import Iterator

import pytest

from cli.client.client import Client
from tests.support.platform import Stack

LONG = "word " * 1000  # twenty seconds of the echo model's


@pytest.fixture
def client(stack: Stack) -> Iterator[Client]:
    with Client(stack.url, stack.key) as client:
        yield client


def ahead(seconds: float) -> str:
    return (dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)).isoformat()


def echo(client: Client, prompt: str, **times: object) -> str:
    job = client.submit({"type": "generate", "model": "echo", "input": {"prompt": prompt}, **times})
    return str(job["id"])


def test_job_starts_at_its_time(client: Client) -> None:
    """Nobody wakes it but the sweep, and it doesn't start before."""
    job = client.end(echo(client, "one two", run_at=ahead(2)))
    assert job["status"] == "succeeded"
    assert job["run_at"] <= job["started_at"]


def test_job_past_its_deadline_is_stopped_and_its_slot_is_free(client: Client) -> None:
    """The stream ends, what was said is charged, and the worker goes on to others."""
    job_id = echo(client, LONG, deadline_s=5)  # its prompt takes one
    ended = client.end(job_id)
    assert (ended["status"], ended["error"]["code"]) == ("failed", "deadline_exceeded")
    said = [event.data["text"] for event in client.events(job_id) if event.type == "delta"]
    assert 0 < ended["usage"]["completion_tokens"] == sum(len(text.split()) for text in said) < 1000
    assert client.get(job_id)["attempts"][0]["error_code"] == "deadline_exceeded"
    assert client.end(echo(client, "one two"))["status"] == "succeeded"


def test_job_that_finds_no_free_slot_in_time_expires(client: Client) -> None:
    """Four that take long fill the model's slots: the fifth doesn't start in time."""
    busy = [echo(client, LONG) for _ in range(4)]
    ended = client.end(echo(client, "one two", max_queue_s=1))
    for job_id in busy:
        client.cancel(job_id)
    assert (ended["status"], ended["started_at"]) == ("expired", None)
