"""What nobody asks for any more is forgotten."""

import uuid
from pathlib import Path

import pytest
import redis
from sqlalchemy import text

from db import summaries
from db.scope import scope
from db.session import Sessions
from tasks.documents import ingest
from tasks.files import files, keeping, tidying
from tasks.files.files import Wish
from tasks.files.keeping import Room
from tasks.files.stores import Stores
from tasks.jobs import erasing
from tasks.keys import Caller
from tasks.kinds.summary import Summary
from tasks.settings import FileSettings
from tasks.sweep import forgetting
from tasks.vectorstores import stores as vectorstores
from tests import shelves, tables
from tests.support.post import Post
from tests.tasks.sweep.sweeping import made, sweep
from tests.workers.staged import written


@pytest.fixture
def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one round, however slow the machine is."""
    monkeypatch.setattr(forgetting, "_UNUSED_S", 60.0)
    for at_once in ("_STEPS_AT_ONCE", "_DOCUMENTS_AT_ONCE"):
        monkeypatch.setattr(forgetting, at_once, 1)


def test_steps_that_nothing_uses_are_forgotten_for_every_tenant(
    sessions: Sessions, client: redis.Redis, caller: Caller, one_by_one: None
) -> None:
    """After thirty days, whether the tenant comes again or not, as many as there are; those in use stay."""
    owners = [caller, tables.tenant(sessions, "theirs")]
    for owner in owners:
        with sessions.begin() as session, scope(session, owner.tenant_id):
            for days in (0, 29, 31, 400):
                summaries.keep_step(session, owner.tenant_id, bytes([days % 256]), f"{days} days")
                aged = text(
                    "UPDATE summary_steps SET used_at = now() - make_interval(days => :days) WHERE text = :text"
                )
                session.execute(aged, {"days": days, "text": f"{days} days"})
    sweep(made(sessions, client, Post(client), tables.LEASE_S))
    for owner in owners:
        with sessions() as session, scope(session, owner.tenant_id):
            left = session.scalars(text("SELECT text FROM summary_steps ORDER BY used_at DESC")).all()
        assert left == ["0 days", "29 days"]


def test_documents_brought_for_summaries_go_a_week_after_the_last_one_ended(
    sessions: Sessions, client: redis.Redis, caller: Caller, one_by_one: None
) -> None:
    """Also those that none has named; what is named again meanwhile, by one that runs, stays, as do collections."""
    with sessions.begin() as session:
        new = [written(name) for name in ("unnamed", "old", "lately ended", "runs", "named again", "fresh")]
        document_ids = ingest.add(session, caller.tenant_id, None, None, new)
    made_now = dict(zip((each.text for each in new), document_ids, strict=True))
    with sessions.begin() as session:
        shelves.bring(session, caller, "books", [written("in books")])

    def named(*names: str) -> uuid.UUID:
        with sessions.begin() as session:
            documents = tuple(made_now[name] for name in names)
            asked = tables.Submission("summary", "alpha", Summary(documents=documents), lane="batch")
            return tables.accept(session, caller, asked).id

    def ended(job_id: uuid.UUID, days: int) -> None:
        ending = (
            "UPDATE jobs SET status = 'cancelled', finished_at = now() - make_interval(days => :days) WHERE id = :id"
        )
        with sessions.begin() as session:
            session.execute(text(ending), {"days": days, "id": job_id})

    ended(named("old", "named again"), 8)
    ended(named("lately ended"), 6)
    named("runs")
    with sessions.begin() as session, scope(session, caller.tenant_id):
        aged = text("UPDATE documents SET created_at = now() - interval '9 days' WHERE id <> :id")
        session.execute(aged, {"id": made_now["fresh"]})
        session.execute(text("UPDATE documents SET status = 'ready' WHERE id = :id"), {"id": made_now["named again"]})
    named("named again")
    sweep(made(sessions, client, Post(client), tables.LEASE_S))
    with sessions() as session, scope(session, caller.tenant_id):
        left = set(session.scalars(text("SELECT text FROM document_texts")))
    assert left == {"lately ended", "runs", "named again", "fresh", "in books"}


def test_sweep_comes_back_for_files_as_long_as_some_are_left(
    sessions: Sessions, client: redis.Redis, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It hasn't to wait a minute until it may erase what there was no time for."""
    stores, sweeper = Stores(FileSettings(), sessions), made(sessions, client, Post(client))
    with keeping.kept(stores, caller.tenant_id, [b"x"], Room("file", 1, 9)) as part, sessions.begin() as session:
        files.add(session, caller, part, Wish("x", "batch"))
    with sessions.begin() as session:
        session.execute(text("UPDATE files SET expires_at = now()"))
    with monkeypatch.context() as hurried:
        hurried.setattr(forgetting, "_FILES_S", -1)
        sweep(sweeper)
    with sessions() as session:
        assert session.scalar(text("SELECT count(*) FROM file_parts")) == 1
    sweep(sweeper)
    with sessions() as session:
        assert session.scalar(text("SELECT count(*) FROM file_parts")) == 0


def test_tenant_whose_bytes_cannot_be_reached_holds_up_nobody(
    sessions: Sessions, client: redis.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither others that leave, nor those whose files expire; it is tried again in a minute."""
    monkeypatch.setattr(forgetting, "_ERASING_S", 60.0)  # enough for one round, however slow the machine is
    elsewhere, here = Stores(FileSettings(f"file://{tmp_path}"), sessions), Stores(FileSettings(), sessions)
    for name, stores in (("unreachable", elsewhere), ("going", here), ("staying", here)):
        caller, wish = tables.tenant(sessions, name), Wish("x", "batch")
        with keeping.kept(stores, caller.tenant_id, [b"x"], Room("file", 1, 9)) as part, sessions.begin() as session:
            files.add(session, caller, part, wish)
    for name in ("unreachable", "going"):
        erasing.suspend(sessions, name)
    with sessions.begin() as session:
        session.execute(text("UPDATE files SET expires_at = now()"))
    sweep(made(sessions, client, Post(client)))
    with sessions() as session:
        left = "SELECT name FROM file_parts JOIN tenants ON tenants.id = tenant_id"
        assert session.scalars(text(left)).all() == ["unreachable"]
        begun = "SELECT name FROM rounds WHERE name IN ('files', 'suspended_tenants') ORDER BY name"
        assert session.scalars(text(begun)).all() == ["files", "suspended_tenants"]


def test_what_has_expired_is_found_among_any_number_of_tenants(
    sessions: Sessions, client: redis.Redis, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the first round, though only their tenants see it. Nobody is looked at who has nothing that is due."""
    for budget in ("_FILES_S", "_STORES_S"):
        monkeypatch.setattr(forgetting, budget, 60.0)  # enough for one round, however slow the machine is
    kept_in, wish = Stores(FileSettings(), sessions), Wish("x", "batch")
    with sessions.begin() as session:
        session.execute(
            text("INSERT INTO tenants (id, name) SELECT gen_random_uuid(), 'of ' || n FROM generate_series(1, 400) n")
        )
        for name in ("kept", "late"):
            vectorstores.create(session, tables.MODELS, caller, vectorstores.Wish(name, expires_days=1))
    for owner in (caller, tables.tenant(sessions, "theirs")):
        with keeping.kept(kept_in, owner.tenant_id, [b"x"], Room("file", 1, 9)) as part, sessions.begin() as session:
            files.add(session, owner, part, wish)

    def due() -> list[list[uuid.UUID]]:
        with sessions.begin() as session:
            return [tidying.due(session, kept_in, 50), vectorstores.due(session, 50)]

    assert due() == [[], []]
    with sessions.begin() as session:
        late = "UPDATE {} SET expires_at = now() - interval '1 second' WHERE {}"
        session.execute(text(late.format("files", "tenant_id = :tenant")), {"tenant": caller.tenant_id})
        session.execute(text(late.format("vector_stores", "name = 'late'")))
    assert due() == [[caller.tenant_id]] * 2
    sweep(made(sessions, client, Post(client)))
    assert due() == [[], []]
    with sessions() as session:
        assert session.scalar(text("SELECT count(*) FROM files")) == 1
        assert session.scalars(text("SELECT name FROM vector_stores WHERE emptied")).all() == ["late"]
