"""The whole line, from HTTP to the record, on the demo model by both libraries and the echo engine."""

import signal
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support.events import read
from tests.support.platform import Stack

QUESTION = "Context: The code of the harbour is 19.\nQuestion: What is the code of the harbour?"
EITHER = pytest.mark.parametrize("model", ["demo-chat", "demo-ct"])


@pytest.fixture
def http(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.url, headers=stack.headers, timeout=70) as client:
        yield client


def submit(http: httpx.Client, **job: Any) -> dict[str, Any]:
    answer = http.post("/v1/jobs", json=job)
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


def ended(http: httpx.Client, job: dict[str, Any]) -> dict[str, Any]:
    return dict(http.get(job["links"]["self"], params={"wait": 60}).json())


def events(http: httpx.Client, job: dict[str, Any]) -> list[tuple[str, Any]]:
    with http.stream("GET", job["links"]["events"]) as answer:
        return [(event.type, event.data) for event in read(answer.iter_lines())]


@EITHER
def test_chat_is_answered_streamed_and_written_down(http: httpx.Client, model: str) -> None:
    """Submit, follow, read again: the deltas are the answer, the last event is the record but for its attempts."""
    messages = [{"role": "user", "content": QUESTION}]
    given = {"model": model} if model != "demo-chat" else {}  # it is the default
    asked = {"type": "chat", "input": {"messages": messages}, "params": {"temperature": 0}}
    job = submit(http, **asked, metadata={"n": "1"}, **given)
    assert (job["status"], job["model"]) == ("queued", model)
    told = [(name, data) for name, data in events(http, job) if name != "queued"]
    record = ended(http, job)
    assert [attempt["how"] for attempt in record.pop("attempts")] == ["succeeded"]
    assert record["result"] == {
        "message": {"role": "assistant", "content": "The code of the harbour is 19."},
        "finish_reason": "stop",
    }
    assert record["usage"] == {"prompt_tokens": 31, "completion_tokens": 12}
    assert record["metadata"] == {"n": "1"}
    assert told[0][0] == "started"
    assert "".join(data["text"] for name, data in told if name == "delta") == "The code of the harbour is 19."
    assert told[-1] == ("succeeded", record)


@EITHER
def test_generation_with_a_seed_comes_out_the_same_twice(http: httpx.Client, model: str) -> None:
    """Sampled text is repeatable, and ends at max_tokens."""
    asked = {"type": "generate", "model": model, "input": {"prompt": "User: Tell me a story about Anna.\nAssistant:"}}
    params = {"temperature": 1.1, "seed": 3, "max_tokens": 30}
    first, second = (ended(http, submit(http, **asked, params=params)) for _ in range(2))
    assert first["result"] == second["result"]
    assert first["usage"]["completion_tokens"] <= 30


@EITHER
def test_prompt_too_long_by_its_tokens_fails_before_generation(http: httpx.Client, model: str) -> None:
    """Small enough in bytes to be accepted, too many tokens for the context: the worker's count decides."""
    record = ended(http, submit(http, type="generate", model=model, input={"prompt": "q7 " * 600}))
    assert record["status"] == "failed"
    assert record["error"]["code"] == "context_length_exceeded"
    assert record["usage"] == {"prompt_tokens": 0, "completion_tokens": 0}


def test_job_cancelled_in_its_prompt_is_charged_what_was_evaluated(http: httpx.Client) -> None:
    """As far as its last `progress` told, not the whole prompt."""
    job = submit(http, type="generate", model="echo", input={"prompt": "word " * 3000})
    with http.stream("GET", job["links"]["events"]) as answer:
        told = next(event.data for event in read(answer.iter_lines()) if event.type == "progress")
        cancelled = http.post(job["links"]["cancel"]).json()
    assert told["total"] == 3000
    assert told["done"] <= cancelled["usage"]["prompt_tokens"] < 3000
    assert cancelled["usage"]["completion_tokens"] == 0


@EITHER
def test_running_job_is_cancelled_and_its_slot_is_free_again(http: httpx.Client, model: str) -> None:
    """Cancel ends the job at once, the stream with it, and the worker serves the next."""
    endless = {"type": "generate", "model": model, "input": {"prompt": "Repeat: a b c"}}
    params = {"temperature": 2.0, "top_k": 0, "min_p": 0.0}
    answers: list[dict[str, Any]] = []
    for seed in range(8):
        job = submit(http, **endless, params={**params, "seed": seed})
        answer = http.post(job["links"]["cancel"]).json()
        answers.append(answer)
        assert answer["status"] in ("cancelled", "succeeded")  # a short one may have made it
        assert http.post(job["links"]["cancel"]).json() == answer
        assert events(http, job)[-1] == (answer["status"], answer)
    assert any(answer["status"] == "cancelled" for answer in answers)
    assert ended(http, submit(http, **endless, params={"max_tokens": 1}))["status"] == "succeeded"


def test_batch_of_jobs_all_end_and_listing_finds_them(http: httpx.Client) -> None:
    """Forty jobs in two lanes on four slots: all succeed, pages show each once, newest first."""
    lanes = ("interactive", "batch")
    asked = {"type": "generate", "model": "echo", "params": {"temperature": 0}}
    began = time.time()
    jobs = [submit(http, **asked, input={"prompt": f"job {n} here"}, lane=lanes[n % 2]) for n in range(40)]
    records = [ended(http, job) for job in jobs]
    assert [record["result"]["text"] for record in records] == [f"job {n} here" for n in range(40)]
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began - 1))
    seen: list[str] = []
    page: dict[str, Any] = {"next": None}
    while not seen or page["next"]:
        cursor = {"after": page["next"]} if page["next"] else {}
        page = http.get("/v1/jobs", params={"limit": 7, "model": "echo", "since": since, **cursor}).json()
        seen += [job["id"] for job in page["data"]]
    assert len(set(seen)) == len(seen)
    asked_here = {job["id"] for job in jobs}  # jobs of the test before may have begun within the same second
    assert [job_id for job_id in seen if job_id in asked_here] == [job["id"] for job in reversed(jobs)]


@EITHER
def test_strange_prompts_end_and_the_next_is_served(http: httpx.Client, model: str) -> None:
    """Texts that break tokenizers: each has a result or an error with a name, and the worker is still there."""
    prompts = [
        "日本語テキスト" * 20,
        "日本語テキスト" * 200,
        "👩‍👩‍👧‍👦" * 20,
        "\x01\x02\x7f\u202e\ufeff",
        "<s></s>" * 30,
        " ",
    ]
    asked = {"type": "generate", "model": model, "params": {"max_tokens": 20, "seed": 1}}
    jobs = [submit(http, **asked, input={"prompt": prompt}) for prompt in prompts]
    records = [ended(http, job) for job in jobs]
    told = [record["error"]["code"] if record["error"] else record["status"] for record in records]
    assert told == ["succeeded", "context_length_exceeded", *["succeeded"] * 4]
    assert ended(http, submit(http, **asked, input={"prompt": "hello"}))["status"] == "succeeded"


def test_dead_engine_host_costs_a_pause_and_the_next_job_is_served(http: httpx.Client, stack: Stack) -> None:
    """The library crashes its process on what it doesn't like: the worker lives, and goes on to the same text."""
    asked = {
        "type": "generate",
        "model": "demo-ct",
        "input": {"prompt": "User: Tell me a story about Anna.\nAssistant:"},
    }
    whole = ended(http, submit(http, **asked, params={"temperature": 0}))
    jobs = [submit(http, **asked, params={"temperature": 0}) for _ in range(6)]
    worker = stack.started("worker-demo-ct")
    for host in worker.children():
        host.send_signal(signal.SIGSEGV)
    assert [ended(http, job)["result"] for job in jobs] == [whole["result"]] * 6
    assert worker.is_running()
