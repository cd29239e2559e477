"""The whole life of jobs against a small model of it: whatever happens, in any order, they agree after each step."""

import datetime as dt
import uuid
from dataclasses import dataclass, field

import pytest
import redis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import text

from db import workers
from db.session import Sessions
from tasks import errors, ids
from tasks.doors import idempotency, retrying
from tasks.doors.idempotency import IdempotencyClaim
from tasks.jobs import attempts, endings, family, jobs, stages
from tasks.jobs.family import Child
from tasks.jobs.lifecycle import TERMINAL, Status
from tasks.jobs.outcomes import Onward, Outcome
from tasks.jobs.requests import Plan
from tasks.jobs.timing import Timing
from tasks.jobs.view import JobView
from tasks.keys import Caller
from tasks.limits.spent import Spent
from tasks.streams.transcript import Transcript
from tests import tables
from tests.support.post import Post
from tests.tasks.sweep.sweeping import made, sweep

LEASE_S = 300.0
STEP_S = 600  # the clock's; more than a lease, more than any backoff, and far more than a run of the machine takes
SPAN_S = 900  # of whatever a job's timing says: two steps
WORKERS = ("w1", "w2")
KEYS = ("k1", "k2")
TIMINGS = ("", "run_at", "max_queue_s", "deadline_s")


@dataclass(slots=True)
class Model:
    """What a job should be like. Times are seconds of the machine's own clock."""

    status: Status
    deadline_s: int | None
    expires_at: int | None = None
    due_at: int | None = None
    started_at: int | None = None
    attempt: int = 0
    crashes: int = 0
    failures: int = 0
    worker: str = ""
    parent: uuid.UUID | None = None
    claimed: list[int] = field(default_factory=list)
    held: set[int] = field(default_factory=set)  # attempts that somebody believes to have

    def end(self, status: Status) -> None:
        """From outside, under a number of its own."""
        self.status, self.attempt = status, self.attempt + 1

    def late(self, now: int) -> bool:
        return self.started_at is None and self.expires_at is not None and self.expires_at <= now

    def overdue(self, now: int) -> bool:
        if self.started_at is None or self.deadline_s is None:
            return False
        return self.started_at + self.deadline_s <= now

    def may_write(self, attempt: int) -> bool:
        return attempt == self.attempt and self.status in (Status.RUNNING, Status.DISPATCHED)


class Lives(RuleBasedStateMachine):
    """Clients, workers, the sweep and the clock, all doing as they like."""

    def __init__(self, sessions: Sessions, client: redis.Redis, caller: Caller) -> None:
        super().__init__()
        self.sessions, self.client, self.caller = sessions, client, caller
        self.sweeper = made(sessions, client, Post(client), LEASE_S)
        self.now = 0
        self.beats: dict[str, int] = {}
        self.jobs: dict[uuid.UUID, Model] = {}
        self.by_key: dict[str, uuid.UUID] = {}

    def teardown(self) -> None:
        emptied = "jobs, job_attempts, job_checkpoints, job_outputs, ledger, workers, idempotency_keys"
        with self.sessions.begin() as session:
            session.execute(text(f"TRUNCATE {emptied} CASCADE"))

    def at(self, index: int) -> uuid.UUID:
        return list(self.jobs)[index % len(self.jobs)]

    @initialize()
    def begin(self) -> None:
        """One job of each timing, and one more that is taken: so that a short life sees much."""
        for timed in TIMINGS:
            self.submit(timed, admitted=True)
        self.claim(0, "w1", likely=True)

    # Few rules with many forms: Hypothesis leaves some rules out of every life, and each kind has to be in most.
    @rule(
        act=st.sampled_from(["submit", "submit_once", "submit_another", "cancel", "retry"]),
        timed=st.sampled_from(TIMINGS),
        key=st.sampled_from(KEYS),
        index=st.integers(0, 9),
    )
    def client_acts(self, act: str, timed: str, key: str, index: int) -> None:
        if act == "submit":
            self.submit(timed, admitted=index > 2)
        elif act in ("cancel", "retry"):
            (self.cancel if act == "cancel" else self.retry)(self.at(index))
        else:
            (self.submit_once if act == "submit_once" else self.submit_another)(key)

    @rule(
        act=st.sampled_from(["claim", "claim late", "succeed", "fail", "system", "hand_back", "wait"]),
        worker=st.sampled_from(WORKERS),
        index=st.integers(0, 9),
    )
    def worker_acts(self, act: str, worker: str, index: int) -> None:
        if act.startswith("claim"):
            self.claim(index, worker, likely=act == "claim")
        elif any(job.held for job in self.jobs.values()):
            self.leave(index, act)

    @rule(beating=st.sets(st.sampled_from(WORKERS)), sweeps=st.booleans())
    def time_passes(self, beating: set[str], sweeps: bool) -> None:
        if sweeps:
            self.sweep(beating)
        else:
            self.advance_the_clock()

    def submit(self, timed: str, admitted: bool) -> None:
        record = self.submitted(timed, None)[0]
        self.add(record, timed)
        if admitted and timed != "run_at":
            tables.dispatch(self.sessions, record.id)
            self.jobs[record.id].status = Status.DISPATCHED

    def submit_once(self, key: str) -> None:
        record, replayed = self.submitted("", IdempotencyClaim(key, b"same"))
        assert replayed == (key in self.by_key)
        assert record.id == self.by_key.setdefault(key, record.id)
        if not replayed:
            self.add(record, "")

    def submit_another(self, key: str) -> None:
        if key in self.by_key:
            with pytest.raises(errors.IdempotencyMismatch):
                self.submitted("", IdempotencyClaim(key, b"other"))

    def submitted(self, timed: str, once: IdempotencyClaim | None) -> tuple[JobView, bool]:
        run_at = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=SPAN_S)
        timing = Timing(**{timed: run_at if timed == "run_at" else SPAN_S}) if timed else Timing()
        asked = tables.submission(timing=timing)
        with self.sessions.begin() as session:
            make = lambda: tables.accept(session, self.caller, asked)  # noqa: E731
            return idempotency.once(session, self.caller, once, make, jobs.get)

    def add(self, record: JobView, timed: str) -> None:
        until = self.now + SPAN_S
        self.jobs[record.id] = Model(
            Status.SCHEDULED if timed == "run_at" else Status.QUEUED,
            SPAN_S if timed == "deadline_s" else None,
            expires_at=until if timed == "max_queue_s" else None,
            due_at=until if timed == "run_at" else None,
        )

    def claim(self, index: int, worker: str, likely: bool) -> None:
        waiting = [job_id for job_id, job in self.jobs.items() if job.status == Status.DISPATCHED]
        job_id = waiting[index % len(waiting)] if likely and waiting else self.at(index)
        job, claim = self.jobs[job_id], tables.claim(self.sessions, job_id, worker_id=worker)
        startable = job.status == Status.DISPATCHED and not job.late(self.now) and not job.overdue(self.now)
        assert (claim is not None) == startable
        if claim:
            job.status, job.worker, job.attempt = Status.RUNNING, worker, job.attempt + 1
            job.started_at = self.now if job.started_at is None else job.started_at
            job.claimed.append(claim.attempt)
            job.held.add(claim.attempt)
            assert claim.attempt == job.attempt

    def leave(self, index: int, how: str) -> None:
        """Somebody ends an attempt that it believes to have."""
        held = [(job_id, attempt) for job_id, job in self.jobs.items() for attempt in sorted(job.held)]
        job_id, attempt = held[index % len(held)]
        job = self.jobs[job_id]
        job.held.remove(attempt)
        could = job.may_write(attempt)
        if how == "wait" and job.parent is None:
            self.wait_for_a_child(job_id, attempt, could and job.status == Status.RUNNING)
        elif how == "hand_back":
            could = could and job.status == Status.RUNNING
            with self.sessions.begin() as session:
                assert attempts.release(session, job_id, attempt, Transcript()) == could
            job.status = Status.QUEUED if could else job.status
        elif how == "system" and could and job.failures < 2:
            with self.sessions.begin() as session:
                assert attempts.retry_later(session, job_id, attempt, Transcript(), "engine_error")
            job.status, job.due_at, job.failures = Status.SCHEDULED, self.now + 1, job.failures + 1
        else:
            status = Status.SUCCEEDED if how == "succeed" else Status.FAILED
            assert self.finished(job_id, attempt, status) == could
            job.status = status if could else job.status
            self.families_go_on()

    def wait_for_a_child(self, job_id: uuid.UUID, attempt: int, could: bool) -> None:
        """The attempt has adopted a child and ends, so that its job waits for it; unless the attempt is over."""
        child_id = ids.new()
        plan = Plan(tables.submission(), stages.GENERATE, "alpha", "alpha", job_id=child_id)
        child = Child(plan, place=sum(job.parent == job_id for job in self.jobs.values()))
        onward = Onward(stages.GENERATE, "alpha", wait_for_children=True)
        with self.sessions() as session:
            try:
                family.adopt(session, job_id, attempt, [child])
                waits = attempts.advance(session, job_id, attempt, Transcript(), onward)
            except errors.Fenced:
                waits = False
            assert waits == could
            if waits:
                session.commit()
                self.jobs[job_id].status = Status.WAITING
                self.jobs[child_id] = Model(Status.QUEUED, None, parent=job_id)

    def families_go_on(self) -> None:
        """Children of parents that have ended end; parents go on whose children have."""
        for job in self.jobs.values():
            if job.parent and self.jobs[job.parent].status in TERMINAL and job.status not in TERMINAL:
                job.end(Status.CANCELLED)
        awaited = {job.parent for job in self.jobs.values() if job.status not in TERMINAL}
        for job_id, job in self.jobs.items():
            if job.status == Status.WAITING and job_id not in awaited:
                job.status = Status.QUEUED

    def finished(self, job_id: uuid.UUID, attempt: int, status: Status) -> bool:
        error = ("engine_error", "it did") if status == Status.FAILED else None
        try:
            with self.sessions.begin() as session:  # by itself where it may be, as workers do
                outcome = Outcome(status, Spent(1, 1), error=error)
                ended = tables.finish(session, job_id, attempt, Transcript(), outcome, told=False)
        except errors.Fenced:
            return False
        family.go_on(self.sessions, [ended.view])
        return True

    def cancel(self, job_id: uuid.UUID) -> None:
        job = self.jobs[job_id]
        _, closings = endings.cancel(self.sessions, self.client, self.caller, job_id, 60)
        assert (closings == []) == (job.status in TERMINAL)
        if closings:
            endings.follow_up(self.sessions, self.client, closings, 60)
            job.end(Status.CANCELLED)
            self.families_go_on()

    def retry(self, job_id: uuid.UUID) -> None:
        job = self.jobs[job_id]
        with self.sessions.begin() as session:
            if job.status in TERMINAL:
                again, _ = jobs.insert(session, self.caller, retrying.plan(session, tables.MODELS, self.caller, job_id))
                self.jobs[again.id] = Model(Status.QUEUED, job.deadline_s)
            else:
                with pytest.raises(errors.Conflict):
                    retrying.plan(session, tables.MODELS, self.caller, job_id)

    def sweep(self, beating: set[str]) -> None:
        with self.sessions.begin() as session:
            for worker in beating:
                workers.register(session, worker_id=worker, queue="alpha", slots=1000)
        self.beats |= dict.fromkeys(beating, self.now)
        alive = {worker for worker, at in self.beats.items() if at == self.now}
        sweep(self.sweeper)
        for job in self.jobs.values():
            if job.status == Status.RUNNING and job.worker not in alive:
                job.crashes += 1
                if job.crashes == 3:
                    job.end(Status.FAILED)
                else:
                    job.status = Status.DISPATCHED
            if job.status not in TERMINAL:
                if job.late(self.now):
                    job.end(Status.EXPIRED)
                elif job.overdue(self.now):
                    job.end(Status.FAILED)
        self.families_go_on()
        for job in self.jobs.values():
            if job.status == Status.SCHEDULED and job.due_at is not None and job.due_at <= self.now:
                job.status = Status.QUEUED
            if job.status == Status.QUEUED and alive:
                job.status = Status.DISPATCHED

    def advance_the_clock(self) -> None:
        self.now += STEP_S
        for job_id in self.jobs:
            tables.backdate(self.sessions, job_id, dt.timedelta(seconds=STEP_S))
        for worker in self.beats:
            tables.silence(self.sessions, worker, STEP_S)

    @invariant()
    def agrees(self) -> None:
        with self.sessions() as session:
            rows = session.execute(text("SELECT id, status, attempt FROM jobs")).all()
            spent = session.execute(text("SELECT job_id FROM ledger")).scalars().all()
            told = session.execute(text("SELECT job_id, number FROM job_attempts ORDER BY number")).all()
        assert {row.id: (row.status, row.attempt) for row in rows} == {
            job_id: (job.status, job.attempt) for job_id, job in self.jobs.items()
        }
        assert sorted(spent) == sorted(job_id for job_id, job in self.jobs.items() if job.status in TERMINAL)
        for job_id, job in self.jobs.items():
            runs = [job.attempt] if job.status == Status.RUNNING else []
            assert [row.number for row in told if row.job_id == job_id] + runs == job.claimed


def test_lives_of_jobs_agree_with_the_model(sessions: Sessions, client: redis.Redis, caller: Caller) -> None:
    """One end each, one row of the ledger each, every attempt told, and only the newest may write.

    A parent waits for as long as it has a child, goes on once, and takes its children along when it ends.
    """
    run_state_machine_as_test(
        lambda: Lives(sessions, client, caller),
        settings=settings(
            max_examples=15,
            stateful_step_count=30,
            deadline=None,
            phases=(Phase.explicit, Phase.reuse, Phase.generate),  # what fails is short enough as it is
            suppress_health_check=list(HealthCheck),
        ),
    )
