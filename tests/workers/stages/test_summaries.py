"""Summaries, job by job: a document in steps, all of them together; on real PostgreSQL and Redis with echo engines.

The echo engine says what it is asked again, so that a "summary" is the beginning of its prompt.
"""

import uuid
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
import redis
from sqlalchemy import text

from db.session import Sessions
from tasks import errors, ids
from tasks.documents import library
from tasks.documents.ingest import NewDocument
from tasks.doors import retrying
from tasks.jobs import endings, jobs
from tasks.jobs.view import JobView
from tasks.keys import Caller
from tasks.kinds.summary import Summary
from tasks.models import catalog
from tasks.models.engine import Handle, Prompt, Request
from tasks.summaries import results
from tasks.summaries.manner import Manner
from tasks.summaries.results import Result
from tests import tables
from tests.workers import office
from tests.workers.conftest import MakeWorker
from tests.workers.staged import filed, look, written
from workers import run
from workers.engines.echo import Echo

CONTEXT = 400  # words of the echo engine
LONG = "\n\n".join(
    f"Chapter {n} tells of the {n}th lamp. " + f"It is in room {n} of the house. " * 12 for n in range(12)
)
SHORT = "The red lamp is in the kitchen. " + "Oscar likes honey and keeps it in the cellar of the old house. " * 8


class Lettered(Echo):
    """To which each letter is a token, as most words are several to a small vocabulary."""

    def prompt(self, text: str) -> Prompt:
        return Prompt(text, tuple(range(len(text))))

    def tokenize(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        return [tuple(map(ord, text)) for text in texts]


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
    assert {each["by"] for each in result.said["sentences"]} <= {"model", "text"}


def test_notes_of_many_tokens_are_shortened_until_two_have_room(house: House, make_worker: MakeWorker) -> None:
    """They are made by words, and a context is counted in tokens."""
    house.writer = make_worker("alpha", Lettered("alpha", slots=2, context=2500, instructed=False))
    words = [f"{'very-' * 8}old-lamp-{n}" for n in range(300)]
    chapters = ["The " + " ".join(words[n : n + 25]) + " is in the house." for n in range(0, 300, 25)]
    summary_id = house.ask(written("\n\n".join(chapters)))
    house.run()
    [result] = house.results(summary_id)
    assert result.said is not None, result.error


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


def test_all_documents_are_summarised_together_from_their_summaries(house: House) -> None:
    """Each sentence of that names the documents it comes from; a document without a summary is left out."""
    summary_id = house.ask(*(written(LONG) for _ in range(2)), filed(b"%PDF-1.7", "pdf"), combine=True)
    house.run()
    ended = house.look(summary_id)
    assert ended.status == "succeeded", ended.error
    assert ended.result is not None
    assert (ended.result["succeeded"], ended.result["failed"]) == (2, 1)
    readable = {ids.show(result.document_id, ids.DOCUMENT) for result in house.results(summary_id) if result.said}
    named = {document for each in ended.result["sentences"] for document in each["documents"]}
    assert ended.result["summary"]
    assert named <= readable
    own = {each["text"] for result in house.results(summary_id) if result.said for each in result.said["sentences"]}
    assert all(each["text"] in own for each in ended.result["sentences"] if each["by"] == "text")


def test_without_any_summary_the_job_fails_as_its_first_document(house: House) -> None:
    summary_id = house.ask(filed(b"%PDF-1.7", "pdf"), combine=True)
    house.run()
    ended = house.look(summary_id)
    assert ended.error is not None
    assert (ended.status, ended.error["code"]) == ("failed", "unreadable_document")


def test_first_documents_are_done_before_the_last_are_begun(house: House) -> None:
    """Of work that waits, a document's parts come before the next document."""
    summary_id = house.ask(*(written(f"Number {n}. {LONG}") for n in range(3)))
    while not house.results(summary_id):
        assert house.step()
    with house.sessions() as session:
        begun = "SELECT count(*) FROM jobs WHERE stage = 'summarize' AND started_at IS NOT NULL"
        assert session.scalar(text(begun)) == 1
    house.run()
    assert [result.number for result in house.results(summary_id)] == [1, 2, 3]


def test_finished_steps_are_not_repeated_whatever_dies(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker
) -> None:
    """Each job's first worker dies with it; no prompt is put to the engine more than once."""
    house = House(sessions, caller, make_worker)
    counting = Counting("alpha", slots=2, context=CONTEXT)
    house.writer = make_worker("alpha", counting)
    summary_id = house.ask(written(LONG), written(SHORT), combine=True)
    died = set[tuple[uuid.UUID, str]]()
    while waiting := house.waiting()[:1]:
        [(job_id, queue)] = waiting
        stage = str(tables.column(sessions, job_id, "stage"))
        if (job_id, stage) not in died:
            died.add((job_id, stage))
            tables.dispatch(sessions, job_id)
            assert tables.claim(sessions, job_id, queue=queue, worker_id="dead")
            with sessions.begin() as session:
                tables.lose(session, job_id, crashes=0)
        assert house.step()
    assert house.look(summary_id).status == "succeeded"
    assert len(died) > 8
    assert max(Counter(counting.asked).values()) == 1
    assert len(house.results(summary_id)) == 2


def test_cancel_ends_documents_and_their_parts_at_once(house: House, client: redis.Redis) -> None:
    """What runs and what waits, two generations down; nothing of it can be claimed any more."""
    summary_id = house.ask(written(LONG), written(f"Another. {LONG}"))
    while house.jobs("summarize_part") == 0:
        assert house.step()
    endings.cancel(house.sessions, client, house.caller, summary_id, ttl_s=60)
    with house.sessions() as session:
        left = session.scalar(text("SELECT count(*) FROM jobs WHERE finished_at IS NULL"))
    assert left == 0
    assert [result.status for result in house.results(summary_id)] == ["cancelled", "cancelled"]
    assert not house.step()


def test_jobs_hold_nothing_of_a_documents_text(house: House, client: redis.Redis) -> None:
    """Before its parts are read, after they are summarised, and where the summary was cancelled between."""
    query = text("SELECT count(*) FROM jobs WHERE input::text LIKE '%lamp%'")
    for words in (LONG, f"Another. {LONG}"):
        summary_id, before = house.ask(written(words)), house.jobs("summarize_part")
        while house.jobs("summarize_part") == before:
            assert house.step()
        with house.sessions() as session:
            assert session.scalar(query) == 0
        if words == LONG:
            house.run()
            assert house.results(summary_id)[0].status == "succeeded"
        else:
            endings.cancel(house.sessions, client, house.caller, summary_id, ttl_s=60)
        with house.sessions() as session:
            assert session.scalar(query) == 0
    with house.sessions() as session:
        part = session.scalar(text("SELECT id FROM jobs WHERE stage = 'summarize_part' ORDER BY id LIMIT 1"))
        assert part is not None
    with house.sessions.begin() as session, pytest.raises(errors.Conflict, match="wasn't kept"):
        retrying.plan(session, tables.MODELS, house.caller, part)


def test_document_deleted_while_its_parts_wait_fails(house: House) -> None:
    """They hold only where their texts stood."""
    summary_id = house.ask(written(LONG))
    while house.jobs("summarize_part") == 0:
        assert house.step()
    with house.sessions.begin() as session:
        [document_id] = session.scalars(text("SELECT id FROM documents")).all()
        library.delete(session, house.caller, document_id)
    house.run()
    [result] = house.results(summary_id)
    assert (result.status, result.error and result.error[0]) == ("failed", "document_not_found")


def test_sentences_of_a_document_without_chunks_name_none(house: House) -> None:
    """Nobody could look them up; where they come from is said by their places."""
    summary_id = house.ask(written("The red lamp is in the kitchen."))
    house.run()
    [result] = house.results(summary_id)
    assert result.said is not None
    assert [(each["chunks"], each["begins"]) for each in result.said["sentences"]] == [([], 0)]


def test_summary_of_documents_that_were_all_cancelled_has_failed(house: House, client: redis.Redis) -> None:
    """One by one, while the whole goes on."""
    summary_id = house.ask(written(SHORT))
    assert house.step()
    with house.sessions() as session:
        child = session.scalar(text("SELECT id FROM jobs WHERE parent_id = :id"), {"id": summary_id})
    assert child is not None
    _, closings = endings.cancel(house.sessions, client, house.caller, child, ttl_s=60)
    endings.follow_up(house.sessions, client, closings, ttl_s=60)
    house.run()
    ended = house.look(summary_id)
    assert (ended.status, ended.error and ended.error["code"]) == ("failed", "nothing_summarised")


def test_retry_repeats_what_failed_and_pays_for_nothing_else(house: House) -> None:
    """The new summary has all documents; those that were done cost nothing."""
    summary_id = house.ask(written(LONG), written(SHORT))
    while not house.results(summary_id):
        assert house.step()
    endings.cancel(house.sessions, house.writer.client, house.caller, summary_id, ttl_s=60)
    with house.sessions.begin() as session:
        again = jobs.insert(session, house.caller, retrying.plan(session, tables.MODELS, house.caller, summary_id))[0]
    house.run()
    done, missing = house.results(again.id)
    assert (done.status, done.spent) == ("succeeded", (0, 0))
    assert (missing.status, missing.spent[1] > 0) == ("succeeded", True)


def test_document_that_is_deleted_meanwhile_fails_alone(house: House) -> None:
    summary_id = house.ask(written(SHORT), written(SHORT + "More."))
    assert house.step()
    with house.sessions() as session:
        [first, _] = [
            row.document_id for row in session.execute(text("SELECT document_id FROM document_texts ORDER BY 1"))
        ]
    with house.sessions.begin() as session:
        library.delete(session, house.caller, first)
    house.run()
    gone, there = house.results(summary_id)
    assert gone.error is not None
    assert (gone.error[0], there.status) == ("document_not_found", "succeeded")


def test_another_tenant_has_no_part_in_the_steps(house: House, sessions: Sessions, make_worker: MakeWorker) -> None:
    """Its own summary of the same text costs what it cost the first."""
    first = house.ask(written(LONG))
    house.run()
    theirs = House(sessions, tables.tenant(sessions, "theirs"), make_worker)
    second = theirs.ask(written(LONG))
    theirs.run()
    assert theirs.results(second)[0].spent == house.results(first)[0].spent
    assert theirs.results(second)[0].spent[1] > 0


class Counting(Echo):
    """An engine that notes what it is asked."""

    def __init__(self, name: str, slots: int, context: int) -> None:
        super().__init__(name, slots, context)
        self.asked: list[str] = []

    def generate(self, request: Request) -> Handle:
        self.asked.append(request.prompt.text)
        return super().generate(request)


def test_archive_is_summarised_by_the_documents_in_it(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker
) -> None:
    """They are the summary's, in the archive's place; what can't be read among them fails alone, as an archive does
    of which nothing can be."""
    house = House(sessions, caller, make_worker)
    members = {"a.md": SHORT.encode(), "b.png": b"x", "c.txt": SHORT.replace("lamp", "boat").encode()}
    archive = NewDocument(None, office.zipped(members), "zip", None, "box.zip", {})
    broken = NewDocument(None, b"no zip", "zip", None, "broken.zip", {})
    job_id = house.ask(written(SHORT, "First"), archive, broken, written(SHORT, "Last"), combine=True)
    house.run()
    assert house.look(job_id).status == "succeeded"
    told = {result.filename or result.title: result.status for result in house.results(job_id)}
    assert told == {
        "First": "succeeded",
        "box.zip/a.md": "succeeded",
        "box.zip/b.png": "failed",
        "box.zip/c.txt": "succeeded",
        "broken.zip": "failed",
        "Last": "succeeded",
    }
    with sessions.begin() as session:
        found = results.look(session, caller, job_id)
    assert (found.documents, found.statuses) == (6, {"succeeded": 4, "failed": 2})
    with sessions() as session:
        places = session.scalars(text("SELECT place FROM jobs WHERE parent_id = :id ORDER BY 1"), {"id": job_id}).all()
    assert list(places)[:6] == list(range(6))
