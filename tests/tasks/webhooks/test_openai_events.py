"""What OpenAI's clients are told of batches and responses: one event for each end, whoever ends it, and no more."""

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
import redis

from db import batches
from db.jobs import Job
from db.session import Sessions
from tasks import ids
from tasks.batches import batches as rooms
from tasks.batches import states
from tasks.files import files
from tasks.files.files import Wish
from tasks.jobs import endings
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Outcome
from tasks.keys import Caller
from tasks.limits.spent import Spent
from tasks.streams.transcript import Transcript
from tasks.webhooks import deliveries, messages
from tests import hooks, tables
from tests.support.post import Post
from tests.tasks.sweep.sweeping import made

Ending = Callable[[Sessions, redis.Redis, Caller], uuid.UUID]


def response(background: bool | None = True) -> dict[str, Any]:
    """What `tables.submission` takes for one."""
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello"}]}
    said = {} if background is None else {"background": background}
    return {"type": "response", "input": {"items": [item], "said": said}}


def finished(status: Status, result: dict[str, Any] | None = None, error: tuple[str, str] | None = None) -> Ending:
    """By the attempt that ran it."""

    def finish(sessions: Sessions, client: redis.Redis, caller: Caller) -> uuid.UUID:
        job_id = hooks.begin(sessions, caller, **response())
        with sessions.begin() as session:
            tables.finish(session, job_id, 1, Transcript(), Outcome(status, Spent(2, 1), result, error=error))
        return job_id

    return finish


def cancelled(running: bool) -> Ending:
    def cancel(sessions: Sessions, client: redis.Redis, caller: Caller) -> uuid.UUID:
        begun = hooks.begin(sessions, caller, **response()) if running else None
        job_id = begun or tables.submit(sessions, caller, **response()).id
        for _ in range(2):
            endings.cancel(sessions, client, caller, job_id, 60)
        return job_id

    return cancel


def poisoned(sessions: Sessions, client: redis.Redis, caller: Caller) -> uuid.UUID:
    job_id = hooks.begin(sessions, caller, **response())
    with sessions.begin() as session:
        tables.put(session, job_id, Status.RUNNING, crashes=2)
    made(sessions, client, Post())._round(steady=True)
    return job_id


def said(reason: str) -> dict[str, Any]:
    return {"message": {"role": "assistant", "content": "Hi"}, "finish_reason": reason}


@pytest.mark.parametrize(
    ("how", "type"),
    [
        (finished(Status.SUCCEEDED, said("stop")), "response.completed"),
        (finished(Status.SUCCEEDED, said("tool_calls")), "response.completed"),
        (finished(Status.SUCCEEDED, said("length")), "response.incomplete"),
        (finished(Status.FAILED, error=("engine_error", "?")), "response.failed"),
        (cancelled(running=False), "response.cancelled"),
        (cancelled(running=True), "response.cancelled"),
        (poisoned, "response.failed"),
    ],
)
def test_an_end_of_a_response_is_one_event(
    sessions: Sessions, client: redis.Redis, caller: Caller, how: Ending, type: str
) -> None:
    """In OpenAI's form, to whoever asked for it; whoever asked for jobs' ends has that of the job, as of any other."""
    ours = hooks.endpoint(sessions, caller, events=messages.RESPONSE_EVENTS)
    theirs = hooks.endpoint(sessions, caller)
    job_id = how(sessions, client, caller)
    told = {delivery.endpoint_id: delivery for delivery in hooks.listed(sessions, caller)}
    assert len(hooks.listed(sessions, caller)) == 2
    assert (told[ours.id].type, told[ours.id].job_id) == (type, job_id)
    assert (told[theirs.id].type.partition(".")[0], told[theirs.id].job_id) == ("job", job_id)
    [event] = [json.loads(one.payload) for one in hooks.take(sessions) if one.endpoint_id == ours.id]
    with sessions() as session:
        job = session.get_one(Job, job_id)
        assert job.finished_at
        assert event == {
            "id": ids.show(told[ours.id].message_id, ids.EVENT),
            "object": "event",
            "created_at": int(job.finished_at.timestamp()),
            "type": type,
            "data": {"id": ids.show(job_id, ids.RESPONSE)},
        }


def batch(sessions: Sessions, caller: Caller) -> uuid.UUID:
    """The job of a batch, which runs."""
    with sessions.begin() as session:
        file = files.insert(session, caller, Wish("in.jsonl", "batch"), 0)
    asked = {"input_file_id": ids.show(file.id, ids.FILE), "endpoint": "/v1/chat/completions"}
    window = {"completion_window": "24h", "window_s": 86_400}
    return hooks.begin(sessions, caller, type="batch", model=None, input=asked, params=window)


@pytest.mark.parametrize("ending", ["completed", "failed", "cancelled", "expired"])
def test_an_end_of_a_batch_is_called_as_the_batch_has_ended(sessions: Sessions, caller: Caller, ending: str) -> None:
    """Its job has succeeded whenever the files are written."""
    hooks.endpoint(sessions, caller, events=messages.BATCH_EVENTS)
    job_id = batch(sessions, caller)
    with sessions.begin() as session:
        batches.end(session, [job_id], ending)
        states.ended(session, job_id, 1)
        tables.finish(session, job_id, 1, Transcript(), Outcome(Status.SUCCEEDED, Spent(0), {}))
    [parcel] = hooks.take(sessions)
    event = json.loads(parcel.payload)
    assert (event["type"], event["data"]) == (f"batch.{ending}", {"id": ids.show(job_id, ids.BATCH)})


@pytest.mark.parametrize("status", [Status.CANCELLED, Status.FAILED])
def test_a_batch_whose_job_was_ended_from_outside_has_ended_like_it(
    sessions: Sessions, client: redis.Redis, caller: Caller, status: Status
) -> None:
    """Before its files were there, whatever it was to end for; it is shown so too."""
    hooks.endpoint(sessions, caller, events=messages.BATCH_EVENTS)
    job_id = batch(sessions, caller)
    with sessions.begin() as session:
        batches.end(session, [job_id], "completed")
        doomed = endings.doom(session, session.get_one(Job, job_id), status, ("poison", "?"))
    endings.end_running(sessions, client, doomed, 60)
    assert [delivery.type for delivery in hooks.listed(sessions, caller)] == [f"batch.{status}"]
    with sessions() as session:
        assert rooms.get(session, caller, job_id).status == status


def test_ends_of_many_are_an_event_each(sessions: Sessions, client: redis.Redis, caller: Caller) -> None:
    """Where one statement ends them all."""
    hooks.endpoint(sessions, caller, events=messages.EVENTS)
    jobs = {tables.submit(sessions, caller, **response()).id for _ in range(3)}
    with sessions.begin() as session:
        endings.end_waiting(session, Status.EXPIRED, None, Job.id.in_(jobs))
    told = [(delivery.type, delivery.job_id) for delivery in hooks.listed(sessions, caller)]
    assert sorted(told) == sorted((type, job) for type in ("job.expired", "response.failed") for job in jobs)


@pytest.mark.parametrize("asked", [response(background=False), response(background=None), {"type": "generate"}])
def test_who_waits_for_an_answer_is_told_by_it(sessions: Sessions, caller: Caller, asked: dict[str, Any]) -> None:
    """Of what didn't run in the background, and of other jobs, there are no events but jobs'."""
    hooks.endpoint(sessions, caller, events=messages.EVENTS)
    hooks.end(sessions, caller, **asked)
    assert [delivery.type for delivery in hooks.listed(sessions, caller)] == ["job.succeeded"]


@pytest.mark.parametrize(("events", "is_openais"), [(messages.BATCH_EVENTS, True), (messages.EVENTS, False)])
def test_a_trial_has_the_form_of_what_its_receiver_hears(
    sessions: Sessions, caller: Caller, events: tuple[str, ...], is_openais: bool
) -> None:
    """OpenAI's where it hears of nothing else."""
    hook = hooks.endpoint(sessions, caller, events=events)
    with sessions.begin() as session:
        tried = deliveries.test(session, caller, hook.id)
    [parcel] = hooks.take(sessions)
    told, shown = json.loads(parcel.payload), ids.show(hook.id, ids.WEBHOOK)
    assert told["type"] == "webhook.test"
    if is_openais:
        assert (told["id"], told["object"]) == (ids.show(tried.message_id, ids.EVENT), "event")
        assert (told["data"], told["created_at"]) == ({"id": shown}, int(tried.created_at.timestamp()))
    else:
        assert told["data"] == {"webhook": shown}
