"""Jobs that embed and ask, stage by stage, on real PostgreSQL and Redis with echo engines."""

import threading
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from db import vectors
from db.documents import collections
from db.scope import scope
from db.session import Sessions
from tasks import ids
from tasks.jobs import attempts, endings, outcomes, stages
from tasks.keys import Caller
from tasks.streams import stream
from tasks.streams.events import Passages
from tests import tables
from tests.support import entries
from tests.support.waiting import until
from tests.workers.conftest import MakeWorker
from tests.workers.staged import FACTS, asking, embedding, ingesting, look, written
from workers import run
from workers.attempt import Stop
from workers.engines.echo import Echo
from workers.worker import Worker


def sent(worker: Worker) -> list[str]:
    """Runs the refiller as long as it has something to do; what it sent."""
    worker.gone.set()
    worker.refiller.run(worker.gone)
    worker.gone.clear()
    post: Any = worker.dispatcher.sender
    return [job_id for job_id, _ in post.sent]


def test_embed_job_ends_with_its_vectors_beside_the_record(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker
) -> None:
    """The record and the stream link to them; usage is every token; what is kept is what the engine gave."""
    job_id = embedding(sessions, caller, "one two three", "four")
    run.run(make_worker("embedder"), job_id)
    record = look(sessions, caller, job_id)
    assert record.result == {"count": 2, "dimensions": 16, "link": f"/v1/jobs/{ids.show(job_id)}"}
    assert tables.usage_rows(sessions, job_id) == [(4, 0)]
    with sessions() as session:
        stored = vectors.load(session, job_id)
    echo = Echo("echo", 1, 64)
    assert np.array_equal(stored, echo.embed(echo.tokenize(["one two three", "four"])))
    events = stream.read(make_worker("embedder").client, job_id)
    assert entries.told(events) == ["started", "succeeded"]
    assert events[-1].entry.event == record.end()


def test_text_too_long_for_the_model_fails_its_job_by_number(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker
) -> None:
    job_id = embedding(sessions, caller, "short", "word " * 65)
    run.run(make_worker("embedder"), job_id)
    assert look(sessions, caller, job_id).error == {
        "code": "context_length_exceeded",
        "message": "text 1 has 65 tokens; the model takes 64",
    }


def test_question_is_answered_from_its_passages_in_two_stages(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker
) -> None:
    """Found on one model, answered on another; one job, one usage row, both models' tokens."""
    run.run(make_worker("embedder"), ingesting(sessions, caller, written(FACTS)))
    job_id = asking(sessions, caller, "Where is the lamp?", max_tokens=3)
    finder, writer = make_worker("embedder"), make_worker("alpha")
    tables.worker(sessions, "other", model="alpha")
    run.run(finder, job_id)
    assert tables.column(sessions, job_id, "stage") == stages.GENERATE
    assert look(sessions, caller, job_id).status == "queued"
    assert str(job_id) in sent(finder)
    run.run(writer, job_id)
    record = look(sessions, caller, job_id)
    assert (record.status, record.model) == ("succeeded", "alpha")
    assert record.result is not None
    assert record.result["text"] == "Answer the question "
    assert [passage["text"] for passage in record.result["passages"]] == [FACTS]
    assert record.result["passages"][0]["metadata"] == {"from": "test"}
    assert record.usage is not None
    assert record.usage["embedding_tokens"] == 4
    events = stream.read(writer.client, job_id)
    assert entries.told(events)[:4] == ["started", "question", "passages", "delta"]
    assert events[2].entry.event == Passages(record.result["passages"])
    assert len(tables.usage_rows(sessions, job_id)) == 1


def test_question_to_a_collection_deleted_meanwhile_fails_by_name(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker
) -> None:
    finder = make_worker("embedder")
    run.run(finder, ingesting(sessions, caller, written(FACTS)))
    job_id = asking(sessions, caller, "Where is the lamp?")
    with sessions.begin() as session, scope(session, caller.tenant_id):
        collections.remove(session, caller.tenant_id, "facts")
    run.run(finder, job_id)
    error = look(sessions, caller, job_id).error
    assert error is not None
    assert error["code"] == "collection_not_found"


@pytest.mark.parametrize("drained", [False, True], ids=["cancelled", "drained"])
def test_embedding_stops_when_it_is_told_to(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker, drained: bool
) -> None:
    """A cancelled job costs what was embedded by then; a worker that goes hands its job back without a crash."""
    worker = make_worker("embedder", Echo("embedder", 2, 64, prompt_token_s=0.001))
    job_id = embedding(sessions, caller, *["word " * 50] * 400)
    thread = threading.Thread(target=run.run, args=(worker, job_id))
    thread.start()
    until(lambda: worker.held() and worker.held()[0].progress[0] > 0)
    if drained:
        worker.release_all()
    else:
        endings.cancel(sessions, worker.client, caller, job_id, 60)
        worker.stop(job_id, Stop.ENDED)
    thread.join(60)
    assert not thread.is_alive()
    assert look(sessions, caller, job_id).status == ("queued" if drained else "cancelled")
    assert tables.column(sessions, job_id, "crashes") == 0
    assert worker.held() == []


@pytest.mark.parametrize("state", ["57P01", None], ids=["restarted", "out of reach"])
def test_stage_waits_for_a_database_that_comes_back(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker, state: str | None
) -> None:
    """Whatever it writes may be repeated, so it begins again."""
    run.run(make_worker("embedder"), ingesting(sessions, caller, written(FACTS)))
    job_id = asking(sessions, caller, "Where is the lamp?")
    worker = make_worker("embedder")
    worker.sessions = Interrupted(sessions, state, times=2)  # type: ignore[assignment]
    run.run(worker, job_id)
    assert tables.column(sessions, job_id, "stage") == stages.GENERATE
    assert worker.sessions.left == 0  # type: ignore[attr-defined]


def test_statement_that_fails_every_time_fails_the_attempt(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker
) -> None:
    """The job is put off: what PostgreSQL refuses now it may take later."""
    run.run(make_worker("embedder"), ingesting(sessions, caller, written(FACTS)))
    job_id = asking(sessions, caller, "Where is the lamp?")
    worker = make_worker("embedder")
    worker.sessions = Interrupted(sessions, "57014", times=6)  # type: ignore[assignment]
    run.run(worker, job_id)
    assert tables.column(sessions, job_id, "status") == "scheduled"
    with sessions() as session:
        assert [attempt["error_code"] for attempt in attempts.shown(session, job_id)] == ["internal"]


def test_question_that_leaves_no_room_for_a_passage_fails(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker
) -> None:
    """Rather than be answered from nothing."""
    run.run(make_worker("embedder"), ingesting(sessions, caller, written(FACTS)))
    job_id = asking(sessions, caller, "Where is the lamp? " * 8)
    run.run(make_worker("embedder"), job_id)
    tables.dispatch(sessions, job_id)
    run.run(make_worker("alpha"), job_id)
    error = look(sessions, caller, job_id).error
    assert error is not None
    assert error["code"] == "context_length_exceeded"


def test_question_to_a_collection_that_has_another_model_now_goes_on_there(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker
) -> None:
    """Vectors of two models can't be compared, though their dimensions are the same; what was embedded is charged."""
    finder = make_worker("embedder")
    run.run(finder, ingesting(sessions, caller, written(FACTS)))
    job_id = asking(sessions, caller, "Where is the lamp?")
    with sessions.begin() as session:
        session.execute(text("UPDATE collections SET model = 'another'"))
    run.run(finder, job_id)
    places = [tables.column(sessions, job_id, name) for name in ("stage", "queue", "embedding_tokens")]
    assert places == [stages.RETRIEVE, "another", 4]


def test_stage_that_was_taken_over_passes_nothing_on(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker
) -> None:
    """Its attempt is no longer the newest: the job stays where the newer one put it."""
    finder = make_worker("embedder")
    run.run(finder, ingesting(sessions, caller, written(FACTS)))
    job_id = asking(sessions, caller, "Where is the lamp?")
    claim = tables.claim(sessions, job_id, queue="embedder")
    assert claim is not None
    with sessions.begin() as session:
        onward = outcomes.Onward(stages.GENERATE, "alpha", {"passages": []})
        assert not attempts.advance(session, job_id, claim.attempt - 1, claim.checkpoint, onward)
        assert attempts.advance(session, job_id, claim.attempt, claim.checkpoint, onward)
    assert tables.column(sessions, job_id, "stage") == stages.GENERATE


@dataclass(slots=True)
class Interrupted:
    """Sessions that lose the database some times, after the claim."""

    sessions: Sessions
    state: str | None
    times: int
    left: int = field(init=False)
    claimed: bool = False

    def __post_init__(self) -> None:
        self.left = self.times

    def begin(self) -> Any:
        if self.claimed and self.left:
            self.left -= 1
            cause = psycopg.OperationalError("gone")
            cause.sqlstate = self.state
            raise OperationalError("SELECT", {}, cause)
        self.claimed = True
        return self.sessions.begin()

    def __call__(self) -> Any:
        return self.sessions()
