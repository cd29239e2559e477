"""Several jobs in one statement: each gets its own, and none is kept or harmed by another."""

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pytest
from sqlalchemy import text

from db.session import Sessions
from tasks.jobs import attempts, finishing
from tasks.jobs.attempts import Claim
from tasks.jobs.finishing import Finish
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Outcome
from tasks.jobs.settlement import Closing
from tasks.keys import Caller
from tasks.limits.spent import Spent
from tasks.streams.transcript import Transcript
from tests import hooks, tables
from tests.support import entries


def dispatched(sessions: Sessions, caller: Caller, number: int) -> list[uuid.UUID]:
    made = [tables.submit(sessions, caller).id for _ in range(number)]
    tables.dispatch(sessions, *made)
    return made


def claimed(sessions: Sessions, *job_ids: uuid.UUID) -> list[Claim | None]:
    with sessions.begin() as session:
        return attempts.claim(session, job_ids, queue="alpha", worker_id="w1")


def ended(sessions: Sessions, ends: Sequence[Finish]) -> list[Closing | None]:
    with sessions.begin() as session:
        return finishing.finish_untold(session, ends)


def end(job_id: uuid.UUID, number: int = 0) -> Finish:
    """An end that says this number wherever it can."""
    so_far = Transcript()
    so_far.add(entries.said(str(number)), (number,))
    return Finish(job_id, 1, so_far, Outcome(Status.SUCCEEDED, Spent(number), {"text": str(number)}))


@contextmanager
def held(sessions: Sessions, job_id: uuid.UUID) -> Iterator[None]:
    """The job's row is another transaction's meanwhile."""
    with sessions.begin() as session:
        session.execute(text("SELECT 1 FROM jobs WHERE id = :id FOR NO KEY UPDATE"), {"id": job_id})
        yield


def test_each_is_claimed_that_is_to_be_had(sessions: Sessions, caller: Caller) -> None:
    """In the order in which they were asked for; one that is asked for twice once."""
    one, two, three = dispatched(sessions, caller, 3)
    assert claimed(sessions, two) != [None]
    found = claimed(sessions, three, two, one, three)
    assert [claim and (claim.job_id, claim.attempt) for claim in found] == [(three, 1), None, (one, 1), None]


def test_each_end_is_its_own_job_s(sessions: Sessions, caller: Caller) -> None:
    """Its words, result, vectors and account; one whose attempt is over ends nothing beside them."""
    job_ids = dispatched(sessions, caller, 3)
    assert all(claimed(sessions, *job_ids))
    one, two, three = (end(job_id, number) for number, job_id in enumerate(job_ids, 1))
    vectors = np.ones((1, 2), dtype=np.float32)
    two = Finish(two.job_id, 1, two.so_far, Outcome(Status.FAILED, Spent(2), error=("sick", "2"), vectors=vectors))
    with sessions.begin() as session:
        tables.lose(session, three.job_id, crashes=1)
    assert tables.claim(sessions, three.job_id, worker_id="w2")
    closings = ended(sessions, [two, three, one])
    assert [closing and closing.view.id for closing in closings] == [two.job_id, None, one.job_id]
    with sessions() as session:
        rows = session.execute(
            text("""
            SELECT j.status, j.error_message, o.result->>'text', o.token_ids, l.prompt_tokens, v.job_id IS NOT NULL
            FROM jobs j LEFT JOIN job_outputs o ON o.job_id = j.id LEFT JOIN ledger l ON l.job_id = j.id
            LEFT JOIN job_vectors v ON v.job_id = j.id ORDER BY j.id""")
        )
        assert [tuple(row) for row in rows] == [
            ("succeeded", None, "1", [1], 1, False),
            ("failed", "2", None, [2], 2, True),
            ("running", None, None, None, None, False),
        ]


def test_row_that_somebody_holds_is_left_out(sessions: Sessions, caller: Caller) -> None:
    """Of claims and of ends: the others needn't wait for it, and it is to be had afterwards."""
    one, two = dispatched(sessions, caller, 2)
    with held(sessions, one):
        assert [claim is not None for claim in claimed(sessions, one, two)] == [False, True]
    assert claimed(sessions, one) != [None]
    with held(sessions, one):
        assert [closing is not None for closing in ended(sessions, [end(one), end(two)])] == [False, True]
    assert ended(sessions, [end(one)]) != [None]


def test_suspect_is_claimed_by_itself(sessions: Sessions, caller: Caller) -> None:
    """Whose next crash is its end must take no other job with it."""
    suspect, other = dispatched(sessions, caller, 2)
    with sessions.begin() as session:
        tables.put(session, suspect, Status.DISPATCHED, crashes=2)
    assert [claim is not None for claim in claimed(sessions, suspect, other)] == [False, True]
    assert claimed(sessions, suspect) != [None]


@pytest.mark.parametrize(
    ("told", "disabled"), [("by the job's webhook", False), ("by the tenant's", False), ("", True)]
)
def test_end_that_is_to_be_told_is_not_written_by_itself(
    sessions: Sessions, caller: Caller, told: str, disabled: bool
) -> None:
    """However late somebody came to listen; a webhook that is disabled doesn't."""
    webhook = {"url": hooks.URL, "events": ["job.succeeded"]} if "job's" in told else None
    claim = tables.running(sessions, caller, webhook=webhook)
    if webhook is None:
        hooks.endpoint(sessions, caller)
    if disabled:
        with sessions.begin() as session:
            session.execute(text("UPDATE webhook_endpoints SET disabled = true"))
    assert [closing is None for closing in ended(sessions, [end(claim.job_id)])] == [told != ""]
    assert tables.column(sessions, claim.job_id, "status") == ("running" if told else "succeeded")


def test_ends_of_children_are_written_together_whoever_is_told_of_their_parents(
    sessions: Sessions, caller: Caller
) -> None:
    """Webhooks hear of no child. The parent is left waiting: it goes on after the commit."""
    hooks.endpoint(sessions, caller)
    parent_id = tables.parent(sessions, caller, children=2, goes_on_in="beta")
    children = tables.children(sessions, parent_id)
    tables.dispatch(sessions, *children)
    found = claimed(sessions, *children)
    assert [claim and claim.told for claim in found] == [False, False]
    closings = ended(sessions, [end(child) for child in children])
    assert [closing and closing.view.parent_id for closing in closings] == [parent_id] * 2
    assert tables.column(sessions, parent_id, "status") == "waiting"
