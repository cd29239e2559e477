"""Batch generations stand still while an interactive job waits for its first token."""

import threading
import uuid
from collections.abc import Sequence

import pytest

from db.session import Sessions
from tasks.keys import Caller
from tasks.models.engine import Step
from tasks.streams import stream, transcript
from tests import tables
from tests.support import entries
from tests.support.waiting import until
from tests.workers.conftest import Bench, MakeWorker
from tests.workers.dispatched import dispatched
from tests.workers.runs import STORY
from workers import app, attempt, run
from workers import courtesy as courteous
from workers.attempt import Attempt
from workers.courtesy import Courtesy
from workers.engines.llamacpp import LlamaCpp
from workers.worker import Worker

OTHER = uuid.UUID(int=9)


class Held:
    """A generation that only knows whether it stands still."""

    def __init__(self) -> None:
        self._still = False

    def stands_still(self) -> bool:
        return self._still

    def read(self, timeout_s: float, *, gather: bool = False) -> Sequence[Step]:
        return []

    def pause(self) -> None:
        self._still = True

    def resume(self) -> None:
        self._still = False

    def cancel(self) -> None:
        pass

    def close(self) -> None:
        pass


def holding(bench: Bench, lane: str = "batch") -> tuple[Attempt, Held]:
    made, held = bench.attempt(1, lane=lane), Held()
    made.hold(held)
    return made, held


def test_batch_generation_stands_still_until_the_last_one_that_waits_has_begun(bench: Bench) -> None:
    courtesy, (line, held) = Courtesy(), holding(bench)
    with courtesy.generating(line):
        with courtesy.awaiting(OTHER), courtesy.awaiting(uuid.UUID(int=8)):
            courtesy.has_begun_to_answer(OTHER)
            assert held.stands_still()
        assert not held.stands_still()
        with courtesy.awaiting(OTHER):
            assert held.stands_still()
            courtesy.has_begun_to_answer(OTHER)
            assert not held.stands_still()


def test_one_that_begins_meanwhile_stands_still_at_once(bench: Bench) -> None:
    """Whether it begins before it has anything under way, or after."""
    courtesy, line, held = Courtesy(), bench.attempt(1, lane="batch"), Held()
    with courtesy.awaiting(OTHER), courtesy.generating(line):
        line.hold(held)
        assert held.stands_still()


def test_nobody_stands_still_but_batch_generations(bench: Bench) -> None:
    """Nor a job of the batch lane that was let ahead, for itself."""
    courtesy, (chat, held), (ahead, its) = Courtesy(), holding(bench, "interactive"), holding(bench)
    with courtesy.generating(chat), courtesy.generating(ahead):
        with courtesy.awaiting(OTHER):
            assert (held.stands_still(), its.stands_still()) == (False, True)
        with courtesy.awaiting(ahead.claim.job_id):
            assert not its.stands_still()


def test_second_message_of_a_job_ends_nobodys_wait(bench: Bench) -> None:
    """It isn't to be had, and the first one waits on."""
    courtesy, (line, held) = Courtesy(), holding(bench)
    with courtesy.generating(line), courtesy.awaiting(OTHER):
        with courtesy.awaiting(OTHER):
            pass
        assert held.stands_still()


def test_it_stands_still_for_so_long_and_no_longer(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads it finds that its time is over; and it never stands still again."""
    courtesy, (line, held) = Courtesy(), holding(bench)
    with courtesy.generating(line), courtesy.awaiting(OTHER):
        assert line.paused()
        monkeypatch.setattr(attempt, "_MOST_PAUSED_S", 0.0)
        assert not line.paused()
        assert not held.stands_still()
        with courtesy.awaiting(uuid.UUID(int=8)):
            assert not held.stands_still()


def test_batch_generation_stands_still_for_one_that_was_announced(bench: Bench) -> None:
    """Until that has begun to answer: its message takes the announcement's place."""
    courtesy, (line, held) = Courtesy(), holding(bench)
    with courtesy.generating(line):
        courtesy.expect()
        assert held.stands_still()
        with courtesy.awaiting(OTHER):
            courtesy.has_begun_to_answer(OTHER)
            assert not held.stands_still()


@pytest.mark.parametrize(("coming_s", "still"), [(3600.0, True), (0.0, False)])
def test_it_stands_still_for_an_announced_one_only_so_long(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, coming_s: float, still: bool
) -> None:
    """It may never come. Then it goes on unless another waits."""
    monkeypatch.setattr(courteous, "_COMING_S", coming_s)
    courtesy, (line, held) = Courtesy(), holding(bench)
    with courtesy.generating(line):
        courtesy.expect()
        courtesy.give_up()
        assert held.stands_still() is still
        with courtesy.awaiting(OTHER):
            courtesy.expect()
            courtesy.give_up()
            assert held.stands_still()


def test_end_of_a_line_is_put_off_while_another_waits(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a moment; and the end of whoever isn't of the batch lane not at all."""
    monkeypatch.setattr(courteous, "_ASIDE_S", 3600.0)
    courtesy, over = Courtesy(), threading.Event()

    def generate(attempt: Attempt) -> None:
        with courtesy.generating(attempt):
            pass
        over.set()

    with courtesy.awaiting(OTHER):
        generate(bench.attempt(1))
        over.clear()
        thread = threading.Thread(target=generate, args=(bench.attempt(1, lane="batch"),))
        thread.start()
        assert not over.wait(0.1)
    thread.join()
    assert over.is_set()


def test_line_of_a_real_model_says_the_same_though_it_stood_still(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker, engine: LlamaCpp
) -> None:
    """Nothing of it comes while another, as long, is said; and its usage is as ever."""
    worker = make_worker("alpha", engine)
    asked = {"input": {"prompt": STORY}, "params": {"temperature": 0, "max_tokens": 100}}
    line, chat = dispatched(sessions, caller, lane="batch", **asked), dispatched(sessions, caller, **asked)
    thread = threading.Thread(target=app.receive, args=(worker, line.hex), kwargs={"in_a_hurry": False})
    with worker.courtesy.awaiting(OTHER):
        thread.start()
        until(lambda: bool(worker.held()) and worker.held()[0].paused())
        run.run(worker, chat)
        assert entries.told(stream.read(worker.client, line)) in ([], ["started"])
    thread.join()
    names = ("status", "prompt_tokens", "completion_tokens")
    said, other = ([tables.column(sessions, job_id, name) for name in names] for job_id in (line, chat))
    assert said == other
    assert said[0] == "succeeded"
    assert words(worker, line) == words(worker, chat) != ""


def words(worker: Worker, job_id: uuid.UUID) -> str:
    return transcript.fold([event.entry for event in stream.read(worker.client, job_id)]).text
