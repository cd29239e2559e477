"""What becomes of deliveries that nobody is to see any more: their webhook was deleted, or they ended long ago."""

import pytest
from sqlalchemy import text

from db import unstored
from db.session import Sessions
from tasks import errors
from tasks.jobs.lifecycle import Status as JobStatus
from tasks.jobs.outcomes import Outcome
from tasks.keys import Caller
from tasks.limits.spent import Spent
from tasks.streams.transcript import Transcript
from tasks.webhooks import deliveries, endpoints
from tasks.webhooks.deliveries import Answer, Parcel, Status
from tests import hooks, tables


@pytest.mark.parametrize("sent", ["before", "after"])
def test_what_is_told_of_a_job_that_is_not_kept_is_erased_with_it(
    sessions: Sessions, caller: Caller, sent: str
) -> None:
    """Not before it has reached its receiver, and then it can't be sent again; of jobs that are kept all stays."""
    hooks.endpoint(sessions, caller)
    for store in (False, True):
        hooks.end(sessions, caller, store=store)
    parcels = {parcel.id: parcel for parcel in hooks.take(sessions)}

    def arrive() -> None:
        for parcel in parcels.values():
            answered(sessions, parcel, Answer(200))

    if sent == "before":
        arrive()
    with sessions.begin() as session:
        assert unstored.forget(session, 0, 10) == 1
        words = "SELECT id, payload FROM webhook_deliveries ORDER BY id"
        [[unkept, _], [kept, _]] = found = session.execute(text(words)).all()
    if sent == "after":
        assert [payload for _, payload in found] == [parcels[id].payload for id, _ in found]
        arrive()
    with sessions() as session:
        assert session.execute(text(words)).all() == [(unkept, ""), (kept, parcels[kept].payload)]
    with sessions.begin() as session:
        assert deliveries.redeliver(session, caller, kept).status == Status.PENDING
        with pytest.raises(errors.Conflict):
            deliveries.redeliver(session, caller, unkept)


def test_webhook_deleted_while_a_job_ends_stops_nothing(sessions: Sessions, caller: Caller) -> None:
    """Its deliveries go with it; the job ends all the same."""
    webhook = hooks.endpoint(sessions, caller)
    hooks.end(sessions, caller)
    [parcel] = hooks.take(sessions)
    with sessions.begin() as session:
        endpoints.delete(session, caller, webhook.id)
    answered(sessions, parcel, Answer(410))
    hooks.end(sessions, caller)
    assert hooks.listed(sessions, caller) == []


def test_deletion_is_over_at_once_however_much_was_sent(sessions: Sessions, caller: Caller) -> None:
    """Nobody sees it any more and nothing goes there; jobs end beside it; what it leaves goes bit by bit."""
    doomed, other = (hooks.endpoint(sessions, caller).id for _ in range(2))
    for _ in range(5):
        hooks.end(sessions, caller)
    job_id = hooks.begin(sessions, caller)
    with sessions.begin() as session:
        endpoints.delete(session, caller, doomed)
        with sessions.begin() as beside:
            beside.execute(text("SET LOCAL lock_timeout = '500ms'"))
            tables.finish(beside, job_id, 1, Transcript(), Outcome(JobStatus.SUCCEEDED, Spent(1, 1), {"text": ""}))
    assert {delivery.endpoint_id for delivery in hooks.listed(sessions, caller)} == {other}
    assert hooks.listed(sessions, caller, webhook=doomed) == []
    assert {parcel.endpoint_id for parcel in hooks.take(sessions)} == {other}
    with sessions() as session, pytest.raises(errors.NotFound):
        endpoints.get(session, caller, doomed)
    assert counted(sessions, "webhook_secrets") == 1
    assert [tidied(sessions, limit=4) for _ in range(3)] == [4, 2, 0]
    assert (counted(sessions, "webhook_endpoints"), counted(sessions, "webhook_deliveries")) == (1, 6)


def test_deliveries_that_ended_long_ago_are_forgotten(sessions: Sessions, caller: Caller) -> None:
    """Bit by bit; what is pending stays, whatever its age."""
    hooks.endpoint(sessions, caller)
    for _ in range(4):
        hooks.end(sessions, caller)
    for parcel in hooks.take(sessions, limit=3):
        answered(sessions, parcel, Answer(200))
    assert tidied(sessions, limit=2) == 0
    hooks.let_months_pass(sessions, 2)
    assert [tidied(sessions, limit=2) for _ in range(3)] == [2, 1, 0]
    assert [delivery.status for delivery in hooks.listed(sessions, caller)] == [Status.PENDING]


def tidied(sessions: Sessions, *, limit: int) -> int:
    with sessions.begin() as session:
        return deliveries.tidy(session, limit)


def counted(sessions: Sessions, table: str) -> int:
    with sessions() as session:
        return int(session.scalar(text(f"SELECT count(*) FROM {table}")) or 0)


def answered(sessions: Sessions, parcel: Parcel, answer: Answer) -> None:
    with sessions.begin() as session:
        deliveries.record_answer(session, parcel, answer)
