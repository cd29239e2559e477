"""Questions in a conversation, and those that nothing answers, stage by stage, on real PostgreSQL and Redis."""

import threading
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from db.session import Sessions
from tasks.documents import questions
from tasks.jobs import attempts, endings, stages
from tasks.keys import Caller
from tasks.models.engine import Prompt
from tasks.streams import stream
from tasks.streams.events import Delta, Passages, Question
from tests import tables
from tests.support import entries
from tests.support.waiting import until
from tests.workers.conftest import MakeWorker
from tests.workers.staged import FACTS, ingesting, look, submitted, written
from workers import run
from workers.attempt import Stop
from workers.engines.echo import Echo
from workers.worker import Worker

HISTORY = [
    {"role": "user", "content": "Where is the red lamp?"},
    {"role": "assistant", "content": "It is in the kitchen."},
]


class Saying(Echo):
    """Says a sentence to whatever it is asked."""

    says = "How much does the red lamp cost?"

    def chat(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = ()) -> Prompt:
        return self.prompt(self.says)


def following(sessions: Sessions, caller: Caller, question: str, **given: Any) -> uuid.UUID:
    asked = {"question": question, "collection": "facts", "top_k": 2, **given}
    return submitted(sessions, caller, type="rag", input=asked, params={"temperature": 0, "max_tokens": 3})


def writer(make_worker: MakeWorker, **options: Any) -> Worker:
    return make_worker("alpha", Saying("alpha", 2, 64, **options))


@pytest.fixture
def finder(sessions: Sessions, caller: Caller, make_worker: MakeWorker) -> Worker:
    """A worker of the collection's model, which has the facts."""
    worker = make_worker("embedder")
    run.run(worker, ingesting(sessions, caller, written(FACTS)))
    return worker


def test_follow_up_is_made_a_question_of_its_own_first(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker, finder: Worker
) -> None:
    """Three stages, one job: what was made is looked for, told and answered; all that was spent is charged."""
    job_id = following(sessions, caller, "How much does it cost?", messages=HISTORY)
    alpha = writer(make_worker)
    assert tables.column(sessions, job_id, "stage") == stages.REWRITE
    run.run(alpha, job_id)
    assert tables.column(sessions, job_id, "stage") == stages.RETRIEVE
    assert tables.column(sessions, job_id, "queue") == "embedder"
    assert stream.read(alpha.client, job_id) == []  # nothing of it is taken for the answer
    tables.dispatch(sessions, job_id)
    run.run(finder, job_id)
    tables.dispatch(sessions, job_id)
    run.run(alpha, job_id)
    record = look(sessions, caller, job_id)
    assert record.result is not None
    assert record.result["question"] == Saying.says
    assert record.result["text"] == "How much does "
    told = [event.entry.event for event in stream.read(alpha.client, job_id)]
    assert told[1:3] == [Question(Saying.says), Passages(record.result["passages"])]
    assert tables.usage_rows(sessions, job_id) == [(7 + 7, 7 + 3)]
    assert record.usage is not None
    assert record.usage["embedding_tokens"] == 7


def test_question_of_which_nothing_came_is_looked_for_with_what_was_said(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker, finder: Worker
) -> None:
    job_id = following(sessions, caller, "And the boat?", messages=HISTORY)
    run.run(writer(make_worker), job_id)
    tables.dispatch(sessions, job_id)
    run.run(finder, job_id)
    tables.dispatch(sessions, job_id)
    run.run(make_worker("alpha", Saying("alpha", 2, 64)), job_id)
    record = look(sessions, caller, job_id)
    assert record.result is not None
    assert record.result["question"] == "Where is the red lamp? It is in the kitchen. And the boat?"


def test_conversation_that_leaves_no_room_for_a_question_is_not_rewritten(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker, finder: Worker
) -> None:
    """What was said last is looked for with it, as long as the collection's model can read that; else it alone."""
    long = "word " * 70
    job_id = following(sessions, caller, "And the boat?", messages=[{"role": "user", "content": long}])
    run.run(make_worker("alpha"), job_id)
    tables.dispatch(sessions, job_id)
    run.run(finder, job_id)
    handed = tables.column(sessions, job_id, "stage_input")
    assert (handed["question"], len(handed["passages"])) == ("And the boat?", 1)


@pytest.mark.parametrize("stage", [stages.REWRITE, stages.RETRIEVE, stages.GENERATE])
def test_cancel_ends_a_question_in_every_stage(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker, finder: Worker, stage: str
) -> None:
    """While it waits for the stage, and where a model speaks, in the middle of it."""
    job_id = following(sessions, caller, "How much does it cost?", messages=HISTORY)
    alpha = writer(make_worker, token_s=0.5)
    for name, worker in ((stages.REWRITE, writer(make_worker)), (stages.RETRIEVE, finder)):
        if tables.column(sessions, job_id, "stage") != stage:
            assert tables.column(sessions, job_id, "stage") == name
            run.run(worker, job_id)
            tables.dispatch(sessions, job_id)
    if stage == stages.RETRIEVE:
        endings.cancel(sessions, alpha.client, caller, job_id, 60)
        run.run(finder, job_id)
    else:
        thread = threading.Thread(target=run.run, args=(alpha, job_id))
        thread.start()
        until(lambda: alpha.held() and alpha.held()[0].progress[0] > 0)
        endings.cancel(sessions, alpha.client, caller, job_id, 60)
        alpha.stop(job_id, Stop.ENDED)
        thread.join(60)
        assert not thread.is_alive()
    assert look(sessions, caller, job_id).status == "cancelled"


def test_worker_that_goes_hands_a_follow_up_back_and_another_makes_the_same_of_it(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker, finder: Worker
) -> None:
    job_id = following(sessions, caller, "How much does it cost?", messages=HISTORY)
    slow = writer(make_worker, token_s=0.5)
    thread = threading.Thread(target=run.run, args=(slow, job_id))
    thread.start()
    until(lambda: slow.held() and slow.held()[0].progress[0] > 0)
    slow.release_all()
    thread.join(60)
    assert (tables.column(sessions, job_id, "stage"), tables.column(sessions, job_id, "crashes")) == ("rewrite", 0)
    tables.dispatch(sessions, job_id)
    run.run(writer(make_worker), job_id)
    assert tables.column(sessions, job_id, "stage_input") == {"question": Saying.says}


@pytest.mark.parametrize("given", [{"threshold": 1.0}, {"filter": {"from": "elsewhere"}}], ids=["threshold", "filter"])
def test_question_that_no_passage_passes_for_is_answered_without_a_model(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker, finder: Worker, given: dict[str, Any]
) -> None:
    """In a sentence that says so, for what the search cost; readers are told as of any answer."""
    job_id = following(sessions, caller, "Wo ist die grüne Kanne?", **given)
    run.run(finder, job_id)
    record = look(sessions, caller, job_id)
    sentence = questions.nothing_found("Wo ist die grüne Kanne?")
    assert record.status == "succeeded"
    assert record.result == {
        "text": sentence,
        "finish_reason": "stop",
        "answered": False,
        "question": "Wo ist die grüne Kanne?",
        "passages": [],
        "citations": [],
    }
    assert record.usage == {"prompt_tokens": 0, "completion_tokens": 0, "embedding_tokens": 5}
    told = stream.read(finder.client, job_id)
    assert entries.told(told) == ["started", "question", "passages", "delta", "succeeded"]
    assert told[-1].entry.event == record.end()


def test_answer_that_nothing_was_found_is_told_once(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker, finder: Worker
) -> None:
    """What was read stays said, though the next attempt would find something."""
    job_id = following(sessions, caller, "Where is the red lamp?")
    claim = tables.claim(sessions, job_id, queue="embedder")
    assert claim is not None
    so_far = claim.checkpoint
    for event in (entries.started(prompt_tokens=0), Passages([]), Delta("I don't know.")):
        so_far.add(event)
    with sessions.begin() as session:
        assert attempts.release(session, job_id, claim.attempt, so_far)
    tables.dispatch(sessions, job_id)
    run.run(finder, job_id)
    record = look(sessions, caller, job_id)
    assert record.result is not None
    assert (record.status, record.result["text"], record.result["passages"]) == ("succeeded", "I don't know.", [])
