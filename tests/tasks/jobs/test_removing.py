"""Jobs that have ended are removed whole; what is under way never is, and no row of the ledger."""

import uuid

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Uuid, text

from db import tables as all_tables
from db.session import Sessions
from db.vectors import JobVectors
from tasks import errors
from tasks.doors import idempotency
from tasks.doors.idempotency import IdempotencyClaim
from tasks.jobs import endings, jobs, removing
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Outcome
from tasks.keys import Caller
from tasks.limits.spent import Spent
from tasks.streams import stream
from tasks.streams.transcript import Transcript
from tests import tables

STAYS = {"ledger", "documents", "reembeddings"}  # they name a job, and outlive it


def ended(sessions: Sessions, caller: Caller, ago_s: float = 0) -> uuid.UUID:
    """A job that was claimed and finished, so long ago."""
    job_id = tables.running(sessions, caller).job_id
    with sessions.begin() as session:
        tables.finish(session, job_id, 1, Transcript(), Outcome(Status.SUCCEEDED, Spent(3, 2), {"text": "a"}))
        _age(session, job_id, ago_s)
    return job_id


def _age(session: object, job_id: uuid.UUID, ago_s: float) -> None:
    earlier = "UPDATE jobs SET finished_at = finished_at - make_interval(secs => :ago_s) WHERE id = :id"
    session.execute(text(earlier), {"id": job_id, "ago_s": ago_s})  # type: ignore[attr-defined]


def adopted(sessions: Sessions, parent_id: uuid.UUID, *child_ids: uuid.UUID) -> None:
    """Makes these jobs the children of that one."""
    with sessions.begin() as session:
        for place, child_id in enumerate(child_ids):
            statement = "UPDATE jobs SET parent_id = :parent, place = :place WHERE id = :child"
            session.execute(text(statement), {"parent": parent_id, "place": place, "child": child_id})


def naming(sessions: Sessions, job_id: uuid.UUID) -> dict[str, int]:
    """How many rows of each table have the job's id, in whichever column."""
    found = {}
    with sessions() as session:
        for table in all_tables.metadata.sorted_tables:
            columns = [f'"{column.name}"' for column in table.columns if isinstance(column.type, Uuid)]
            if columns:
                which = " OR ".join(f"{column} = :id" for column in columns)
                count = session.scalar(text(f"SELECT count(*) FROM {table.name} WHERE {which}"), {"id": job_id})
                found[table.name] = count or 0
    return {name: count for name, count in found.items() if count}


def ids_left(sessions: Sessions) -> set[uuid.UUID]:
    with sessions() as session:
        return set(session.scalars(text("SELECT id FROM jobs")))


def cost(sessions: Sessions) -> list[tuple[object, ...]]:
    with sessions() as session:
        return [tuple(row) for row in session.execute(text("SELECT * FROM ledger ORDER BY job_id"))]


def everything_about(sessions: Sessions, caller: Caller) -> uuid.UUID:
    """A job that is named in every table where one can be."""
    job_id, tenant_id = ended(sessions, caller), caller.tenant_id
    with sessions.begin() as session:
        session.add(JobVectors(job_id=job_id, dimensions=1, data=bytes(4)))
        idempotency.once(
            session,
            caller,
            IdempotencyClaim(f"key {job_id}", b"x"),
            lambda: jobs.get(session, caller, job_id),
            jobs.get,
        )
        for statement in (
            "INSERT INTO job_checkpoints (job_id, first, entries) VALUES (:job, 1, '[]')",
            "INSERT INTO summary_results (summary_id, number, job_id) VALUES (:job, 1, :job)",
            "INSERT INTO batches (job_id, tenant_id, endpoint, input_file_id, completion_window, expires_at)"
            " VALUES (:job, :tenant, 'e', :job, '24h', now())",
            "INSERT INTO batch_results (batch_id, number, place) VALUES (:job, 1, 0)",
            "INSERT INTO batch_twins (job_id, place, of_place, label) VALUES (:job, 1, 0, 'l')",
            "INSERT INTO line_digests (batch_id, place, digest) VALUES (:job, 0, :job)",
            "INSERT INTO webhook_deliveries (id, tenant_id, target_id, job_id, message_id, type, url, payload,"
            " give_up_at) VALUES (:job, :tenant, :tenant, :job, :job, 'job.succeeded', 'u', 'p', now())",
        ):
            session.execute(text(statement), {"job": job_id, "tenant": tenant_id})
    return job_id


def test_nothing_is_left_of_a_job_but_what_it_cost(sessions: Sessions, client: redis.Redis, caller: Caller) -> None:
    """In whichever table it was named, another that is added tomorrow too; and all is left of its neighbour."""
    job_id, other = everything_about(sessions, caller), everything_about(sessions, caller)
    before, spent = naming(sessions, other), cost(sessions)
    can_be = {
        table.name
        for table in all_tables.metadata.sorted_tables
        if {"job_id", "summary_id", "batch_id"} & set(table.columns.keys()) or table.name == "jobs"
    }
    assert before.keys() == (can_be - STAYS) | {"ledger"}
    client.xadd(stream.key(job_id), {"j": "{}"})
    removing.erase(sessions, client, caller, job_id)
    assert naming(sessions, job_id) == {"ledger": 1}
    assert (naming(sessions, other), cost(sessions)) == (before, spent)
    assert not client.exists(stream.key(job_id))


def test_a_family_goes_together_in_lots(
    sessions: Sessions, client: redis.Redis, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Children before their parents; cut off in the middle, it goes on when it is asked for again."""
    monkeypatch.setattr(removing, "_AT_ONCE", 2)
    root, *children = (ended(sessions, caller) for _ in range(4))
    steps, alone = [ended(sessions, caller) for _ in range(3)], ended(sessions, caller)
    adopted(sessions, root, *children)
    adopted(sessions, children[0], *steps)
    with pytest.raises(errors.Conflict, match="is a part of"):
        removing.erase(sessions, client, caller, children[0])
    first = next(removing.family(sessions, root))
    assert len(first) == 2
    assert set(first) < set(steps) | set(children)
    removing.erase(sessions, client, caller, root)
    assert ids_left(sessions) == {alone}
    with pytest.raises(errors.NotFound):
        removing.erase(sessions, client, caller, root)


def test_what_has_not_ended_is_not_removed(sessions: Sessions, client: redis.Redis, caller: Caller) -> None:
    """Neither is a job with a child that hasn't, nor another tenant's."""
    root, child, running = ended(sessions, caller), *(tables.running(sessions, caller).job_id for _ in range(2))
    adopted(sessions, root, child)
    for job_id, why in ((running, "cancel it first"), (root, "still being ended")):
        with pytest.raises(errors.Conflict, match=why):
            removing.erase(sessions, client, caller, job_id)
    with pytest.raises(errors.NotFound):
        removing.erase(sessions, client, tables.tenant(sessions, "theirs"), root)
    assert removing.forget_due(sessions, 0, lambda: True)
    assert ids_left(sessions) == {root, child, running}


def test_a_job_stays_until_its_webhook_is_told(sessions: Sessions, client: redis.Redis, caller: Caller) -> None:
    """Whoever erases it by hand wants no message of it sent either."""
    job_id = everything_about(sessions, caller)
    assert removing.forget_due(sessions, 0, lambda: True)
    assert ids_left(sessions) == {job_id}
    with sessions.begin() as session:
        session.execute(text("UPDATE webhook_deliveries SET status = 'delivered'"))
    assert removing.forget_due(sessions, 0, lambda: True)
    assert naming(sessions, job_id) == {"ledger": 1}
    told = everything_about(sessions, caller)
    removing.erase(sessions, client, caller, told)
    assert naming(sessions, told) == {"ledger": 1}


@pytest.mark.parametrize("how", ["told", "untold", "cancelled"])
def test_an_end_leaves_nothing_that_was_handed_on(
    sessions: Sessions, client: redis.Redis, caller: Caller, how: str
) -> None:
    """Passages and parts of documents: whichever way the job ends."""
    job_id = tables.running(sessions, caller).job_id
    with sessions.begin() as session:
        session.execute(text("UPDATE jobs SET stage_input = '{\"words\": 1}' WHERE id = :id"), {"id": job_id})
    if how == "cancelled":
        endings.cancel(sessions, client, caller, job_id, 60)
    else:
        with sessions.begin() as session:
            outcome = Outcome(Status.SUCCEEDED, Spent(1))
            tables.finish(session, job_id, 1, Transcript(), outcome, told=how == "told")
    assert tables.column(sessions, job_id, "stage_input") is None


KINDS = ("ended long ago", "ended just now", "running", "queued")
# Each job is a kind, and the place of its parent among those before it, where it has one.
FAMILIES = st.lists(st.tuples(st.sampled_from(KINDS), st.none() | st.integers(0, 7)), max_size=8)
LONG_S = 1e6  # longer than any test


@pytest.fixture
def moulds(sessions: Sessions, caller: Caller) -> dict[str, uuid.UUID]:
    """Jobs of each kind, to be copied: none ended so long ago that it would be removed itself."""
    old, young = (ended(sessions, caller) for _ in range(2))
    running, queued = tables.running(sessions, caller).job_id, tables.submit(sessions, caller).id
    return dict(zip(KINDS, (old, young, running, queued), strict=True))


@given(FAMILIES)
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_only_what_ended_long_ago_goes_and_never_a_row_of_the_ledger(
    sessions: Sessions, moulds: dict[str, uuid.UUID], made: list[tuple[str, int | None]]
) -> None:
    """Whatever families there are: of each all goes, or none of what a job that hasn't ended stands above."""
    job_ids, parents = families(sessions, moulds, made)
    kinds, spent = dict(zip(job_ids, (kind for kind, _ in made), strict=True)), cost(sessions)

    def root(job_id: uuid.UUID) -> uuid.UUID:
        return root(parents[job_id]) if job_id in parents else job_id

    assert removing.forget_due(sessions, LONG_S, lambda: True)
    left = ids_left(sessions)
    assert left >= set(moulds.values())
    for job_id in job_ids:
        over = [kinds[other].startswith("ended") for other in job_ids if root(other) == root(job_id)]
        goes = kinds[root(job_id)] == "ended long ago"
        assert (job_id in left) or (goes and kinds[job_id].startswith("ended"))
        assert (job_id not in left) or not (goes and all(over))
    assert cost(sessions) == spent


def families(
    sessions: Sessions, moulds: dict[str, uuid.UUID], made: list[tuple[str, int | None]]
) -> tuple[list[uuid.UUID], dict[uuid.UUID, uuid.UUID]]:
    """Jobs of these kinds, and the parents of those that have one. There are no others but the moulds."""
    with sessions.begin() as session:
        session.execute(text("DELETE FROM jobs WHERE id <> ALL(:moulds)"), {"moulds": list(moulds.values())})
    job_ids = [tables.copies(sessions, moulds[kind], 1)[0] for kind, _ in made]
    parents = {job_ids[i]: job_ids[above] for i, (_, above) in enumerate(made) if above is not None and above < i}
    with sessions.begin() as session:
        for place, (child_id, parent_id) in enumerate(parents.items()):
            statement = "UPDATE jobs SET parent_id = :parent, place = :place WHERE id = :child"
            session.execute(text(statement), {"parent": parent_id, "place": place, "child": child_id})
        for job_id, (kind, _) in zip(job_ids, made, strict=True):
            if kind == "ended long ago":
                _age(session, job_id, 2 * LONG_S)
    return job_ids, parents
