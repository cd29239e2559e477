"""The facts of a run, as it tells them."""

from collections.abc import Sequence
from typing import Any

from db.session import Sessions
from tasks import errors
from tasks.keys import Caller
from tasks.telemetry import EngineLost, Fact, FirstToken, JobClaimed, JobEnded
from tests import tables
from tests.workers.conftest import MakeWorker
from tests.workers.staged import embedding
from workers import run
from workers.engines.echo import Echo
from workers.worker import Worker


def test_run_tells_its_claim_its_first_token_and_its_end(
    sessions: Sessions, caller: Caller, worker: Worker, facts: list[Fact]
) -> None:
    """Also one whose engine was lost on the way: the first token comes but once."""
    assert isinstance(worker.engine, Echo)
    worker.engine.lose_at = {2}
    job_id = tables.submit(sessions, caller).id
    tables.dispatch(sessions, job_id)
    run.run(worker, job_id)
    claimed, first, lost, ended = facts
    assert isinstance(claimed, JobClaimed)
    assert (claimed.job_id, claimed.attempt, claimed.queue) == (job_id, 1, "alpha")
    assert claimed.waited_s is not None
    assert claimed.waited_s >= 0
    assert isinstance(first, FirstToken)
    assert (first.job_id, first.attempt, first.model, first.after_s >= 0) == (job_id, 1, "alpha", True)
    assert isinstance(lost, EngineLost)
    assert lost.model == "alpha"
    assert ended == JobEnded(job_id, "generate", "alpha", "succeeded", None, 4, 4, 0)


def test_later_attempt_has_waited_for_reasons_of_its_own(
    sessions: Sessions, caller: Caller, worker: Worker, facts: list[Fact]
) -> None:
    job_id = tables.submit(sessions, caller).id
    tables.dispatch(sessions, job_id)
    claim = tables.claim(sessions, job_id)
    assert claim is not None
    tables.dispatch(sessions, job_id)
    run.run(worker, job_id)
    claims = [fact for fact in facts if isinstance(fact, JobClaimed)]
    assert [(fact.attempt, fact.waited_s) for fact in claims] == [(2, None)]


def test_lost_host_of_an_embedding_model_is_told(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker, facts: list[Fact]
) -> None:
    deaths = [errors.EngineLost("it died")]

    class Dying(Echo):
        def embed(self, inputs: Sequence[Sequence[int]]) -> Any:
            if deaths:
                raise deaths.pop()
            return super().embed(inputs)

    run.run(make_worker("embedder", Dying("embedder", 2, 64)), embedding(sessions, caller, "one two"))
    assert EngineLost("embedder", "it died") in facts
    assert isinstance(facts[-1], JobEnded)
