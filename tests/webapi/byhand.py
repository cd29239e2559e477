"""A worker's part, done by hand: one job run step by step."""

import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import redis
from sqlalchemy import select
from sqlalchemy.orm import Session, undefer

from db.jobs import Job
from db.session import Sessions
from tasks import ids
from tasks.jobs import attempts, family, stages
from tasks.jobs.family import Child
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Onward, Outcome
from tasks.jobs.requests import Plan, Stored, Submission
from tasks.kinds import rerank
from tasks.kinds.summary import OneDocument, Summary, SummaryKind
from tasks.limits.spent import Spent
from tasks.models import catalog
from tasks.streams import stream
from tasks.streams.events import Event, Passages, Started
from tasks.streams.stream import AppendResult, Writer
from tasks.streams.transcript import Entry, Transcript
from tests import tables
from tests.support import entries


@dataclass(slots=True)
class Run:
    """One attempt at one job, writing its stream as a worker does."""

    sessions: Sessions
    client: redis.Redis
    job_id: uuid.UUID
    attempt: int
    so_far: Transcript = field(default_factory=Transcript)
    writer: Writer = field(init=False)

    def __post_init__(self) -> None:
        self.writer = Writer(self.client, self.job_id, self.attempt, ttl_s=60)
        self.writer.open(self.so_far.entries)

    def say(self, *texts: str) -> None:
        self._append([self.so_far.add(entries.said(text), (7,)) for text in texts])

    def event(self, event: Event) -> None:
        self._append([self.so_far.add(event)])

    def checkpoint(self) -> None:
        with self.sessions.begin() as session:
            attempts.checkpoint(session, self.job_id, self.attempt, self.so_far.entries, (len(self.so_far.deltas), 9))

    def succeed(self, *, announce: bool = True) -> None:
        """Writes the end, and tells the stream unless a crash came between."""
        outcome = Outcome(Status.SUCCEEDED, Spent(2, len(self.so_far.deltas)), {"text": self.so_far.text})
        self.end(outcome, announce=announce)

    def end(self, outcome: Outcome, *, announce: bool = True) -> None:
        with self.sessions.begin() as session:
            ended = tables.finish(session, self.job_id, self.attempt, self.so_far, outcome).view
        if announce:
            self._append([Entry(len(self.so_far.entries) + 1, ended.end())])

    def _append(self, news: list[Entry]) -> None:
        if self.writer.append(news) is AppendResult.LOST:
            self.writer.open([*self.so_far.entries, *(entry for entry in news if entry not in self.so_far.entries)])


def run(sessions: Sessions, client: redis.Redis, shown: str, *, model: str = "alpha") -> Run:
    """Claims the job and says so in its stream."""
    job_id = ids.parse(shown)
    assert job_id is not None
    tables.dispatch(sessions, job_id)
    claim = tables.claim(sessions, job_id, queue=model)
    assert claim is not None
    streamed = stream.take_over(Writer(client, job_id, claim.attempt, ttl_s=60), claim.checkpoint)
    running = Run(sessions, client, job_id, claim.attempt, streamed)
    if not streamed.entries:
        running.event(Started(claim.attempt, "w1"))
    return running


def summarise(sessions: Sessions, client: redis.Redis, shown: str, word: str) -> None:
    """Runs a summary of one document to its end: that its text is the word."""
    root = run(sessions, client, shown, model=catalog.CONTROL)
    with sessions.begin() as session:
        asked = SummaryKind().parse(Stored(**_stored(session, root.job_id)))
        assert isinstance(asked, Summary)
        one = Submission("summary", "alpha", OneDocument(asked.documents[0], asked.manner))
        plan = Plan(one, stages.SUMMARIZE, "alpha", "alpha", ids.derived(root.job_id, 0))
        family.adopt(session, root.job_id, root.attempt, [Child(plan, 0)])
    with sessions.begin() as session:
        onward = Onward(stages.TALLY, catalog.CONTROL, wait_for_children=True)
        assert attempts.advance(session, root.job_id, root.attempt, root.so_far, onward)
    source = {"text": word, "by": "text", "chunks": [0], "begins": 0, "ends": len(word), "page": None}
    said = {"summary": word, "sentences": [source], "steps": 1, "cached_steps": 0}
    run(sessions, client, ids.show(ids.derived(root.job_id, 0))).end(Outcome(Status.SUCCEEDED, Spent(2, 1), said))
    run(sessions, client, shown, model=catalog.CONTROL).end(Outcome(Status.SUCCEEDED, result={"documents": 1}))


def _stored(session: Session, job_id: uuid.UUID) -> dict[str, Any]:
    row = session.execute(select(Job.input, Job.params).where(Job.id == job_id)).one()
    return {"input": row.input, "params": row.params}


# What a worker says of a job, and how it ends it.
Answer = Callable[[Job], tuple[Sequence[Event], Outcome]]
PASSAGE = {
    "document_id": "doc_1", "chunk": 0, "score": 0.5, "similarity": 0.5, "words": 0.0, "text": "one", "title": None,
    "filename": None, "external_id": None, "metadata": {}, "path": [], "header": None, "page": None,
    "begins": 0, "ends": 3,
}  # fmt: skip


def in_two_words(job: Job) -> tuple[Sequence[Event], Outcome]:
    """Says `one two`, from a passage where it is asked a question; or gives as many directions as there are texts,
    all documents the same score, and any conversation seven tokens."""
    if job.stage == stages.COUNT:
        return [], Outcome(Status.SUCCEEDED, result={"input_tokens": 7})
    if job.type == "embed":
        rows = np.eye(4, dtype=np.float32)[: len(job.input["texts"])]
        return [], Outcome(Status.SUCCEEDED, Spent(embedding=3), {"count": len(rows)}, vectors=rows)
    if job.type == "rerank":
        result = rerank.result([0.0] * len(job.input["documents"]), None, 3)
        return [], Outcome(Status.SUCCEEDED, Spent(embedding=3), result)
    result: dict[str, Any] = {"text": "one two", "finish_reason": "length"}
    if job.type == "chat":
        result = {"message": {"role": "assistant", "content": "one two"}, "finish_reason": "length"}
    if job.type == "rag":
        result["passages"] = [PASSAGE]
    said = [entries.said("one"), entries.said(" two")]
    return [Passages([PASSAGE])] * (job.type == "rag") + said, Outcome(Status.SUCCEEDED, Spent(2, 2), result)


@contextmanager
def working(sessions: Sessions, client: redis.Redis, answer: Answer, *, only: str | None = None) -> Iterator[list[Job]]:
    """Takes jobs as they come, or those of one type, each run so, for as long as the block lasts; gives the list of
    those that were run."""
    gone, done = threading.Event(), list[Job]()
    whole = undefer(Job.input), undefer(Job.params), undefer(Job.webhook)
    waits = select(Job).where(Job.finished_at.is_(None)).order_by(Job.id).options(*whole)
    if only is not None:
        waits = waits.where(Job.type == only)

    def work() -> None:
        while not gone.wait(0.005):
            with sessions() as session:
                waiting = session.scalars(waits).all()
            for job in waiting:
                done.append(job)
                events, outcome = answer(job)
                attempt = run(sessions, client, ids.show(job.id), model=job.queue)
                for event in events:
                    attempt.event(event)
                attempt.end(outcome)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield done
    finally:
        gone.set()
        thread.join()
