"""Calls that don't wait for their answers, or not for long."""

import uuid

import httpx
import pytest
import redis
from openai import APIStatusError, OpenAI

from cli.launcher import embedded
from tests.support import waiting
from tests.support.platform import Stack
from tests.webapi.openai.conftest import CHAT, SLOW, Jobs

LONG = " ".join(f"word{n}" for n in range(60))


def asked(stack: Stack, path: str, body: dict[str, object], **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.post(f"{stack.url}/v1/{path}", json=body, headers=stack.headers | named, timeout=70)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("chat/completions", {"model": SLOW, "messages": [{"role": "user", "content": LONG}]}),
        ("chat/completions", {"model": SLOW, "messages": [{"role": "user", "content": LONG}], "stream": True}),
        ("completions", {"model": SLOW, "prompt": LONG, "max_tokens": 50}),
        ("completions", {"model": SLOW, "prompt": [LONG, LONG], "n": 2, "max_tokens": 50}),
    ],
)
def test_whoever_wont_wait_gets_the_job(stack: Stack, jobs: Jobs, path: str, body: dict[str, object]) -> None:
    """202 and its address at once; its answer is there when it has ended."""
    accepted = asked(stack, path, body, Prefer="respond-async")
    assert (accepted.status_code, accepted.headers["Preference-Applied"]) == (202, "respond-async")
    job = accepted.json()
    assert accepted.headers["Location"] == f"/v1/jobs/{job['id']}"
    assert waiting.until(lambda: jobs.get(job["id"])["status"] == "succeeded")


def test_whoever_waits_a_while_gets_the_answer_if_it_is_there_by_then(stack: Stack, jobs: Jobs) -> None:
    """Else the job, which goes on."""
    body: dict[str, object] = {"model": SLOW, "messages": [{"role": "user", "content": "one two"}]}
    answer = asked(stack, "chat/completions", body, Prefer="wait=60")
    assert (answer.status_code, answer.headers["Preference-Applied"]) == (200, "wait=60")
    assert answer.json()["object"] == "chat.completion"
    body["messages"] = [{"role": "user", "content": LONG * 8}]
    pending = asked(stack, "chat/completions", body, Prefer="wait=1")
    assert pending.status_code == 202
    assert jobs.get(pending.json()["id"])["status"] in ("queued", "running")
    jobs.cancel(pending.json()["id"])


def test_headers_say_how_it_is_queued(stack: Stack, jobs: Jobs) -> None:
    """Lane, priority and deadline are the job's."""
    body: dict[str, object] = {"model": CHAT, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
    said = {"X_Forebay_Lane": "batch", "X_Forebay_Priority": "7", "X_Forebay_Deadline": "60"}
    job = jobs.get(asked(stack, "chat/completions", body, Prefer="respond-async", **said).json()["id"])
    assert (job["lane"], job["priority"], job["deadline_s"]) == ("batch", 7, 60)


def test_a_job_that_was_cancelled_has_no_answer(sdk: OpenAI, jobs: Jobs) -> None:
    """Its call is told so, and not to ask again; in a stream, too."""
    messages = [{"role": "user", "content": LONG * 8}]
    stream = sdk.chat.completions.create(model=SLOW, messages=messages, stream=True)  # type: ignore[call-overload]
    first = next(iter(stream))
    jobs.cancel(f"job_{first.id.removeprefix('chatcmpl-')}")
    with pytest.raises(Exception, match="cancelled") as told:
        list(stream)
    assert not isinstance(told.value, APIStatusError)  # the answer had begun


def test_a_queued_stream_says_where_it_stands(stack: Stack, jobs: Jobs) -> None:
    """In comments, which clients pass over, so that no proxy takes it for dead."""
    body: dict[str, object] = {"model": SLOW, "messages": [{"role": "user", "content": LONG * 4}]}
    ahead = [asked(stack, "chat/completions", body, Prefer="respond-async").json()["id"] for _ in range(8)]
    with httpx.stream(
        "POST", f"{stack.url}/v1/chat/completions", json=body | {"stream": True}, headers=stack.headers, timeout=70
    ) as streamed:
        first = next(line for line in streamed.iter_lines() if line)
    assert first.startswith(": queued, ")
    for job_id in ahead:
        jobs.cancel(job_id)


def test_a_job_that_is_the_answer_is_kept(stack: Stack, jobs: Jobs) -> None:
    """Its client comes for what it came to whenever it likes; of one that was answered nothing is kept."""
    body: dict[str, object] = {"model": CHAT, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
    kept = asked(stack, "chat/completions", body, Prefer="respond-async").json()["id"]
    refused = asked(stack, "chat/completions", body | {"store": False}, Prefer="respond-async").json()["id"]
    answered = jobs.of(asked(stack, "chat/completions", body).json()["id"])["id"]
    stores = [jobs.row(job_id, "SELECT store FROM jobs WHERE id = %(id)s") for job_id in (kept, refused, answered)]
    assert stores == [(None,), (False,), (False,)]


def test_key_of_an_answer_that_was_erased_is_a_conflict(stack: Stack, jobs: Jobs) -> None:
    """Not an empty answer, and no second job."""
    body: dict[str, object] = {"model": CHAT, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
    once = {"Idempotency_Key": uuid.uuid4().hex}
    job = jobs.of(asked(stack, "chat/completions", body, **once).json()["id"])["id"]
    jobs.row(job, "DELETE FROM job_outputs WHERE job_id = %(id)s RETURNING 1")
    refused = asked(stack, "chat/completions", body, **once)
    assert (refused.status_code, refused.headers["x-should-retry"]) == (409, "false")


def test_job_that_was_handed_out_is_nobodys_to_forsake(stack: Stack, jobs: Jobs) -> None:
    """Another request with its key may wait for it, and leave: the job goes on for whoever has its id."""
    body: dict[str, object] = {"model": SLOW, "messages": [{"role": "user", "content": LONG * 4}]}
    once = {"Idempotency_Key": uuid.uuid4().hex}
    job = asked(stack, "chat/completions", body, Prefer="respond-async", **once).json()["id"]
    register = redis.Redis.from_url(embedded.redis_url(stack.data))
    headers = stack.headers | {"Idempotency-Key": once["Idempotency_Key"]}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{stack.url}/v1/chat/completions", json=body, headers=headers, timeout=0.5)
    waited_for = register.zrange("forebay:calls", 0, -1)
    assert not any(call.decode().endswith(job.removeprefix("job_")) for call in waited_for)
    jobs.cancel(job)
