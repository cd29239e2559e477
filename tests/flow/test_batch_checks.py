"""Files of requests that are looked at and not run."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import pytest
from openai import OpenAI

from tests.flow.test_batches import CHAT, chat
from tests.support.platform import Stack


@pytest.fixture
def http(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.url, headers=stack.headers, timeout=60) as client:
        yield client


def sent(http: httpx.Client, lines: Sequence[Any]) -> str:
    text = "".join(json.dumps(line) + "\n" for line in lines)
    response = http.post("/v1/files", data={"purpose": "batch"}, files={"file": ("lines.jsonl", text)})
    return str(response.json()["id"])


def checked(http: httpx.Client, lines: Sequence[Any]) -> dict[str, Any]:
    asked = {"input_file_id": sent(http, lines), "endpoint": CHAT}
    response = http.post("/v1/batches/check", json=asked)
    assert response.status_code == 200, response.text
    return dict(response.json())


def known(http: httpx.Client) -> list[str]:
    """The ids of all batches and chats that there are."""
    return [each["id"] for path in ("/v1/batches", "/v1/jobs?type=chat") for each in http.get(path).json()["data"]]


def test_a_file_is_looked_at_and_nothing_of_it_is_run(http: httpx.Client) -> None:
    """How many requests of which models; about how many tokens, as measured where that can be; which is the largest."""
    before = known(http)
    lines = [chat(f"line {n}", "word " * 20 * (n + 1), max_tokens=7) for n in range(4)] + [chat("long", "a", n=2)]
    found = checked(http, lines)
    assert (found["valid"], found["errors"], found["lines"]) == (True, [], 5)
    [model] = found["models"]
    assert (model["model"], model["lines"], model["unbounded_lines"]) == ("echo", 5, 1)
    assert model["most_completion_tokens"] == 28
    assert model["prompt_tokens"] == round(model["bytes"] / model["bytes_per_token"])
    assert 1000 < model["bytes"] < 1600
    assert found["largest_line"] == {
        "line": 4,
        "custom_id": "line 3",
        "bytes": len(json.dumps(lines[3])),
    }
    assert known(http) == before


def test_a_token_is_measured_on_jobs_that_were_kept(http: httpx.Client) -> None:
    """And a time is said once one has ended."""
    for _ in range(2):
        asked = {"type": "chat", "model": "echo", "input": {"messages": [{"role": "user", "content": "word " * 100}]}}
        job = http.post("/v1/jobs", json=asked).json()
        http.get(f"/v1/jobs/{job['id']}", params={"wait": 30})
    [model] = checked(http, [chat("one", "word " * 100)])["models"]
    assert model["bytes_per_token_measured"]
    assert model["bytes_per_token"] != 4.0


def test_everything_that_is_wrong_is_told_by_its_line(http: httpx.Client) -> None:
    """What is right is counted all the same, and so is a request that its model has no room for, of which is warned."""
    lines = [
        chat("a", "x"),
        chat("a", "x"),
        chat("b", "x", top_p=7),
        "none",
        chat("c", "word " * 100_000),
        chat("d", "x"),
    ]
    found = checked(http, lines)
    assert not found["valid"]
    told = [(error["line"], error["param"]) for error in found["errors"]]
    assert told[:2] == [(2, "custom_id"), (3, "body.top_p")]
    assert [line for line, _ in told] == [2, 3, 4]
    assert found["lines"] == 6
    assert found["models"][0]["lines"] == 3
    [warning] = found["warnings"]
    assert (warning["line"], warning["code"]) == (5, "context_length_exceeded")


def test_another_tenants_file_is_none(http: httpx.Client, stack: Stack) -> None:
    """As one that never was; so is a file that is no batch's."""
    never = "file-" + "0" * 32
    response = http.post("/v1/batches/check", json={"input_file_id": never, "endpoint": CHAT})
    assert (response.status_code, response.json()["error"]["param"]) == (400, "input_file_id")
    with OpenAI(base_url=f"{stack.url}/v1", api_key=stack.key) as sdk:
        other = sdk.files.create(file=("x.txt", b"x"), purpose="user_data")
    response = http.post("/v1/batches/check", json={"input_file_id": other.id, "endpoint": CHAT})
    assert response.status_code == 400
    assert "must be batch" in response.json()["error"]["message"]
