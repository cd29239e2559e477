"""Summaries, job by job: a document in steps, all of them together; on real PostgreSQL and Redis with echo engines.

The echo engine says what it is asked again, so that a "summary" is the beginning of its prompt.
"""

import uuid
from typing import Any

import pytest
from sqlalchemy import text

from db.session import Sessions
from tasks.documents.ingest import NewDocument
from tasks.jobs.view import JobView
from tasks.keys import Caller
from tasks.kinds.summary import Summary
from tasks.models import catalog
from tasks.summaries import results
from tasks.summaries.manner import Manner
from tasks.summaries.results import Result
from tests import tables
from tests.workers.conftest import MakeWorker
from tests.workers.staged import filed, look, written
from workers import run
from workers.engines.echo import Echo

CONTEXT = 400  # words of the echo engine
LONG = "\n\n".join(
    f"Chapter {n} tells of the {n}th lamp. " + f"It is in room {n} of the house. " * 12 for n in range(12)
)
SHORT = "The red lamp is in the kitchen. " + "Oscar likes honey and keeps it in the cellar of the old house. " * 8


class House:
    """A control worker and one of a model with room, and what is asked of them."""

    def __init__(self, sessions: Sessions, caller: Caller, make_worker: MakeWorker) -> None:
        self.sessions, self.caller = sessions, caller
        self.control = make_worker(catalog.CONTROL)
        self.writer = make_worker("alpha", Echo("alpha", slots=2, context=CONTEXT))

    def ask(self, *new: NewDocument, combine: bool = False, manner: Manner | None = None, **asked: Any) -> uuid.UUID:
        request = Summary(manner or Manner(), new=new, combine=combine, **asked)
        with self.sessions.begin() as session:
            asking = tables.accept(session, self.caller, tables.Submission("summary", "alpha", request, lane="batch"))
        return asking.id

    def waiting(self) -> list[tuple[uuid.UUID, str]]:
        query = "SELECT id, queue FROM jobs WHERE status IN ('queued', 'dispatched') ORDER BY priority DESC, id"
        with self.sessions() as session:
            return [(row[0], row[1]) for row in session.execute(text(query))]

    def step(self) -> bool:
        """Runs the job that is next; False when none waits."""
        for job_id, queue in self.waiting()[:1]:
            tables.dispatch(self.sessions, job_id)
            run.run(self.control if queue == catalog.CONTROL else self.writer, job_id)
            return True
        return False

    def run(self) -> None:
        while self.step():
            pass

    def look(self, job_id: uuid.UUID) -> JobView:
        return look(self.sessions, self.caller, job_id)

    def results(self, job_id: uuid.UUID, after: int = 0, limit: int = 100) -> list[Result]:
        with self.sessions.begin() as session:
            return results.page(session, self.caller, job_id, after=after, limit=limit)[0]

    def jobs(self, stage: str) -> int:
        with self.sessions() as session:
            return int(session.scalar(text("SELECT count(*) FROM jobs WHERE stage = :stage"), {"stage": stage}) or 0)


@pytest.fixture
def house(sessions: Sessions, caller: Caller, make_worker: MakeWorker) -> House:
    return House(sessions, caller, make_worker)


def test_each_document_has_its_summary_and_a_damaged_one_its_error(house: House) -> None:
    """In the order in which they came; the job says how many there are, and lists none but itself."""
    summary_id = house.ask(written(SHORT, "Lamps"), filed(b"%PDF-1.7 and no more", "pdf"), filed(SHORT.encode()))
    house.run()
    ended = house.look(summary_id)
    assert (ended.status, ended.result) == (
        "succeeded",
        {"documents": 3, "succeeded": 2, "failed": 1, "cancelled": 0},
    )
    first, damaged, last = house.results(summary_id)
    assert [first.number, damaged.number, last.number] == [1, 2, 3]
    assert (first.status, first.title, first.said is not None) == ("succeeded", "Lamps", True)
    assert damaged.error is not None
    assert (damaged.status, damaged.error[0], damaged.filename) == ("failed", "unreadable_document", "notes.pdf")
    assert (last.status, last.filename) == ("succeeded", "notes.text")


def test_document_longer_than_the_context_climbs_a_tree(house: House) -> None:
    """Of notes on its parts, in more than one level; its sentences name the parts they come from."""
    summary_id = house.ask(written(LONG))
    house.run()
    [result] = house.results(summary_id)
    assert result.said is not None, result.error
    assert result.said["steps"] > 4
    assert result.said["cached_steps"] == 0
    assert house.jobs("summarize_part") == result.said["steps"] - 1
    places = [(each["begins"], each["ends"]) for each in result.said["sentences"] if each["begins"] is not None]
    assert all(0 <= begins < ends <= len(LONG) for begins, ends in places)


def test_steps_that_were_taken_cost_nothing_again(house: House) -> None:
    """A second summary asks the model only of the document that is new, and of nothing that another tenant asked."""
    house.ask(written(LONG), written(SHORT))
    house.run()
    again = house.ask(written(LONG), written(SHORT), written("Another one. " + SHORT))
    house.run()
    told = {result.number: result for result in house.results(again)}
    assert [told[n].spent[1] > 0 for n in (1, 2, 3)] == [False, False, True]
    said = told[1].said
    assert said is not None
    assert said["cached_steps"] == said["steps"] > 4
