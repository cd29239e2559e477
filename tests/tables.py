"""Ground for tests that need our tables: an empty database, a tenant, jobs."""

import datetime as dt
import ipaddress
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from db import session as db_session
from db import tables, workers
from db.jobs import Job
from db.session import Sessions
from tasks import ids, keys, kinds
from tasks.jobs import attempts, family, finishing, jobs, lifecycle, stages
from tasks.jobs.attempts import Claim
from tasks.jobs.family import Child
from tasks.jobs.finishing import Finish
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Onward, Outcome
from tasks.jobs.requests import Plan, Request, Stored, Submission
from tasks.jobs.settlement import Closing
from tasks.jobs.view import JobView
from tasks.keys import Caller
from tasks.kinds import KINDS
from tasks.models.catalog import Catalog, Model
from tasks.settings import WebhookPolicy, WebhookSettings
from tasks.streams.transcript import Transcript

PEPPER = "the pepper of tests"
WEBHOOK_KEY = "the webhook key of tests"
# Longer than any test: none loses its workers because the machine is slow.
LEASE_S = 120.0
# Receivers of tests listen on this machine, without TLS.
WEBHOOKS = WebhookSettings(WEBHOOK_KEY, WebhookPolicy(allow_http=True, networks=(ipaddress.ip_network("127.0.0.0/8"),)))
MODELS: Catalog = {
    "alpha": Model("alpha", "echo", context=64, slots=2, types=("generate", "chat")),
    "beta": Model("beta", "echo", context=64, slots=2, types=("generate",), default=True),
    "embedder": Model("embedder", "echo", context=64, slots=2, types=("embed",)),
    "other": Model("other", "echo", context=128, slots=2, types=("embed",)),
    "third": Model("third", "echo", context=128, slots=2, types=("embed",)),
    "short": Model("short", "echo", context=32, slots=2, types=("embed",)),
    "reranker": Model("reranker", "echo", context=64, slots=2, types=("rerank",)),
}
_EMPTYING = """
CREATE OR REPLACE FUNCTION tests_empty() RETURNS void LANGUAGE plpgsql AS $$ BEGIN {deletes} END $$
"""


@contextmanager
def opened(postgres_url: str) -> Iterator[Engine]:
    """A pool on the test database, which holds from now on the function that empties all tables of ours.

    It deletes, for tests leave a few rows each: a TRUNCATE makes every table and index anew, which takes longer.
    """
    ours = [table.name for table in reversed(tables.metadata.sorted_tables) if table.name != "epochs"]
    deletes = " ".join(f"DELETE FROM {name};" for name in ours)
    engine = db_session.open_engine(postgres_url, pool_size=10, pool_timeout_s=5)
    with engine.begin() as connection:
        connection.execute(text(_EMPTYING.format(deletes=deletes)))
    try:
        yield engine
    finally:
        engine.dispose()


def emptied(database: Engine) -> Sessions:
    """Sessions on the test database, all its tables empty."""
    try:
        _empty(database)
    except OperationalError:  # the test before may have ended the server's side of our connections
        _empty(database)
    return db_session.open_sessions(database)


def _empty(database: Engine) -> None:
    with database.begin() as connection:
        connection.execute(text("SELECT tests_empty()"))


def tenant(sessions: Sessions, name: str = "ours") -> Caller:
    """A caller with a key of the tenant's."""
    with sessions.begin() as session:
        key = keys.create(session, pepper=PEPPER, tenant=name, name="test")
        caller = keys.check(session, pepper=PEPPER, key=key.key)
    assert caller is not None
    return caller


def submission(
    type: str = "generate",
    model: str | None = "alpha",
    input: Mapping[str, Any] | None = None,
    params: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Submission[Request]:
    """What `POST /v1/jobs` would make of it; a prompt of four words, taken greedily, where nothing is said."""
    given = {"prompt": "one two three four"} if input is None else input
    request = KINDS[type].parse(Stored(given, {"temperature": 0} if params is None else params))
    return Submission(type, model, request, **changes)


def submit(sessions: Sessions, caller: Caller, **changes: Any) -> JobView:
    with sessions.begin() as session:
        return accept(session, caller, submission(**changes))


def accept(session: Session, caller: Caller, asked: Submission[Any]) -> JobView:
    """The job as the desk would write it down, in a transaction of the test's; nobody is woken for it."""
    return jobs.insert(session, caller, plan(session, caller, asked))[0]


def plan(session: Session, caller: Caller, asked: Submission[Any]) -> Plan:
    """What the desk would be given for it."""
    return kinds.plan(session, MODELS, caller, asked)


def copies(sessions: Sessions, job_id: uuid.UUID, number: int) -> list[uuid.UUID]:
    """So many more jobs like this one, as if each had been submitted after the one before."""
    made = [ids.new() for _ in range(number)]
    like = (
        "INSERT INTO jobs SELECT (jsonb_populate_record(o, jsonb_build_object('id', made))).*"
        " FROM jobs o, unnest(:made) made WHERE o.id = :job_id"
    )
    with sessions.begin() as session:
        session.execute(text(like), {"made": made, "job_id": job_id})
    return made


def dispatch(sessions: Sessions, *job_ids: uuid.UUID) -> None:
    """Puts the jobs into the window as a refill would, sending nothing."""
    with sessions.begin() as session:
        for job_id in job_ids:
            put(session, job_id, Status.DISPATCHED, dispatched_at=dt.datetime.now(dt.UTC))


def put(session: Any, job_id: uuid.UUID, status: Status, **values: Any) -> None:
    """Forces a job into a state, whatever the lifecycle says."""
    assignments = ", ".join(f"{name} = :{name}" for name in ("status", *values))
    session.execute(text(f"UPDATE jobs SET {assignments} WHERE id = :id"), {"id": job_id, "status": status, **values})


def claim(sessions: Sessions, job_id: uuid.UUID, *, queue: str = "alpha", worker_id: str = "w1") -> Claim | None:
    with sessions.begin() as session:
        [claimed] = attempts.claim(session, [job_id], queue=queue, worker_id=worker_id)
    return claimed


def lose(session: Session, job_id: uuid.UUID, *, crashes: int) -> None:
    """Takes the job from its worker as if that had died, after so many crashes with this one."""
    assert lifecycle.leave(session, Status.DISPATCHED, "lost", Job.id == job_id, crashes=crashes)


def finish(
    session: Session,
    job_id: uuid.UUID,
    attempt: int,
    so_far: Transcript,
    outcome: Outcome,
    *,
    first_token_s: float | None = None,
    told: bool = True,
) -> Closing:
    """Ends an attempt as a worker does; unless somebody is to be `told`, by a statement that commits itself."""
    end = Finish(job_id, attempt, so_far, outcome, first_token_s)
    if not told and (closing := finishing.finish_untold(session, [end])[0]):
        return closing
    return finishing.finish(session, end)


def running(sessions: Sessions, caller: Caller, *, worker_id: str = "w1", **changes: Any) -> Claim:
    """A job that a worker has claimed; `changes` are of what is submitted."""
    job_id = submit(sessions, caller, **changes).id
    dispatch(sessions, job_id)
    claimed = claim(sessions, job_id, worker_id=worker_id)
    assert claimed is not None
    return claimed


def worker(sessions: Sessions, worker_id: str = "w1", *, model: str | None = "alpha", slots: int = 2) -> None:
    """A living worker's row."""
    with sessions.begin() as session:
        workers.register(session, worker_id=worker_id, queue=model, slots=slots)


def silence(sessions: Sessions, worker_id: str, seconds: float) -> None:
    """Makes the worker's last heartbeat that much older."""
    with sessions.begin() as session:
        statement = text("UPDATE workers SET beat_at = beat_at - make_interval(secs => :seconds) WHERE id = :id")
        session.execute(statement, {"id": worker_id, "seconds": seconds})


def backdate(sessions: Sessions, job_id: uuid.UUID, by: dt.timedelta) -> None:
    """Makes all that is timed of a job so much earlier, as if that time had passed."""
    timed = ("created_at", "dispatched_at", "started_at", "run_at", "due_at", "expires_at")
    assignments = ", ".join(f"{name} = {name} - :by" for name in timed)
    with sessions.begin() as session:
        session.execute(text(f"UPDATE jobs SET {assignments} WHERE id = :id"), {"id": job_id, "by": by})


def column(sessions: Sessions, job_id: uuid.UUID, name: str) -> Any:
    with sessions() as session:
        return session.scalar(text(f"SELECT {name} FROM jobs WHERE id = :id"), {"id": job_id})


def usage_rows(sessions: Sessions, job_id: uuid.UUID) -> list[tuple[int, int]]:
    with sessions() as session:
        rows = session.execute(
            text("SELECT prompt_tokens, completion_tokens FROM ledger WHERE job_id = :id"), {"id": job_id}
        )
        return [(prompt, completion) for prompt, completion in rows]


def parent(sessions: Sessions, caller: Caller, *, children: int, goes_on_in: str) -> uuid.UUID:
    """A job that waits for so many children of alpha's, and then goes on in that queue."""
    job_id = submit(sessions, caller).id
    dispatch(sessions, job_id)
    assert claim(sessions, job_id)
    plans = [Plan(submission(), stages.GENERATE, "alpha", "alpha") for _ in range(children)]
    with sessions.begin() as session:
        family.adopt(session, job_id, 1, [Child(plan, place) for place, plan in enumerate(plans)])
    with sessions.begin() as session:
        onward = Onward(stages.GENERATE, goes_on_in, wait_for_children=True)
        assert attempts.advance(session, job_id, 1, Transcript(), onward)
    return job_id


def children(sessions: Sessions, parent_id: uuid.UUID) -> list[uuid.UUID]:
    """In the order of their places."""
    with sessions() as session:
        found = text("SELECT id FROM jobs WHERE parent_id = :id ORDER BY place")
        return list(session.scalars(found, {"id": parent_id}))
