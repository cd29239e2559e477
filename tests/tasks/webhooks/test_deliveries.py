"""Deliveries as rows: when they come to be, when they are due, and who may take them."""

import datetime as dt
import itertools
import json
import uuid
from collections.abc import Callable

import pytest
import redis
from sqlalchemy import inspect

from db.jobs import Job
from db.session import Sessions
from db.webhooks import deliveries as rows
from tasks import errors, ids
from tasks.jobs import attempts, endings
from tasks.jobs.lifecycle import Status as JobStatus
from tasks.jobs.outcomes import Outcome
from tasks.keys import Caller
from tasks.limits.spent import Spent
from tasks.streams.transcript import Transcript
from tasks.webhooks import deliveries, endpoints, messages
from tasks.webhooks.deliveries import Answer, DeliveryView, Status
from tests import hooks, tables
from tests.support.post import Post
from tests.tasks.sweep.sweeping import made

BAD = Answer(500)
Ending = Callable[[Sessions, redis.Redis, Caller], uuid.UUID]


def succeed(sessions: Sessions, client: redis.Redis, caller: Caller) -> uuid.UUID:
    return hooks.end(sessions, caller)


def fail(sessions: Sessions, client: redis.Redis, caller: Caller) -> uuid.UUID:
    job_id = hooks.begin(sessions, caller)
    with sessions.begin() as session:
        tables.finish(
            session, job_id, 1, Transcript(), Outcome(JobStatus.FAILED, Spent(2), error=("engine_error", "?"))
        )
    return job_id


def cancel_waiting(sessions: Sessions, client: redis.Redis, caller: Caller) -> uuid.UUID:
    job_id = tables.submit(sessions, caller).id
    endings.cancel(sessions, client, caller, job_id, 60)
    return job_id


def cancel_running(sessions: Sessions, client: redis.Redis, caller: Caller) -> uuid.UUID:
    job_id = hooks.begin(sessions, caller)
    for _ in range(2):
        endings.cancel(sessions, client, caller, job_id, 60)
    return job_id


def expire(sessions: Sessions, client: redis.Redis, caller: Caller) -> uuid.UUID:
    job_id = tables.submit(sessions, caller).id
    with sessions.begin() as session:
        endings.end_waiting(session, JobStatus.EXPIRED, None, Job.id == job_id)
    return job_id


def poison(sessions: Sessions, client: redis.Redis, caller: Caller) -> uuid.UUID:
    job_id = hooks.begin(sessions, caller)
    with sessions.begin() as session:
        tables.put(session, job_id, JobStatus.RUNNING, crashes=2)
    sweeper = made(sessions, client, Post())
    sweeper._round(steady=True)
    return job_id


@pytest.mark.parametrize(
    ("how", "type"),
    [
        (succeed, "job.succeeded"),
        (fail, "job.failed"),
        (cancel_waiting, "job.cancelled"),
        (cancel_running, "job.cancelled"),
        (expire, "job.expired"),
        (poison, "job.failed"),
    ],
)
def test_every_way_a_job_ends_is_told_once(
    sessions: Sessions, client: redis.Redis, caller: Caller, how: Ending, type: str
) -> None:
    """Whoever ends it: one delivery for each webhook that wants it, about the job as it then is."""
    hooks.endpoint(sessions, caller)
    hooks.endpoint(sessions, caller, events=[event for event in messages.JOB_EVENTS if event != type])
    job_id = how(sessions, client, caller)
    [delivery] = hooks.listed(sessions, caller)
    assert (delivery.job_id, delivery.type, delivery.status) == (job_id, type, Status.PENDING)
    assert hooks.listed(sessions, caller, job=job_id) == [delivery]


def test_end_that_is_not_committed_is_not_told(sessions: Sessions, caller: Caller) -> None:
    """Neither when the transaction is undone nor when the attempt was over: it comes with the end or not at all."""
    hooks.endpoint(sessions, caller)
    job_id = hooks.begin(sessions, caller)
    outcome = Outcome(JobStatus.SUCCEEDED, Spent(1, 1), {"text": ""})
    with sessions() as session:
        tables.finish(session, job_id, 1, Transcript(), outcome)
        session.rollback()
    with pytest.raises(errors.Fenced), sessions.begin() as session:
        tables.finish(session, job_id, 7, Transcript(), outcome)
    with sessions.begin() as session:
        attempts.release(session, job_id, 1, Transcript())
    assert hooks.listed(sessions, caller) == []


def test_nobody_is_told_of_anothers_job(sessions: Sessions, caller: Caller) -> None:
    """Webhooks are the tenant's, and so are deliveries."""
    other = tables.tenant(sessions, "other")
    hooks.endpoint(sessions, other)
    hooks.end(sessions, caller)
    assert hooks.listed(sessions, other) == []
    hooks.end(sessions, other)
    [delivery] = hooks.listed(sessions, other)
    assert hooks.listed(sessions, caller) == []
    with pytest.raises(errors.NotFound), sessions() as session:
        deliveries.redeliver(session, caller, delivery.id)


def test_large_result_is_a_link(sessions: Sessions, caller: Caller) -> None:
    """Receivers are spared what they may not want; the job has it."""
    hooks.endpoint(sessions, caller)
    job_id = hooks.end(sessions, caller, {"text": "x" * messages.MAX_BYTES})
    [parcel] = hooks.take(sessions)
    assert f'"result":{{"link":"/v1/jobs/{ids.show(job_id)}"}}' in parcel.payload
    assert len(parcel.payload) < 2000


def test_large_metadata_leaves_a_thin_message(sessions: Sessions, caller: Caller) -> None:
    """Whatever a job says of itself, a message is no longer than receivers take."""
    hooks.endpoint(sessions, caller)
    metadata = {f"{n}{'k' * 60}": "\N{ROLLING ON THE FLOOR LAUGHING}" * 512 for n in range(16)}
    job_id = hooks.end(sessions, caller, metadata=metadata)
    [parcel] = hooks.take(sessions)
    assert len(parcel.payload) < messages.MAX_BYTES
    said = json.loads(parcel.payload)["data"]
    assert (said["id"], said["status"]) == (ids.show(job_id), "succeeded")
    assert said["links"]["self"] == f"/v1/jobs/{ids.show(job_id)}"
    assert "metadata" not in said


def test_lists_do_not_load_payloads(sessions: Sessions, caller: Caller) -> None:
    """A page of deliveries is short whatever is in them."""
    hooks.endpoint(sessions, caller)
    hooks.end(sessions, caller)
    every = {"endpoint_id": None, "job_id": None, "status": None}
    with sessions() as session:
        [found] = rows.page(session, caller.tenant_id, limit=1, before=None, **every)
        assert inspect(found).unloaded == {"payload"}
        session.expunge_all()
        one = rows.find(session, caller.tenant_id, found.id)
        assert inspect(one).unloaded == {"payload"}


def test_schedule_is_standard_webhooks_within_three_days() -> None:
    """Ten attempts, each gap at least the schedule's and at most a tenth longer; the last is cut short by the days."""
    gaps = [deliveries.wait_s(attempts, BAD) for attempts in range(1, 11)]
    assert gaps.pop() is None
    expected = [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400]
    assert all(low <= (gap or 0) <= low * 1.1 for gap, low in zip(gaps, expected, strict=True))
    assert len({deliveries.wait_s(3, BAD) for _ in range(20)}) > 1


def test_receiver_may_ask_for_more_patience_not_for_less() -> None:
    """Retry-After lengthens a gap, up to a day."""
    asked = [deliveries.wait_s(2, Answer(503, retry_after_s=seconds)) or 0 for seconds in (1, 900, 10**9)]
    assert all(low <= s <= low * 1.1 for s, low in zip(asked, (300, 900, 86_400), strict=True))


def test_delivery_is_given_up_after_three_days_or_ten_attempts(sessions: Sessions, caller: Caller) -> None:
    """One more attempt at the end of the three days, and then it has failed."""
    hooks.endpoint(sessions, caller)
    hooks.end(sessions, caller)
    for attempt in range(1, 11):
        hooks.make_due(sessions)
        [parcel] = hooks.take(sessions)
        answered(sessions, parcel, BAD)
        [delivery] = hooks.listed(sessions, caller)
        assert (delivery.attempts, delivery.status) == (attempt, Status.FAILED if attempt == 10 else Status.PENDING)
        assert (delivery.next_at is None) == (attempt == 10)
        if delivery.next_at:
            assert delivery.next_at <= delivery.created_at + dt.timedelta(days=3)
    hooks.end(sessions, caller)
    hooks.let_days_pass(sessions, 3)
    [late] = hooks.take(sessions)
    answered(sessions, late, BAD)
    assert hooks.listed(sessions, caller)[0].status == Status.FAILED


def test_delivery_is_sent_again_on_demand_under_its_id(sessions: Sessions, caller: Caller) -> None:
    """Whether it had failed or been delivered; its days and its schedule begin anew."""
    hooks.endpoint(sessions, caller)
    hooks.end(sessions, caller)
    [first] = hooks.take(sessions)
    taken = first
    for number, answer in enumerate((Answer(200), Answer(error=deliveries.DISABLED)), start=1):
        answered(sessions, taken, answer)
        again = redeliver(sessions, caller, first.id)
        assert (again.status, again.attempts) == (Status.PENDING, number)
        [taken] = hooks.take(sessions)
        assert (taken.message_id, taken.payload, taken.attempt) == (first.message_id, first.payload, number + 1)


def test_stale_attempt_cannot_answer_for_what_was_asked_for_again(sessions: Sessions, caller: Caller) -> None:
    """Numbers are never given twice: the first of the new schedule isn't the first of the old one."""
    hooks.endpoint(sessions, caller)
    hooks.end(sessions, caller)
    [stale] = hooks.take(sessions)
    hooks.let_leases_run_out(sessions)
    [second] = hooks.take(sessions)
    answered(sessions, second, Answer(200))
    redeliver(sessions, caller, second.id)
    [third] = hooks.take(sessions)
    answered(sessions, stale, Answer(200))
    assert hooks.listed(sessions, caller)[0].status == Status.PENDING
    answered(sessions, third, BAD)
    assert hooks.listed(sessions, caller)[0].last_status == 500


def test_asking_again_costs_no_attempts(sessions: Sessions, caller: Caller) -> None:
    """However often one asks while it is pending, also while it is under way: the schedule begins anew each time."""
    hooks.endpoint(sessions, caller)
    hooks.end(sessions, caller)
    for _ in range(12):
        [parcel] = hooks.take(sessions)
        answered(sessions, parcel, BAD)
        again = redeliver(sessions, caller, parcel.id)
    [parcel] = hooks.take(sessions)
    redeliver(sessions, caller, parcel.id)
    answered(sessions, parcel, BAD)
    [delivery] = hooks.listed(sessions, caller)
    assert (delivery.status, delivery.attempts) == (Status.PENDING, 13)
    assert delivery.next_at
    assert again.next_at
    assert delivery.next_at - again.next_at < dt.timedelta(minutes=1)


def test_delivery_whose_attempts_never_report_ends(sessions: Sessions, caller: Caller) -> None:
    """A day past its time it fails without being sent; one that nobody has tried is tried once even then."""
    hooks.endpoint(sessions, caller)
    hooks.end(sessions, caller)
    hooks.let_days_pass(sessions, 5)
    assert len(hooks.take(sessions)) == 1
    hooks.let_leases_run_out(sessions)
    assert hooks.take(sessions) == []
    [delivery] = hooks.listed(sessions, caller)
    assert (delivery.status, delivery.last_error, delivery.next_at) == (Status.FAILED, "internal", None)
    redeliver(sessions, caller, delivery.id)
    assert len(hooks.take(sessions)) == 1


def test_gone_of_an_older_url_or_attempt_leaves_the_webhook(sessions: Sessions, caller: Caller) -> None:
    """What its owner has repaired meanwhile isn't disabled by what went to the old place."""
    webhook = hooks.endpoint(sessions, caller)
    hooks.end(sessions, caller)
    [stale] = hooks.take(sessions)
    hooks.let_leases_run_out(sessions)
    [current] = hooks.take(sessions)
    answered(sessions, stale, Answer(410))
    assert not disabled(sessions, caller, webhook.id)
    with sessions.begin() as session:
        endpoints.change(session, caller, tables.WEBHOOKS.policy, webhook.id, {"url": "https://example.org/"})
    answered(sessions, current, Answer(410))
    assert not disabled(sessions, caller, webhook.id)
    hooks.end(sessions, caller)
    [parcel] = hooks.take(sessions)
    answered(sessions, parcel, Answer(410))
    assert disabled(sessions, caller, webhook.id)


def test_late_word_of_an_older_attempt_changes_nothing(sessions: Sessions, caller: Caller) -> None:
    """When a lease has run out, only the attempt that came after may write."""
    hooks.endpoint(sessions, caller)
    hooks.end(sessions, caller)
    [first] = hooks.take(sessions)
    assert hooks.take(sessions) == []
    hooks.let_leases_run_out(sessions)
    [second] = hooks.take(sessions)
    answered(sessions, first, BAD)
    assert hooks.take(sessions) == []
    answered(sessions, second, Answer(200))
    answered(sessions, first, BAD)
    [delivery] = hooks.listed(sessions, caller)
    assert (delivery.status, delivery.attempts, delivery.last_status) == (Status.DELIVERED, 2, 200)


def test_slow_targets_and_tenants_take_no_more_than_their_share(sessions: Sessions, caller: Caller) -> None:
    """What is under way counts; what waits behind it doesn't keep others from their turn."""
    other = tables.tenant(sessions, "other")
    slow = [hooks.endpoint(sessions, caller).id for _ in range(3)]
    foreign = hooks.endpoint(sessions, other).id
    for who in [caller] * 6 + [other] * 2:
        hooks.end(sessions, who)
    took = [hooks.take(sessions, per_target=2, per_tenant=5) for _ in range(3)]
    assert [len(parcels) for parcels in took] == [7, 0, 0]
    counts = {target: [p.endpoint_id for p in took[0]].count(target) for target in (*slow, foreign)}
    assert (sorted(counts[target] for target in slow), counts[foreign]) == ([1, 2, 2], 2)
    answered(sessions, next(p for p in took[0] if p.endpoint_id == foreign), Answer(200))
    answered(sessions, next(p for p in took[0] if counts[p.endpoint_id or foreign] == 2), Answer(200))
    assert len(hooks.take(sessions, per_target=2, per_tenant=5)) == 1


def test_tenant_with_nothing_under_way_goes_before_backlogs_that_hang(sessions: Sessions, caller: Caller) -> None:
    """Four tenants' receivers hang and much older deliveries wait behind them: the next hand is the fifth's."""
    slow = [tables.tenant(sessions, f"slow {number}") for number in range(4)]
    for who in slow:
        hooks.endpoint(sessions, who)
        for _ in range(4):
            hooks.end(sessions, who)
    hung = hooks.take(sessions, limit=8, per_target=2, per_tenant=2)
    assert {parcel.tenant_id for parcel in hung} == {who.tenant_id for who in slow}
    fresh = hooks.endpoint(sessions, caller).id
    hooks.end(sessions, caller)
    answered(sessions, hung[0], BAD)
    [next_one] = hooks.take(sessions, limit=1, per_target=2, per_tenant=2)
    assert next_one.endpoint_id == fresh


def test_target_with_nothing_under_way_goes_before_the_tenants_others(sessions: Sessions, caller: Caller) -> None:
    """Within a tenant too, the webhook that hangs has its backlog behind it."""
    hung = hooks.endpoint(sessions, caller).id
    for _ in range(4):
        hooks.end(sessions, caller)
    assert [parcel.endpoint_id for parcel in hooks.take(sessions, limit=1)] == [hung]
    fresh = hooks.endpoint(sessions, caller).id
    hooks.end(sessions, caller)
    assert [parcel.endpoint_id for parcel in hooks.take(sessions, limit=1, per_tenant=2)] == [fresh]


def test_many_couriers_take_each_delivery_once(sessions: Sessions, caller: Caller) -> None:
    """Two at the same moment: what one has locked the other passes by."""
    hooks.endpoint(sessions, caller)
    for _ in range(4):
        hooks.end(sessions, caller)
    whole = {"per_target": 100, "per_tenant": 100, "lease_s": 60}
    with sessions.begin() as one, sessions.begin() as other:
        first = deliveries.take(one, limit=2, **whole)
        second = deliveries.take(other, limit=100, **whole)
    taken = [parcel.id for parcel in itertools.chain(first, second)]
    assert len(taken) == len(set(taken))
    assert len(taken) + len(hooks.take(sessions)) == 4


def test_so_many_tests_wait_and_no_more(sessions: Sessions, caller: Caller) -> None:
    """Whoever asks again and again fills no table; jobs' ends don't count."""
    webhook = hooks.endpoint(sessions, caller)
    hooks.end(sessions, caller)
    with sessions.begin() as session:
        for _ in range(deliveries.MAX_TESTS):
            deliveries.test(session, caller, webhook.id)
        with pytest.raises(errors.LimitReached):
            deliveries.test(session, caller, webhook.id)


def disabled(sessions: Sessions, caller: Caller, endpoint_id: uuid.UUID) -> bool:
    with sessions() as session:
        return endpoints.get(session, caller, endpoint_id).disabled


def redeliver(sessions: Sessions, caller: Caller, delivery_id: uuid.UUID) -> DeliveryView:
    with sessions.begin() as session:
        return deliveries.redeliver(session, caller, delivery_id)


def answered(sessions: Sessions, parcel: deliveries.Parcel, answer: Answer) -> None:
    with sessions.begin() as session:
        deliveries.record_answer(session, parcel, answer)
