"""Documents brought again: what is embedded of them, and what is found meanwhile, whatever dies."""

import uuid
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import text

from db.session import Sessions
from tasks import errors
from tasks.documents import ingest, library
from tasks.documents.ingest import NewDocument
from tasks.doors import retrying
from tasks.jobs import endings, jobs
from tasks.keys import Caller
from tasks.models import catalog
from tests import tables
from tests.workers import office
from tests.workers.conftest import MakeWorker
from tests.workers.staged import FACTS, filed, ingesting, look, search, written
from workers import run
from workers.engines.echo import Echo
from workers.stages import embed_documents

PARTS = [f"# Part {number}\n\nIt is about {number} things." for number in range(6)]


class Noted(Echo):
    """Keeps the tokens of all that it embeds."""

    def __init__(self, *, dies_at: int | None = None) -> None:
        super().__init__("embedder", 2, 64)
        self.embedded: list[tuple[int, ...]] = []
        self._dies_at = dies_at

    def tokenize(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        if self._dies_at is not None and len(self.embedded) >= self._dies_at:
            raise SystemExit
        return super().tokenize(texts)

    def embed(self, inputs: Sequence[Sequence[int]]) -> Any:
        self.embedded += map(tuple, inputs)
        return super().embed(inputs)

    def has(self, words: str) -> list[bool]:
        """Of each text whether it has the words."""
        wanted = set(self.tokenize([words])[0])
        return [wanted <= set(ids) for ids in self.embedded]


def run_out(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker, *new: NewDocument, engine: Echo | None = None
) -> dict[str, Any]:
    """The job of these documents, run to its end."""
    job_id = ingesting(sessions, caller, *new)
    run.run(make_worker("embedder", engine or Echo("embedder", 2, 64)), job_id)
    record = look(sessions, caller, job_id)
    assert record.status == "succeeded"
    return {"result": record.result, "usage": record.usage, "id": job_id}


def chunks(sessions: Sessions) -> list[Any]:
    with sessions() as session:
        return list(
            session.execute(text("SELECT text, embedding::text FROM chunks ORDER BY document_id, number")).all()
        )


def test_changed_document_embeds_the_chunks_that_changed(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker
) -> None:
    """All others keep their vectors, and cost nothing; the old text isn't found any more."""
    first = run_out(sessions, caller, make_worker, written("\n\n".join(PARTS), external_id="e"))
    before = chunks(sessions)
    assert len(before) == len(PARTS)
    changed = [*PARTS[:2], "# Part 2\n\nThe red lamp is new.", *PARTS[3:]]
    noted = Noted()
    again = run_out(sessions, caller, make_worker, written("\n\n".join(changed), external_id="e"), engine=noted)
    assert noted.has("red lamp") == [True]
    after = chunks(sessions)
    assert [row for row in after if row not in before] == [after[2]]
    assert len(after) == len(PARTS)
    assert again["usage"]["prompt_tokens"] < first["usage"]["prompt_tokens"] / 3
    assert search(sessions, caller, "red lamp").endswith("The red lamp is new.")
    assert search(sessions, caller, "about 2 things") != PARTS[2]


def test_same_contents_twice_are_embedded_once(sessions: Sessions, caller: Caller, make_worker: MakeWorker) -> None:
    """In one job or in two; in another collection, or another tenant's, they are embedded."""
    noted = Noted()
    told = run_out(sessions, caller, make_worker, written(FACTS), written(FACTS), engine=noted)
    once = len(noted.embedded)
    run_out(sessions, caller, make_worker, written(FACTS), engine=noted)
    assert len(noted.embedded) == once == told["result"]["documents"][0]["chunks"]
    first, second = told["result"]["documents"]
    assert ("duplicate_of" in first, second["duplicate_of"]) == (False, first["id"])
    run_out(sessions, tables.tenant(sessions, "theirs"), make_worker, written(FACTS), engine=noted)
    assert len(noted.embedded) == 2 * once


def test_equal_chunks_of_a_document_are_embedded_once(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker
) -> None:
    noted = Noted()
    told = run_out(sessions, caller, make_worker, written("# Same\n\nIt is so.\n\n" * 5), engine=noted)
    assert (told["result"]["chunks"], len(noted.embedded)) == (5, 1)


def test_failed_version_leaves_the_old_one(sessions: Sessions, caller: Caller, make_worker: MakeWorker) -> None:
    run_out(sessions, caller, make_worker, written(FACTS, external_id="e"))

    class Refusing(Echo):
        def embed(self, inputs: Sequence[Sequence[int]]) -> Any:
            raise errors.EngineRefused("no")

    job_id = ingesting(sessions, caller, written("Another lamp.", external_id="e"))
    run.run(make_worker("embedder", Refusing("embedder", 2, 64)), job_id)
    assert look(sessions, caller, job_id).status == "failed"
    assert search(sessions, caller, "the red lamp") == FACTS


@pytest.mark.parametrize("end", ["crash", "cancel"])
def test_version_that_is_stored_in_part_leaves_the_old_one(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    """Another attempt goes on with what is missing; what was cancelled never replaces anything."""
    monkeypatch.setattr(embed_documents, "CHUNKS_OF_A_LOT", 2)
    run_out(sessions, caller, make_worker, written(FACTS, external_id="e"))
    job_id = ingesting(sessions, caller, written("\n\n".join(PARTS), external_id="e"))
    with pytest.raises(SystemExit):
        run.run(make_worker("embedder", Noted(dies_at=4)), job_id)
    assert search(sessions, caller, "about 1 things") == FACTS
    if end == "cancel":
        endings.cancel(sessions, make_worker().client, caller, job_id, 60)
        assert search(sessions, caller, "about 1 things") == FACTS
        return
    noted = Noted()
    tables.dispatch(sessions, job_id)
    run.run(make_worker("embedder", noted), job_id)
    assert len(noted.embedded) == 2
    assert [row[0] for row in chunks(sessions)] == PARTS


def test_files_replace_those_of_their_name(sessions: Sessions, caller: Caller, make_worker: MakeWorker) -> None:
    """Their text is found first; until it is embedded the old one is found."""
    control, embedder = make_worker(catalog.CONTROL), make_worker("embedder")

    def bring(raw: bytes, *, replaces: bool) -> None:
        file = filed(raw)
        new = NewDocument(None, file.raw, file.kind, None, file.filename, {}, replaces=replaces)
        job_id = ingesting(sessions, caller, new)
        run.run(control, job_id)
        if replaces:
            assert search(sessions, caller, "the red lamp") == "The red lamp."
        tables.dispatch(sessions, job_id)
        run.run(embedder, job_id)

    bring(b"The red lamp.", replaces=False)
    bring(b"The blue lamp.", replaces=True)
    assert search(sessions, caller, "the red lamp") == "The blue lamp."
    with sessions() as session:
        [left] = library.page(session, caller, limit=9, collection="facts")[0]
    assert left.filename == "notes.text"


def test_version_that_comes_too_late_is_gone_and_its_job_ends_well(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker
) -> None:
    late = ingesting(sessions, caller, written("late", external_id="e"))
    run_out(sessions, caller, make_worker, written("The newest lamp.", external_id="e"))
    run.run(make_worker("embedder"), late)
    record = look(sessions, caller, late)
    assert (record.status, (record.result or {})["documents"]) == ("succeeded", [])
    assert search(sessions, caller, "late") == "The newest lamp."


def test_retried_version_replaces_too(sessions: Sessions, caller: Caller, make_worker: MakeWorker) -> None:
    """It is the document that its first job brought."""
    run_out(sessions, caller, make_worker, written(FACTS, external_id="e"))
    cancelled = ingesting(sessions, caller, written("The retried lamp.", external_id="e"))
    endings.cancel(sessions, make_worker().client, caller, cancelled, 60)
    with sessions.begin() as session:
        [waiting] = ingest.work(session, caller.tenant_id, cancelled).waiting
        retried = jobs.insert(session, caller, retrying.plan(session, tables.MODELS, caller, cancelled))[0].id
    tables.dispatch(sessions, retried)
    run.run(make_worker("embedder"), retried)
    assert search(sessions, caller, "the red lamp") == "The retried lamp."
    with sessions() as session:
        assert library.get(session, caller, waiting.id).status == "ready"


def packed(members: dict[str, str], external_id: str | None = None, *, replaces: bool = False) -> NewDocument:
    raw = office.zipped({name: words.encode() for name, words in members.items()})
    return NewDocument(None, raw, "zip", None, "box.zip", {}, external_id=external_id, replaces=replaces)


def names(sessions: Sessions) -> list[tuple[str, str]]:
    with sessions() as session:
        query = "SELECT coalesce(external_id, filename), status FROM documents ORDER BY id"
        return [(row[0], row[1]) for row in session.execute(text(query))]


def finish(sessions: Sessions, make_worker: MakeWorker, job_id: uuid.UUID) -> None:
    """Has a job that brought an archive run to its end."""
    run.run(make_worker(catalog.CONTROL), job_id)
    tables.dispatch(sessions, job_id)
    run.run(make_worker("embedder"), job_id)


FIRST = {"a.md": "The red lamp.", "gone.md": "Oscar likes honey.", "hurt.md": "The boat costs 42 coins."}
SECOND = {"a.md": "The blue lamp.", "hurt.md": "", "new.md": "Anna is a nurse."}


@pytest.mark.parametrize(("external_id", "base"), [("box", "box"), (None, "box.zip")])
def test_what_an_archive_has_no_more_is_not_found_any_more(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker, external_id: str | None, base: str
) -> None:
    """Once all of its new version is there; what can't be read in that leaves the old, and others' stay."""
    about: dict[str, Any] = {"external_id": external_id, "replaces": external_id is None}
    finish(sessions, make_worker, ingesting(sessions, caller, packed(FIRST, **about)))
    finish(sessions, make_worker, ingesting(sessions, caller, packed({"gone.md": "Another box."}, "other")))
    again = ingesting(sessions, caller, packed(SECOND, **about))
    run.run(make_worker(catalog.CONTROL), again)
    assert search(sessions, caller, "oscar likes honey.") == "Oscar likes honey."
    tables.dispatch(sessions, again)
    run.run(make_worker("embedder"), again)
    assert names(sessions) == [
        (f"{base}/hurt.md", "ready"),
        ("other/gone.md", "ready"),
        (f"{base}/a.md", "ready"),
        (f"{base}/new.md", "ready"),
        (f"{base}/hurt.md", "failed"),
    ]


def test_archive_of_which_nothing_can_be_read_leaves_the_old_one(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker
) -> None:
    finish(sessions, make_worker, ingesting(sessions, caller, packed(FIRST, "box")))
    job_id = ingesting(sessions, caller, packed({"a.md": "", "b.png": "x"}, "box"))
    run.run(make_worker(catalog.CONTROL), job_id)
    assert look(sessions, caller, job_id).status == "failed"
    assert [status for _, status in names(sessions)] == ["ready"] * 3 + ["failed"] * 2


@pytest.mark.parametrize("embedded", [(0, 1), (1, 0)])
def test_archive_that_was_accepted_later_is_left(
    sessions: Sessions, caller: Caller, make_worker: MakeWorker, embedded: tuple[int, int]
) -> None:
    """Though it was unpacked first, and in whatever order the two are embedded."""
    both = [ingesting(sessions, caller, packed(members, "box")) for members in (FIRST, SECOND)]
    for job_id in reversed(both):
        run.run(make_worker(catalog.CONTROL), job_id)
        tables.dispatch(sessions, job_id)
    for number in embedded:
        run.run(make_worker("embedder"), both[number])
    ready = [name for name, status in names(sessions) if status == "ready"]
    assert [name for name in ready if name != "box/hurt.md"] == ["box/a.md", "box/new.md"]
    assert search(sessions, caller, "the blue lamp.") == "The blue lamp."
