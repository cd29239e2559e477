"""Archives that are ingested: the documents in them take their place."""

from typing import Any

import pytest
from sqlalchemy import text

from db.session import Sessions
from tasks.documents import library
from tasks.documents.ingest import NewDocument
from tasks.jobs import endings
from tasks.keys import Caller
from tasks.models import catalog
from tests import tables
from tests.workers import office
from tests.workers.conftest import MakeWorker
from tests.workers.staged import FACTS, filed, ingesting, look, search, written
from workers import run


def test_archive_is_replaced_by_the_documents_in_it(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker
) -> None:
    """What was said of it holds for each; a member that can't be read, or isn't to be, fails alone with its reason."""
    members = {"a.md": FACTS.encode(), "deep/b.pdf": b"no pdf", "../c.txt": b"x", "d.png": b"x"}
    archive = NewDocument(None, office.zipped(members), "zip", "All", "box.zip", {"year": 2026}, external_id="box")
    job_id = ingesting(sessions, caller, archive, written("Anna has a cat."))
    run.run(make_worker(catalog.CONTROL), job_id)
    tables.dispatch(sessions, job_id)
    run.run(make_worker("embedder"), job_id)
    record = look(sessions, caller, job_id)
    assert record.result is not None
    told = {document["filename"]: document for document in record.result["documents"]}
    assert {name: document["status"] for name, document in told.items()} == {
        None: "ready",
        "box.zip/a.md": "ready",
        "box.zip/deep/b.pdf": "failed",
        "box.zip/../c.txt": "failed",
        "box.zip/d.png": "failed",
    }
    assert "leads out" in told["box.zip/../c.txt"]["error"]["message"]
    assert "kind" in told["box.zip/d.png"]["error"]["message"]
    with sessions.begin() as session:
        member = session.execute(
            text("SELECT kind, title, metadata, external_id FROM documents WHERE filename = 'box.zip/a.md'")
        ).one()
    assert tuple(member) == ("markdown", None, {"year": 2026}, "box/a.md")
    assert record.progress is not None
    assert record.progress["done"] == record.progress["total"]
    assert search(sessions, caller, "the red lamp") == FACTS


def test_archive_without_anything_to_read_fails_the_ingest(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker
) -> None:
    """Each of its members says why; the job is over without the model."""
    job_id = ingesting(sessions, caller, filed(office.zipped({"a.png": b"x", "b.zip": b"x"}), "zip"))
    run.run(make_worker(catalog.CONTROL), job_id)
    record = look(sessions, caller, job_id)
    assert (record.status, record.error and record.error["code"]) == ("failed", "unreadable_document")


def test_members_that_are_refused_again_take_the_place_of_those_before(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker
) -> None:
    """An archive is always brought again: its failed members don't pile up."""
    raw = office.zipped({"a.png": b"x", "b.pdf": b"no pdf"})
    for _ in range(2):
        archive = NewDocument(None, raw, "zip", None, "box.zip", {}, external_id="box")
        run.run(make_worker(catalog.CONTROL), job_id := ingesting(sessions, caller, archive))
    with sessions.begin() as session:
        rows = session.execute(text("SELECT external_id, job_id FROM documents ORDER BY external_id")).all()
    assert [tuple(row) for row in rows] == [("box/a.png", job_id), ("box/b.pdf", job_id)]


@pytest.mark.parametrize("named", [True, False])
def test_versions_that_were_never_unpacked_go_when_one_is(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker, *, named: bool
) -> None:
    """The ingest of one was cancelled, another is no archive; one that is unpacked is gone itself."""
    identity: dict[str, Any] = {"external_id": "box"} if named else {"replaces": True}

    def boxed(raw: bytes) -> NewDocument:
        return NewDocument(None, raw, "zip", None, "box.zip", {}, **identity)

    cancelled = ingesting(sessions, caller, boxed(office.zipped({"a.md": b"# Old"})))
    endings.cancel(sessions, make_worker().client, caller, cancelled, 60)
    control = make_worker(catalog.CONTROL)
    run.run(control, ingesting(sessions, caller, boxed(b"no archive")))
    other = NewDocument(None, b"# Other", "markdown", None, "other.md", {})
    job_id = ingesting(sessions, caller, boxed(office.zipped({"a.md": b"# New"})), other)
    run.run(control, job_id)
    tables.dispatch(sessions, job_id)
    run.run(make_worker("embedder"), job_id)
    with sessions() as session:
        kept = library.page(session, caller, limit=10)[0]
    assert sorted((one.filename, one.status) for one in kept) == [("box.zip/a.md", "ready"), ("other.md", "ready")]
