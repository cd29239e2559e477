"""Documents that their model can't read, on real PostgreSQL and Redis."""

import uuid
from typing import Any

import pytest
from sqlalchemy import select, update

from db.documents import documents
from db.documents.collections import Collection
from db.documents.documents import Document
from db.scope import scope
from db.session import Sessions
from tasks import kinds
from tasks.jobs import jobs
from tasks.jobs.requests import Submission
from tasks.keys import Caller
from tasks.kinds.reembed import Reembedding
from tests import tables
from tests.workers.conftest import MakeWorker
from tests.workers.staged import ingesting, written
from workers import run
from workers.engines.echo import Echo
from workers.stages import reembed

HALF = "squiggle here squiggle there"
WHOLE = "squiggle " * 3


def blind(word: str | None, name: str = "embedder") -> Echo:
    """An engine whose vocabulary lacks a word; without one it doesn't tell."""
    engine = Echo(name, 2, 128)
    engine.unknown = engine.tokenize([word])[0][0] if word else None
    return engine


def told(sessions: Sessions, caller: Caller) -> tuple[float | None, list[tuple[float | None, list[str]]]]:
    """The collection's share, and each document's with what its warnings begin with."""
    with sessions.begin() as session, scope(session, caller.tenant_id):
        rows: Any = session.execute(select(Document.unread, Document.warnings).order_by(Document.id)).all()
        share = session.scalars(select(Collection.unread)).one()
    return share, [(unread, [warning.partition(":")[0] for warning in warnings]) for unread, warnings in rows]


def changing(sessions: Sessions, caller: Caller) -> uuid.UUID:
    """The job that has the collection embedded by another model."""
    with sessions.begin() as session:
        plan = kinds.plan(session, tables.MODELS, caller, Submission("reembed", "other", Reembedding("facts")))
        job_id = jobs.insert(session, caller, plan)[0].id
    tables.dispatch(sessions, job_id)
    return job_id


@pytest.mark.parametrize(
    ("lacks", "expected"),
    [
        (
            "squiggle",
            ((0.5 * len(HALF) + len(WHOLE)) / len(HALF + WHOLE), [(0.5, ["50%"]), (1.0, ["100%"])]),
        ),
        ("other", (0.0, [(0.0, []), (0.0, [])])),
        (None, (None, [(None, []), (None, [])])),
    ],
)
def test_document_says_how_much_its_model_cannot_read(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker, lacks: str | None, expected: Any
) -> None:
    """And so does the collection, of all that it has, by size; where the model's vocabulary tells."""
    run.run(make_worker("embedder", blind(lacks)), ingesting(sessions, caller, written(HALF), written(WHOLE)))
    share, found = told(sessions, caller)
    assert share == pytest.approx(expected[0])
    assert found == [
        (unread, [f"embedder can't read {part} of the text" for part in parts]) for unread, parts in expected[1]
    ]


@pytest.mark.parametrize(("lacks", "unread"), [("squiggle", 5 / 7), ("other", 0.0), (None, None)])
def test_new_model_of_a_collection_is_judged_anew(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker, lacks: str | None, unread: float | None
) -> None:
    """By all that it read; what the old one couldn't read is no warning any more, and others stay."""
    run.run(make_worker("embedder", blind("squiggle")), ingesting(sessions, caller, written(HALF), written(WHOLE)))
    with sessions.begin() as session, scope(session, caller.tenant_id):
        first = session.scalars(select(Document.id).order_by(Document.id).limit(1)).one()
        documents.warn(session, caller.tenant_id, first, "It has no title.")
    job_id = changing(sessions, caller)
    run.run(make_worker("other", blind(lacks, "other")), job_id)
    share, found = told(sessions, caller)
    assert share == pytest.approx(unread)
    assert [warnings for _, warnings in found] == [["It has no title."], []]
    assert [one for one, _ in found] == [share, share]


class Dying(Echo):
    """Takes the worker's process with it at the second lot."""

    lots = 0

    def tokenize(self, texts: Any) -> Any:
        self.lots += any("squiggle" in one for one in texts)
        if self.lots == 2:
            raise SystemExit
        return super().tokenize(texts)


def test_new_model_is_judged_by_all_that_all_attempts_read(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever dies between; and nothing of it is written down before the collection switches."""
    monkeypatch.setattr(reembed, "CHUNKS_OF_A_LOT", 1)
    run.run(make_worker("embedder", blind("squiggle")), ingesting(sessions, caller, written(HALF), written(WHOLE)))
    before = told(sessions, caller)
    job_id = changing(sessions, caller)
    dying = Dying("other", 2, 128)
    dying.unknown = blind("squiggle").unknown
    with pytest.raises(SystemExit):
        run.run(make_worker("other", dying), job_id)
    assert told(sessions, caller) == before
    tables.dispatch(sessions, job_id)
    run.run(make_worker("other", blind("squiggle", "other")), job_id)
    share, _ = told(sessions, caller)
    assert share == pytest.approx(5 / 7)


def test_attempt_that_is_over_says_nothing_of_what_it_read(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker
) -> None:
    """A collection that has another model by then isn't judged by the old one."""
    job_id = ingesting(sessions, caller, written(WHOLE))

    class Slow(Echo):
        """Has the collection switch while it reads the first text of the document."""

        def tokenize(self, texts: Any) -> Any:
            if any("squiggle" in one for one in texts):
                with sessions.begin() as session:
                    session.execute(update(Collection).values(model="other", unread=None))
            return super().tokenize(texts)

    slow = Slow("embedder", 2, 128)
    slow.unknown = blind("squiggle").unknown
    run.run(make_worker("embedder", slow), job_id)
    assert told(sessions, caller) == (None, [(None, [])])
    assert tables.column(sessions, job_id, "queue") == "other"
