"""`/v1/responses/compact`: a conversation summed up, and gone on with from the summary."""

from typing import Any

import pytest
import redis
from openai import OpenAI
from sqlalchemy import select

from db.jobs import Job
from db.session import Sessions
from tasks import ids
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Outcome
from tasks.jobs.requests import Stored
from tasks.kinds import compaction
from tasks.kinds.response import ResponseKind
from tasks.limits.spent import Spent
from tests.webapi import byhand
from tests.webapi.conftest import Api
from tests.webapi.openai.test_conversations import error, said

BOTH = [said("one"), said("two", "assistant"), said("three")]


def summed_up(job: Any) -> tuple[list[Any], Outcome]:
    """A worker that sums up in two words, and says what it was asked."""
    texts = [item["content"][0]["text"] for item in [*job.input.get("before", ()), *job.input["items"]]]
    result = {"message": {"role": "assistant", "content": " ".join(texts[:-1])}, "finish_reason": "stop"}
    return [], Outcome(Status.SUCCEEDED, Spent(2, 1), result)


def compact(api: Api, sessions: Sessions, client: redis.Redis, **given: Any) -> dict[str, Any]:
    with byhand.working(sessions, client, summed_up) as done:
        response = api.post("/v1/responses/compact", json=given)
    assert response.status_code == 200, response.text
    assert [(job.type, job.params["max_tokens"]) for job in done] == [("compact", compaction.MAX_TOKENS)]
    return dict(response.json)


def test_what_users_said_stays_beside_a_summary_of_all(api: Api, sessions: Sessions, client: redis.Redis) -> None:
    """The summary is one item, last; what it cost is told."""
    made = compact(api, sessions, client, input=BOTH)
    assert made["object"] == "response.compaction"
    one, three, summary = made["output"]
    assert [item["content"][0]["text"] for item in (one, three)] == ["one", "three"]
    assert summary["type"] == "compaction"
    assert summary["id"].startswith("cmp_")
    assert compaction.opened(summary["encrypted_content"]) == "one two three"
    assert made["usage"]["total_tokens"] == 3


def test_a_response_is_summed_up_with_all_before_it(api: Api, sessions: Sessions, client: redis.Redis) -> None:
    asked = api.post("/v1/responses", json={"input": "one", "background": True}).json["id"]
    run = byhand.run(sessions, client, asked.replace("resp_", "job_"))
    result = {"message": {"role": "assistant", "content": "two"}, "finish_reason": "stop"}
    run.end(Outcome(Status.SUCCEEDED, Spent(2, 1), result))
    made = compact(api, sessions, client, previous_response_id=asked, input="three")
    assert [item["type"] for item in made["output"]] == ["message", "message", "compaction"]
    assert compaction.opened(made["output"][-1]["encrypted_content"]) == "one two three"


def test_the_next_request_reads_the_summary(api: Api, sessions: Sessions, client: redis.Redis) -> None:
    """Given back as it came."""
    given = compact(api, sessions, client, input=BOTH)["output"]
    asked = api.post("/v1/responses", json={"input": [*given, said("four")], "background": True})
    job_id = ids.parse(asked.json["id"], ids.RESPONSE)
    with sessions() as session:
        stored = session.execute(select(Job.input, Job.params).where(Job.id == job_id)).one()
    turns = ResponseKind().parse(Stored(*stored)).turns
    assert [turn.text for turn in turns] == ["one", "three", f"{compaction.SUMMED_UP}one two three", "four"]


def test_the_stock_client_reads_it(sdk: OpenAI) -> None:
    made = sdk.responses.compact(model="echo", input="The tide is high.")
    assert [item.type for item in made.output] == ["message", "compaction"]


def test_nothing_is_summed_up_where_nothing_was_said(api: Api) -> None:
    """No job is made of it."""
    made = api.post("/v1/responses/compact", json={"model": "alpha"}).json
    assert (made["object"], made["output"], made["usage"]["total_tokens"]) == ("response.compaction", [], 0)
    assert api.get("/v1/jobs").json["data"] == []


def test_anothers_response_is_like_none(api: Api, theirs: Api) -> None:
    foreign = theirs.post("/v1/responses", json={"input": "one", "background": True}).json["id"]
    refused = api.post("/v1/responses/compact", json={"input": "x", "previous_response_id": foreign})
    assert error(refused) == (400, "previous_response_not_found", "previous_response_id")
    assert refused.json["error"]["message"] == f"previous_response_id: Previous response with id '{foreign}' not found."


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"input": [{"type": "compaction", "encrypted_content": "gAAAA"}]}, "input.0.encrypted_content"),
        ({"input": [{"type": "compaction", "encrypted_content": "forebay1.AA=="}]}, "encrypted_content"),
        ({"input": "x", "previous_response_id": "resp_" + "0" * 32}, "previous_response_id"),
        ({"input": "x", "model": "nobody"}, "model"),
    ],
)
def test_what_cannot_be_read_is_refused(api: Api, given: Any, param: str) -> None:
    refused = error(api.post("/v1/responses/compact", json=given))
    assert refused[0] in (400, 404)
    assert param in str(refused[2])
