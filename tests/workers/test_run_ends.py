"""How a run ends when something is wrong with its end: PostgreSQL, its engine, or a slip of ours."""

import threading

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from db import session as db_session
from db.session import Sessions
from tasks import errors
from tasks.jobs import jobs
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Onward, Outcome
from tasks.keys import Caller
from tasks.limits.spent import Spent
from tasks.models.engine import Prompt
from tasks.streams.events import Resumed
from tests import tables
from tests.support.waiting import until
from tests.workers.dispatched import dispatched, run_to_its_end
from workers import run, stages
from workers.attempt import Attempt
from workers.engines.echo import Echo
from workers.patience import Patience
from workers.together import Together
from workers.worker import Worker


def test_engines_own_fault_is_named_on_the_job(sessions: Sessions, caller: Caller, worker: Worker) -> None:
    """An engine that answers with an error of its own fails the job under that name."""

    class Sick(Echo):
        def prompt(self, text: str) -> Prompt:
            raise errors.EngineError("the engine host answered 500")

    worker.engine = Sick("alpha", slots=1, context=64)
    job_id = dispatched(sessions, caller)
    run_to_its_end(worker, job_id)
    assert tables.column(sessions, job_id, "error_code") == "engine_error"


def test_end_waits_for_the_database(
    sessions: Sessions, caller: Caller, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL away at the end of a run: the result is kept in memory and written when it is back."""
    job_id = dispatched(sessions, caller)
    claim = tables.claim(sessions, job_id)
    assert claim is not None
    away = iter([True, True, False])

    def try_begin() -> object:
        if next(away):
            raise OperationalError("SELECT", {}, Exception("gone"))
        return sessions.begin()

    class Flaky:
        begin = staticmethod(try_begin)

    worker.patience = Patience(pause_s=0)
    worker.sessions = Flaky()  # type: ignore[assignment]
    record = run.finish(worker, Attempt(claim), Outcome(Status.SUCCEEDED, Spent(4), {"text": ""}))
    assert record is not None
    assert tables.column(sessions, job_id, "status") == "succeeded"


def test_bug_in_a_run_fails_the_job_and_not_the_worker(sessions: Sessions, caller: Caller, worker: Worker) -> None:
    """Whatever goes wrong, the job reaches an end and the slot is free."""

    class Broken(Echo):
        def prompt(self, text: str) -> Prompt:
            raise ZeroDivisionError("a slip")

    worker.engine = Broken("alpha", slots=1, context=64)
    job_id = dispatched(sessions, caller)
    run_to_its_end(worker, job_id)
    with sessions() as session:
        record = jobs.get(session, caller, job_id)
    assert record.error == {"code": "internal", "message": "the worker failed: ZeroDivisionError"}
    assert worker.held() == []


def test_end_that_postgresql_refuses_becomes_one_that_it_takes(
    sessions: Sessions, caller: Caller, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """JSON knows no NaN: the job fails, says so, and holds no slot for ever. Who has read its words is told."""
    worker.patience = Patience(pause_s=0)
    outcome = Outcome(Status.SUCCEEDED, Spent(4, 4), {"text": float("nan")})
    monkeypatch.setitem(stages.STAGES, "generate", lambda *_: outcome)
    job_id = dispatched(sessions, caller)
    run.run(worker, job_id)
    with sessions() as session:
        record = jobs.get(session, caller, job_id)
        [lost] = jobs.so_far(session, job_id).entries
    assert (record.status, record.error and record.error["code"]) == ("failed", "internal")
    assert lost.event == Resumed(1, lost=True)
    assert tables.usage_rows(sessions, job_id) == [(4, 4)]
    assert worker.held() == []


def test_attempt_that_fails_before_it_speaks_says_that_words_were_lost(
    sessions: Sessions, caller: Caller, worker: Worker
) -> None:
    """Those of the worker before it, which nobody has any more: what is stored is told under other numbers."""

    class Refusing(Echo):
        def prompt(self, text: str) -> Prompt:
            raise errors.EngineRefused("no")

    job_id = dispatched(sessions, caller)
    assert tables.claim(sessions, job_id, queue=worker.queue)
    with sessions.begin() as session:
        tables.lose(session, job_id, crashes=1)
    worker.client.flushall()
    worker.engine = Refusing("alpha", slots=1, context=64)
    run.run(worker, job_id)
    with sessions() as session:
        [lost] = jobs.so_far(session, job_id).entries
    assert lost.event == Resumed(2, lost=True)


def test_end_that_cannot_be_written_by_a_slip_of_ours_fails_the_job(
    sessions: Sessions, caller: Caller, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an end it would be claimed again and again, since no worker died of it."""
    slip = Outcome(Status.SUCCEEDED, None)  # type: ignore[arg-type]
    monkeypatch.setitem(stages.STAGES, "generate", lambda *_: slip)
    job_id = dispatched(sessions, caller)
    run.run(worker, job_id)
    assert tables.column(sessions, job_id, "status") == "failed"
    assert tables.column(sessions, job_id, "error_code") == "internal"
    assert worker.held() == []


def test_end_of_the_last_child_has_its_parents_queue_looked_at(
    sessions: Sessions, caller: Caller, worker: Worker
) -> None:
    """The parent goes on at once where a worker has room, not with the next sweep."""
    parent_id = tables.parent(sessions, caller, children=1, goes_on_in="beta")
    [child_id] = tables.children(sessions, parent_id)
    tables.worker(sessions, "w9", model="beta")
    tables.dispatch(sessions, child_id)
    refilling = threading.Thread(target=worker.refiller.run, args=(worker.gone,))
    refilling.start()
    run.run(worker, child_id)
    until(lambda: tables.column(sessions, parent_id, "status") == "dispatched")
    worker.gone.set()
    worker.refiller.wake()
    refilling.join()


def test_end_is_held_up_by_no_other_jobs_parent(
    sessions: Sessions, caller: Caller, worker: Worker, postgres_url: str
) -> None:
    """Also where both ends are written in one statement: who waits for a locked parent is only its own child's run."""
    parent_id = tables.parent(sessions, caller, children=1, goes_on_in="beta")
    [child_id], chat_id = tables.children(sessions, parent_id), dispatched(sessions, caller)
    tables.dispatch(sessions, child_id)
    engine = db_session.open_engine(postgres_url, pool_size=4, statement_timeout_s=600, pool_timeout_s=60)
    worker.sessions = db_session.open_sessions(engine)
    worker.finish_untold = together = Together(worker._finish_untold, patience_s=600)
    together._asking = 1  # as if another statement were under way
    child, chat = (threading.Thread(target=run.run, args=(worker, id)) for id in (child_id, chat_id))
    with sessions.begin() as session:
        session.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        session.execute(text("SELECT FROM jobs WHERE id = :id FOR UPDATE"), {"id": parent_id})
        for thread in (child, chat):
            thread.start()
        until(lambda: len(together._waiting) == 2)
        with together._changed:
            together._asking = 0
            together._changed.notify_all()
        until(lambda: not chat.is_alive())
        assert child.is_alive()
    child.join()
    assert tables.column(sessions, parent_id, "status") == "queued"
    engine.dispose()


def test_end_of_the_last_child_whose_commit_had_no_answer_moves_the_parent_on(
    sessions: Sessions, caller: Caller, worker: Worker
) -> None:
    """It is found when it is asked for again, and is followed by what follows an end."""
    parent_id = tables.parent(sessions, caller, children=1, goes_on_in="beta")
    [child_id] = tables.children(sessions, parent_id)
    tables.dispatch(sessions, child_id)
    claim, outcome = tables.claim(sessions, child_id), Outcome(Status.SUCCEEDED, Spent(1), {"text": ""})
    assert claim is not None
    with sessions() as session:
        tables.finish(session, child_id, 1, claim.checkpoint, outcome, told=False)
    assert tables.column(sessions, parent_id, "status") == "waiting"
    assert run.finish(worker, Attempt(claim), outcome) is not None
    assert tables.column(sessions, parent_id, "status") == "queued"


def test_error_whose_words_postgresql_cannot_hold_is_told_without_them(
    sessions: Sessions, caller: Caller, worker: Worker
) -> None:
    """A chat template may quote what guards special tokens, a NUL: psycopg refuses it before PostgreSQL sees it."""

    class Quoting(Echo):
        def prompt(self, text: str) -> Prompt:
            raise errors.EngineRefused("the model's chat template: hi \0there")

    worker.engine = Quoting("alpha", slots=1, context=64)
    job_id = dispatched(sessions, caller)
    run.run(worker, job_id)
    with sessions() as session:
        shown = jobs.get(session, caller, job_id)
    assert shown.error == {"code": "engine_refused", "message": "the model's chat template: hi there"}


def test_end_that_cannot_even_be_sent_becomes_one_that_can(
    sessions: Sessions, caller: Caller, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no sign that PostgreSQL is away, however long it is waited for."""
    worker.patience = Patience(pause_s=0)
    outcome = Outcome(Status.FAILED, Spent(4, 4), error=("engine_refused", "with a \0"))
    monkeypatch.setitem(stages.STAGES, "generate", lambda *_: outcome)
    job_id = dispatched(sessions, caller)
    run.run(worker, job_id)
    assert tables.column(sessions, job_id, "error_code") == "internal"
    assert tables.usage_rows(sessions, job_id) == [(4, 4)]


def test_stage_that_this_version_does_not_know_fails_the_job(
    sessions: Sessions, caller: Caller, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rather than be claimed again and again: no worker dies of it."""
    monkeypatch.delitem(stages.STAGES, "generate")
    job_id = dispatched(sessions, caller)
    run_to_its_end(worker, job_id)
    assert tables.column(sessions, job_id, "error_code") == "internal"


def test_next_stage_that_postgresql_refuses_fails_the_job(
    sessions: Sessions, caller: Caller, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be refused for ever: the job fails rather than be tried again and again."""
    worker.patience = Patience(pause_s=0)
    onward = Onward("generate", "alpha", stage_input={"passages": float("nan")})
    monkeypatch.setitem(stages.STAGES, "generate", lambda *_: onward)
    job_id = dispatched(sessions, caller)
    run_to_its_end(worker, job_id)
    assert tables.column(sessions, job_id, "status") == "failed"
