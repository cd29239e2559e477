"""The sweep: orphans, poison, lost messages."""

import datetime as dt
import uuid

import pytest
import redis
from sqlalchemy import Select, literal, select, text
from sqlalchemy.exc import OperationalError

from db.session import Sessions
from tasks.jobs import endings
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Outcome
from tasks.keys import Caller
from tasks.limits.spent import Spent
from tasks.streams import stream
from tasks.streams.stream import Writer
from tasks.streams.transcript import Entry, Transcript
from tasks.sweep.chore import Chore, FollowUp, Sweep
from tasks.sweep.sweeper import CHORES, Sweeper
from tasks.telemetry import Fact, SweepRound
from tests import hooks, tables
from tests.support import entries
from tests.support.post import Post
from tests.tasks.sweep.sweeping import age, made, sweep


def running(sessions: Sessions, caller: Caller, worker_id: str = "w1") -> uuid.UUID:
    return tables.running(sessions, caller, worker_id=worker_id).job_id


def always(_: float) -> Select[int]:
    """Finds something to do in every round."""
    return select(literal(1))


def test_living_workers_jobs_stay_with_it(sessions: Sessions, caller: Caller, sweeper: Sweeper) -> None:
    """A heartbeat within the lease is enough."""
    tables.worker(sessions)
    job_id = running(sessions, caller)
    tables.silence(sessions, "w1", tables.LEASE_S / 2)
    sweep(sweeper)
    assert tables.column(sessions, job_id, "status") == "running"


def test_silent_workers_jobs_are_sent_to_the_living(
    sessions: Sessions, caller: Caller, sweeper: Sweeper, post: Post
) -> None:
    """Past the lease the job is in the window again, sent in the same round, and a crash is counted."""
    tables.worker(sessions)
    tables.worker(sessions, "w2")
    job_id = running(sessions, caller)
    tables.silence(sessions, "w1", tables.LEASE_S + 1)
    sweep(sweeper)
    assert tables.column(sessions, job_id, "status") == "dispatched"
    assert tables.column(sessions, job_id, "crashes") == 1
    assert post.sent == [(str(job_id), "alpha.interactive")]
    claim = tables.claim(sessions, job_id, worker_id="w2")
    assert claim is not None
    assert claim.attempt == 2


def test_orphans_worker_may_still_finish_before_anyone_claims(
    sessions: Sessions, caller: Caller, sweeper: Sweeper
) -> None:
    """A worker that was only cut off is back, and its attempt is still the newest: its work counts."""
    job_id = running(sessions, caller)
    sweep(sweeper)
    assert tables.column(sessions, job_id, "status") == "dispatched"
    with sessions.begin() as session:
        tables.finish(session, job_id, 1, Transcript(), Outcome(Status.SUCCEEDED, Spent(1, 1), {"text": ""}))
    assert tables.column(sessions, job_id, "status") == "succeeded"


def test_job_that_took_three_workers_with_it_is_poison(
    sessions: Sessions, caller: Caller, sweeper: Sweeper, client: redis.Redis
) -> None:
    """The third crash ends it, with the usage of what was streamed, and the stream says so."""
    job_id = running(sessions, caller)
    Writer(client, job_id, 1, 60).open(entries.spoken("hi"))
    with sessions.begin() as session:
        tables.put(session, job_id, Status.RUNNING, crashes=2)
    sweep(sweeper)
    assert tables.column(sessions, job_id, "status") == "failed"
    assert tables.column(sessions, job_id, "error_code") == "poison"
    assert tables.usage_rows(sessions, job_id) == [(4, 1)]
    streamed = stream.read(client, job_id)
    assert entries.told(streamed) == ["started", "delta", "failed"]
    assert [each.id for each in streamed] == ["1-1", "1-2", "2-3"]


def test_interrupted_sweeper_takes_nobodys_jobs(
    sessions: Sessions, caller: Caller, client: redis.Redis, post: Post
) -> None:
    """A sweeper that has just begun, failed, or slept can't tell whether heartbeats stopped or PostgreSQL was away."""
    job_id = running(sessions, caller)
    begun = made(sessions, client, post)
    begun.sweep()
    failed = made(sessions, client, post)
    sweep(failed)
    with sessions.begin() as session:
        tables.put(session, job_id, Status.RUNNING)
    whole, failed.sessions = failed.sessions, None
    with pytest.raises(AttributeError):
        failed.sweep()
    failed.sessions = whole
    failed.sweep()
    slept = made(sessions, client, post)
    sweep(slept)
    with sessions.begin() as session:
        tables.put(session, job_id, Status.RUNNING)
    slept._swept_at -= tables.LEASE_S
    slept.sweep()
    assert tables.column(sessions, job_id, "status") == "running"


def test_sweeper_that_would_have_to_wait_for_the_jobs_takes_none(
    sessions: Sessions, caller: Caller, sweeper: Sweeper
) -> None:
    """By the time a lock is released every heartbeat looks old: such a round fails, and the next ones begin anew."""
    tables.worker(sessions)
    job_id = running(sessions, caller)
    with sessions.begin() as session:
        session.execute(text("LOCK TABLE jobs"))
        with pytest.raises(OperationalError):
            sweep(sweeper)
    tables.silence(sessions, "w1", tables.LEASE_S + 1)
    sweeper.sweep()
    assert tables.column(sessions, job_id, "status") == "running"


def test_chore_that_fails_keeps_no_other_from_its_work(
    sessions: Sessions, caller: Caller, sweeper: Sweeper, post: Post
) -> None:
    """A slip of ours in one: the others go on, and the rounds still count as having reached PostgreSQL."""

    def slips(sweep: Sweep) -> FollowUp:
        raise KeyError("a slip")

    sweeper.chores = (Chore(slips, always), *CHORES)
    tables.worker(sessions)
    tables.worker(sessions, "w2")
    orphan, waiting = running(sessions, caller), tables.submit(sessions, caller).id
    tables.silence(sessions, "w1", tables.LEASE_S + 1)
    sweep(sweeper)
    assert {job_id for job_id, _ in post.sent} == {str(orphan), str(waiting)}
    assert sweeper._steady_since is not None


def test_postgresqls_failure_in_a_chore_is_told_after_the_others_work(
    sessions: Sessions, caller: Caller, sweeper: Sweeper, post: Post
) -> None:
    """What the others moved is sent all the same; then silence proves nothing until a lease has gone well."""

    tables.worker(sessions)
    job_id = tables.submit(sessions, caller).id
    with sessions.begin() as session:
        session.execute(text("LOCK TABLE idempotency_keys"))
        with pytest.raises(OperationalError):
            sweep(sweeper)
    assert post.sent == [(str(job_id), "alpha.interactive")]
    assert sweeper._steady_since is None


def test_only_one_process_is_in_a_round(sessions: Sessions, caller: Caller, sweeper: Sweeper, post: Post) -> None:
    """While one is, another's round does nothing, and counts as one that went well."""
    tables.worker(sessions)
    tables.submit(sessions, caller)

    def meanwhile(_: Sweep) -> FollowUp:
        sweep(other)
        return FollowUp()

    other = made(sessions, sweeper.client, post)
    sweeper.chores = (Chore(meanwhile, always),)
    sweep(sweeper)
    assert post.sent == []
    assert other._steady_since is not None


def to_be_ended(sessions: Sessions, caller: Caller) -> list[uuid.UUID]:
    """Jobs that a round ends: one that is late, one that is overdue, one that is poison."""
    late = tables.submit(sessions, caller).id
    overdue, poison = running(sessions, caller), running(sessions, caller, "gone")
    past = dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)
    with sessions.begin() as session:
        tables.put(session, late, Status.QUEUED, expires_at=past)
        tables.put(session, overdue, Status.RUNNING, started_at=past, deadline_s=1)
        tables.put(session, poison, Status.RUNNING, crashes=2)
    return [late, overdue, poison]


def test_end_that_has_to_wait_keeps_no_other_from_its_own(sessions: Sessions, caller: Caller, sweeper: Sweeper) -> None:
    """What one end needs is locked, or the job itself: the rest of the round is kept, and those come in another."""
    tables.worker(sessions, slots=0)  # with room it would be waited for, to let in what is locked
    other = tables.tenant(sessions, "other")
    webhook = hooks.endpoint(sessions, other)
    held, stuck, free = (to_be_ended(sessions, who) for who in (caller, other, caller))
    orphan = running(sessions, caller, "gone")
    with sessions.begin() as session:
        session.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))  # the round may take long
        session.execute(text("SELECT 1 FROM webhook_endpoints WHERE id = :id FOR UPDATE"), {"id": webhook.id})
        session.execute(text("SELECT 1 FROM jobs WHERE id = ANY(:ids) FOR UPDATE"), {"ids": held})
        sweep(sweeper)
    ended = ["expired", "failed", "failed"]
    assert [tables.column(sessions, job_id, "status") for job_id in free] == ended
    assert not set(ended) & {tables.column(sessions, job_id, "status") for job_id in held + stuck}
    assert tables.column(sessions, orphan, "crashes") == 1
    sweep(sweeper)
    assert [tables.column(sessions, job_id, "status") for job_id in held + stuck] == ended * 2
    assert len(hooks.listed(sessions, other)) == 3


@pytest.mark.parametrize("seconds", [3600, -3600])
def test_clock_that_jumps_takes_nobodys_jobs(
    sessions: Sessions, caller: Caller, sweeper: Sweeper, seconds: float
) -> None:
    """PostgreSQL's clock is set by an hour: for a lease, workers are given the time for a heartbeat by the new one."""
    tables.worker(sessions)
    job_id = running(sessions, caller)
    sweep(sweeper)
    assert sweeper._offset_s is not None
    sweeper._offset_s -= seconds
    tables.silence(sessions, "w1", seconds)
    sweep(sweeper)
    sweeper.sweep()
    assert tables.column(sessions, job_id, "status") == "running"
    sweep(sweeper)
    assert tables.column(sessions, job_id, "status") == "dispatched"


def test_round_that_has_nothing_to_do_is_none(sessions: Sessions, sweeper: Sweeper, facts: list[Fact]) -> None:
    """One statement finds that out, and no chore begins. The process has looked all the same, and counts as steady."""
    tables.worker(sessions)
    sweep(sweeper)  # looks for strays, which it does once a minute
    facts.clear()
    sweep(sweeper)
    assert facts == []
    assert sweeper._steady_since is not None


def test_round_begins_with_the_first_chore_that_has_something_to_do(sessions: Sessions, sweeper: Sweeper) -> None:
    """Those after it may find what it moves, but for those that are by themselves."""
    acted: list[str] = []

    def chore(name: str, *, wanted: bool, by_itself: bool = False) -> Chore:
        def act(_: Sweep) -> FollowUp:
            acted.append(name)
            return FollowUp()

        return Chore(act, always if wanted else lambda _: always(_).where(literal(False)), by_itself)

    own = chore("unwanted by itself", wanted=False, by_itself=True)
    wanted = chore("wanted by itself", wanted=True, by_itself=True)
    idle, second = chore("idle", wanted=False), chore("second", wanted=False)
    sweeper.chores = (wanted, idle, chore("first", wanted=True), own, second)
    sweep(sweeper)
    assert acted == ["wanted by itself", "first", "second"]


def test_chore_by_itself_has_no_other_act(sessions: Sessions, caller: Caller, sweeper: Sweeper, post: Post) -> None:
    """What it does gives nobody something to do."""
    acted: list[str] = []

    def acts(_: Sweep) -> FollowUp:
        acted.append("wanted by itself")
        return FollowUp()

    def other(_: Sweep) -> FollowUp:
        acted.append("other")
        return FollowUp()

    never = Chore(other, lambda _: always(_).where(literal(False)))
    sweeper.chores = (Chore(acts, always, by_itself=True), never)
    sweep(sweeper)
    assert acted == ["wanted by itself"]


def test_sweeper_between_two_rounds_only_looks(
    sessions: Sessions, caller: Caller, sweeper: Sweeper, post: Post
) -> None:
    """Another process, or this one, had the round of this second."""
    tables.worker(sessions)
    sweep(sweeper)
    tables.submit(sessions, caller)
    sweeper.every_s = 3600
    sweep(sweeper)
    assert post.sent == []
    assert sweeper._steady_since is not None
    sweeper.every_s = 0
    sweep(sweeper)
    assert len(post.sent) == 1


def test_waiting_jobs_are_dispatched_and_sent(
    sessions: Sessions, caller: Caller, sweeper: Sweeper, post: Post, facts: list[Fact]
) -> None:
    """A submission whose wake-up never left is found by the sweep, which tells of its round."""
    tables.worker(sessions)
    job_id = tables.submit(sessions, caller).id
    sweep(sweeper)
    assert post.sent == [(str(job_id), "alpha.interactive")]
    told = facts[-1]
    assert isinstance(told, SweepRound)
    assert (told.sent, told.refilled, told.ended) == (0, 1, 0)


def test_broken_broker_leaves_the_job_for_the_next_round(
    sessions: Sessions, caller: Caller, sweeper: Sweeper, post: Post
) -> None:
    """A send that fails loses nothing: the job is dispatched and comes due again."""
    tables.worker(sessions)
    post.broken = True
    job_id = tables.submit(sessions, caller).id
    sweep(sweeper)
    post.broken = False
    age(sessions, job_id)
    sweep(sweeper)
    assert post.sent == [(str(job_id), "alpha.interactive")]


def test_redis_out_of_reach_does_not_stop_the_sweep(sessions: Sessions, caller: Caller, post: Post) -> None:
    """Leases are PostgreSQL's affair: orphans are found without Redis."""
    nowhere = stream.connect("redis://127.0.0.1:1/0", timeout_s=0.2, max_connections=2)
    job_id = running(sessions, caller)
    poisoned = running(sessions, caller)
    with sessions.begin() as session:
        tables.put(session, poisoned, Status.RUNNING, crashes=2)
    sweep(made(sessions, nowhere, post))
    assert tables.column(sessions, job_id, "status") == "dispatched"
    assert tables.column(sessions, poisoned, "status") == "failed"


def test_cancel_ends_a_job_once_whatever_its_state(sessions: Sessions, caller: Caller, client: redis.Redis) -> None:
    """Cancelling is idempotent, shuts the running attempt out of the stream, and records what was streamed."""
    waiting, active = tables.submit(sessions, caller).id, running(sessions, caller)
    writer = Writer(client, active, 1, 60)
    writer.open(entries.spoken("hi"))
    for job_id, spent in ((waiting, (0, 0)), (active, (4, 1))):
        for repeated in (False, True):
            record, closings = endings.cancel(sessions, client, caller, job_id, 60)
            assert record.status == "cancelled"
            assert (closings == []) is repeated
            endings.announce(client, closings, 60)
        assert tables.usage_rows(sessions, job_id) == [spent]
        assert entries.told(stream.read(client, job_id))[-1] == "cancelled"
    assert writer.append([Entry(3, entries.said("!"), (6,))]) is stream.AppendResult.FENCED
