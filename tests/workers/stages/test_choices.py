"""Requests for several answers: children of one job, on real PostgreSQL and Redis with echo engines."""

import threading
import uuid
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text

from db import families
from db.session import Sessions
from tasks import errors, ids
from tasks.jobs import endings, family
from tasks.jobs.family import Child, Grown
from tasks.keys import Caller
from tasks.limits.spent import NOTHING
from tasks.models import catalog
from tasks.models.engine import Handle, Request
from tasks.streams import stream
from tests import tables
from tests.support import entries
from tests.workers.conftest import MakeWorker
from tests.workers.staged import look, submitted
from workers import run
from workers.attempt import Attempt
from workers.engines.echo import Echo
from workers.stages import gather, spread
from workers.worker import Worker

PROMPT = "one two three four"


def asked(sessions: Sessions, caller: Caller, **params: Any) -> uuid.UUID:
    return submitted(sessions, caller, input={"prompt": PROMPT}, params={"temperature": 0, **params})


def children(sessions: Sessions, job_id: uuid.UUID) -> list[uuid.UUID]:
    with sessions() as session:
        return [job.id for job, _ in families.outcomes(session, job_id)]


def grow(sessions: Sessions, worker: Worker, *job_ids: uuid.UUID) -> None:
    tables.dispatch(sessions, *job_ids)
    for job_id in job_ids:
        run.run(worker, job_id)


def gathered(sessions: Sessions, control: Worker, job_id: uuid.UUID) -> None:
    """The parent's last stage, which its last child's end has queued."""
    assert tables.column(sessions, job_id, "status") == "queued"
    grow(sessions, control, job_id)


def test_choices_of_a_batch_line_have_its_place_in_the_order(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker
) -> None:
    """Derived as others are, they would stand before all lines of their batch."""
    job_id, batch_id = (asked(sessions, caller, choices=3) for _ in range(2))
    with sessions.begin() as session:
        about = {"batch": batch_id, "line": job_id}
        session.execute(text("UPDATE jobs SET parent_id = :batch, place = 0 WHERE id = :line"), about)
    run.run(make_worker(catalog.CONTROL), job_id)
    assert children(sessions, job_id) == [ids.of_choice(job_id, place) for place in range(3)]


def test_choices_are_children_and_the_parent_costs_nothing_itself(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker
) -> None:
    """Each has its own stream and its own row in the ledger; what clients are told counts the prompt once."""
    control, worker = make_worker(catalog.CONTROL), make_worker()
    job_id = asked(sessions, caller, choices=3)
    run.run(control, job_id)
    assert tables.column(sessions, job_id, "status") == "waiting"
    made = children(sessions, job_id)
    assert made == [ids.derived(job_id, place) for place in range(3)]
    grow(sessions, worker, *made)
    gathered(sessions, control, job_id)
    record = look(sessions, caller, job_id)
    assert record.result is not None
    assert [each["text"] for each in record.result["choices"]] == [PROMPT] * 3
    assert record.result["usage"] == {"prompt_tokens": 4, "completion_tokens": 12}
    assert tables.usage_rows(sessions, job_id) == [(0, 0)]
    assert [tables.usage_rows(sessions, child) for child in made] == [[(4, 4)]] * 3
    assert [entries.told(stream.read(worker.client, child))[-1] for child in made] == ["succeeded"] * 3


def test_choices_of_one_seed_are_drawn_apart_and_again_the_same(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker
) -> None:
    """The first is what one answer alone would have been."""
    control, worker = make_worker(catalog.CONTROL), make_worker()
    told = []
    for _ in range(2):
        job_id = asked(sessions, caller, choices=3, seed=5, temperature=1.0)
        run.run(control, job_id)
        grow(sessions, worker, *children(sessions, job_id))
        gathered(sessions, control, job_id)
        result = look(sessions, caller, job_id).result
        assert result is not None
        told.append([each["text"] for each in result["choices"]])
    alone = asked(sessions, caller, seed=5, temperature=1.0)
    run.run(worker, alone)
    assert told[0] == told[1]
    assert len(set(told[0])) > 1
    assert look(sessions, caller, alone).result == {"text": told[0][0], "finish_reason": "stop"}


class Refusing(Echo):
    """Refuses one generation."""

    refused = False

    def generate(self, request: Request) -> Handle:
        if not self.refused:
            self.refused = True
            raise errors.EngineRefused("not this one")
        return super().generate(request)


def test_child_that_fails_fails_its_parent_when_all_have_ended(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker
) -> None:
    """With its error; what the others cost stays charged."""
    control, worker = make_worker(catalog.CONTROL), make_worker(engine=Refusing("alpha", 2, 64))
    job_id = asked(sessions, caller, choices=2)
    run.run(control, job_id)
    first, second = children(sessions, job_id)
    grow(sessions, worker, first)
    assert tables.column(sessions, job_id, "status") == "waiting"
    grow(sessions, worker, second)
    gathered(sessions, control, job_id)
    record = look(sessions, caller, job_id)
    assert record.status == "failed"
    assert record.error == {"code": "engine_refused", "message": "not this one"}
    assert tables.usage_rows(sessions, job_id) == [(0, 0)]
    assert tables.usage_rows(sessions, second) == [(4, 4)]


def test_cancelled_parent_takes_its_children_with_it(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker
) -> None:
    control = make_worker(catalog.CONTROL)
    job_id = asked(sessions, caller, choices=2)
    run.run(control, job_id)
    endings.cancel(sessions, control.client, caller, job_id, 60)
    assert [look(sessions, caller, child).status for child in children(sessions, job_id)] == ["cancelled"] * 2


@pytest.mark.parametrize("adopted", [0, 1, 3])
def test_control_worker_that_dies_while_it_adopts_is_followed_by_one_that_ends_it(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker, monkeypatch: pytest.MonkeyPatch, adopted: int
) -> None:
    """Nobody is adopted twice, whether it died before, between lots, or before it told of them."""
    monkeypatch.setattr(spread, "_LOT", 1)
    control, worker = make_worker(catalog.CONTROL), make_worker()
    job_id = asked(sessions, caller, choices=3)
    claim = control.claim(job_id)
    assert claim is not None
    plans = [Child(plan, place) for place, plan in enumerate(_plans(sessions, caller, job_id, 3))]
    for plan in plans[:adopted]:
        with sessions.begin() as session:
            family.adopt(session, job_id, claim.attempt, [plan])
    with sessions.begin() as session:
        tables.lose(session, job_id, crashes=1)
    before = children(sessions, job_id)
    grow(sessions, control, job_id)
    made = children(sessions, job_id)
    assert (len(before), len(made)) == (adopted, 3)
    assert made[:adopted] == before
    grow(sessions, worker, *made)
    gathered(sessions, control, job_id)
    assert look(sessions, caller, job_id).status == "succeeded"
    assert [tables.usage_rows(sessions, child) for child in made] == [[(4, 4)]] * 3


def test_control_worker_that_dies_after_it_told_of_them_is_followed_by_one_that_goes_on(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker
) -> None:
    """The stream has one start; the children are the same."""
    control = make_worker(catalog.CONTROL)
    job_id = asked(sessions, caller, choices=2)
    claim = control.claim(job_id)
    assert claim is not None
    attempt = Attempt(claim)
    spread.spread(control.slot(), attempt, run.open_stream(control, attempt))
    before = children(sessions, job_id)
    with sessions.begin() as session:
        tables.lose(session, job_id, crashes=1)
    grow(sessions, control, job_id)
    assert children(sessions, job_id) == before
    assert entries.told(stream.read(control.client, job_id)) == ["started", "resumed"]
    assert tables.column(sessions, job_id, "status") == "waiting"


def _plans(sessions: Sessions, caller: Caller, job_id: uuid.UUID, number: int) -> list[Any]:
    """What the attempt would have written down."""
    asked = tables.submission(input={"prompt": PROMPT})
    with sessions.begin() as session:
        plan = tables.plan(session, caller, asked)
    return [replace(plan, job_id=ids.derived(job_id, place)) for place in range(number)]


def test_of_several_the_likeliest_are_kept(sessions: Sessions, caller: Caller, make_worker: MakeWorker) -> None:
    """By the mean over their tokens, not their sum: a long answer isn't worse for its length."""
    control, worker = make_worker(catalog.CONTROL), make_worker(engine=Doubting("alpha", 2, 64))
    job_id = asked(sessions, caller, choices=3, keep=2)
    run.run(control, job_id)
    made = children(sessions, job_id)
    grow(sessions, worker, *made)
    gathered(sessions, control, job_id)
    result = look(sessions, caller, job_id).result
    assert result is not None
    assert [each["logprobs"][0][1] for each in result["choices"]] == [-0.5, -1.0]
    assert result["usage"] == {"prompt_tokens": 4, "completion_tokens": 12}


def test_answer_without_a_word_is_not_the_likeliest() -> None:
    """Nothing says how likely it was, and nothing would be likelier than any word."""
    said, nothing = {"text": "one", "logprobs": [["one", -3.0]]}, {"text": ""}
    answers = [Grown(place, result, None, NOTHING) for place, result in enumerate((nothing, said))]
    assert gather._kept(answers, 1) == [said]


class Doubting(Echo):
    """Finds each answer's tokens as likely as this list says."""

    def generate(self, request: Request) -> Handle:
        self.answers = getattr(self, "answers", 0) + 1
        return _Doubting(super().generate(request), [-1.0, -2.0, -0.5][(self.answers - 1) % 3])


class _Doubting:
    def __init__(self, inner: Handle, logprob: float) -> None:
        self._inner, self._logprob = inner, logprob
        self.cancel, self.close = inner.cancel, inner.close

    def read(self, timeout_s: float, *, gather: bool = False) -> list[Any]:
        return [
            replace(step, logprobs=tuple(replace(each, logprob=self._logprob) for each in step.logprobs))
            if hasattr(step, "logprobs")
            else step
            for step in self._inner.read(timeout_s, gather=gather)
        ]


def test_last_two_children_that_end_at_once_move_their_parent_on_once(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker
) -> None:
    control, worker = make_worker(catalog.CONTROL), make_worker()
    job_id = asked(sessions, caller, choices=2)
    run.run(control, job_id)
    made = children(sessions, job_id)
    tables.dispatch(sessions, *made)
    threads = [threading.Thread(target=run.run, args=(worker, child)) for child in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gathered(sessions, control, job_id)
    assert look(sessions, caller, job_id).status == "succeeded"


def test_several_prompts_have_their_choices_beside_each_other(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker
) -> None:
    control, worker = make_worker(catalog.CONTROL), make_worker()
    given = {"prompts": ["one two", "three four five"]}
    job_id = submitted(sessions, caller, input=given, params={"temperature": 0, "choices": 2})
    run.run(control, job_id)
    grow(sessions, worker, *children(sessions, job_id))
    gathered(sessions, control, job_id)
    result = look(sessions, caller, job_id).result
    assert result is not None
    assert [each["text"] for each in result["choices"]] == ["one two"] * 2 + ["three four five"] * 2
    assert result["usage"] == {"prompt_tokens": 5, "completion_tokens": 10}
