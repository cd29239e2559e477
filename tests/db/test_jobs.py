"""The queries that decide who comes next and who sees what."""

import datetime as dt

from db import jobs
from db.session import Sessions
from tasks.jobs.lifecycle import Status
from tasks.keys import Caller
from tests import tables


def test_queues_waiting_names_each_once(sessions: Sessions, caller: Caller) -> None:
    """The sweep asks which models have jobs waiting and gets each model once."""
    with sessions() as session:
        assert jobs.queues_waiting(session) == []
    for model in ("beta", "alpha", "alpha"):
        tables.submit(sessions, caller, model=model)
    with sessions() as session:
        assert jobs.queues_waiting(session) == ["alpha", "beta"]


def test_jobs_of_models_that_left_are_counted_while_they_wait(sessions: Sessions, caller: Caller) -> None:
    """Scheduled, queued and dispatched ones together; neither those of served models, nor what runs or has ended."""
    with sessions() as session:
        assert jobs.unserved(session, ["alpha"], 10) == {}
    for model in ("alpha", "beta"):
        waiting = [tables.submit(sessions, caller, model=model).id for _ in range(5)]
        tables.dispatch(sessions, waiting[0])
        with sessions.begin() as session:
            tables.put(session, waiting[1], Status.SCHEDULED, due_at=dt.datetime.now(dt.UTC))
            tables.put(session, waiting[2], Status.RUNNING)
            tables.put(session, waiting[3], Status.SUCCEEDED)
    with sessions() as session:
        assert jobs.unserved(session, ["alpha"], 10) == {"beta": 3}
        assert jobs.unserved(session, [], 10) == {"alpha": 3, "beta": 3}
        assert jobs.unserved(session, ["alpha", "beta"], 10) == {}


def test_jobs_of_models_that_left_are_counted_to_a_cap(sessions: Sessions, caller: Caller) -> None:
    """However many wait, or are due one day, counting them stays cheap."""
    for _ in range(3):
        tables.submit(sessions, caller)
        later = tables.submit(sessions, caller, model="beta").id
        with sessions.begin() as session:
            tables.put(session, later, Status.SCHEDULED, due_at=dt.datetime.now(dt.UTC))
    with sessions() as session:
        assert jobs.unserved(session, [], 2) == {"alpha": 2, "beta": 2}


def test_jobs_of_a_model_are_counted_by_whether_they_run(sessions: Sessions, caller: Caller) -> None:
    """Those that wait for their time, their turn or a worker are one number."""
    first, second, third, ended = (tables.submit(sessions, caller).id for _ in range(4))
    tables.submit(sessions, caller, model="beta")
    tables.dispatch(sessions, first, second)
    assert tables.claim(sessions, second)
    with sessions.begin() as session:
        tables.put(session, third, Status.SCHEDULED)
        tables.put(session, ended, Status.FAILED)
    with sessions() as session:
        assert jobs.waiting_and_running(session, "alpha") == (2, 1)
        assert jobs.waiting_and_running(session, "gamma") == (0, 0)
