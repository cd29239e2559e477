"""All files of a tenant that leaves go, with their bytes; those of others stay."""

from pathlib import Path

import pytest
from sqlalchemy import text

from db.session import Sessions
from tasks import errors
from tasks.files import files, keeping, tidying, uploads
from tasks.files.files import Wish
from tasks.files.keeping import Room
from tasks.files.stores import Stores
from tasks.keys import Caller
from tasks.settings import FileSettings
from tests import tables

ROOM = Room("file", 0, 10**9)


def fill(stores: Stores, caller: Caller) -> None:
    """A file, an upload with a part, and a part that is being written."""
    wish = Wish("one.jsonl", "batch")
    with keeping.kept(stores, caller.tenant_id, [b"file"], ROOM) as part, stores.transactions.begin() as session:
        files.add(session, caller, part, wish)
    with stores.transactions.begin() as session:
        upload = uploads.create(session, caller, wish, size=4, mime_type="text/plain", most=10**9)
    with (
        keeping.kept(stores, caller.tenant_id, [b"part"], ROOM, upload.id) as part,
        stores.transactions.begin() as session,
    ):
        uploads.add_part(session, caller, upload.id, part)
    with keeping.kept(stores, caller.tenant_id, [b"half"], ROOM):
        pass


def bytes_in(folder: Path) -> list[bytes]:
    return sorted(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_nothing_is_left_of_a_tenants_files(sessions: Sessions, tmp_path: Path) -> None:
    """Whole ones, parts of uploads, and what is being written."""
    stores = Stores(FileSettings(f"file://{tmp_path}"), sessions)
    going, staying = tables.tenant(sessions, "going"), tables.tenant(sessions, "staying")
    fill(stores, going)
    fill(stores, staying)
    assert sum(count for _, count in tidying.leave(stores, going.tenant_id)) == 1 + 1 + 3
    assert bytes_in(tmp_path) == [b"file", b"half", b"part"]
    with sessions() as session:
        for table, rows in (("files", 1), ("uploads", 1), ("file_parts", 3)):
            owners = session.scalars(text(f"SELECT tenant_id FROM {table}")).all()
            assert owners == [staying.tenant_id] * rows


def test_bytes_that_cannot_be_reached_are_not_forgotten(sessions: Sessions, tmp_path: Path) -> None:
    """A process that isn't told of the folder leaves the rows by which they are found."""
    stores, caller = Stores(FileSettings(f"file://{tmp_path}"), sessions), tables.tenant(sessions, "going")
    fill(stores, caller)
    elsewhere = Stores(FileSettings(), sessions)
    with pytest.raises(errors.Unavailable):
        list(tidying.leave(elsewhere, caller.tenant_id))
    tidying.tidy(elsewhere, caller.tenant_id, lambda: True)
    assert len(bytes_in(tmp_path)) == 3
    assert [what for what, _ in tidying.leave(stores, caller.tenant_id)] == ["file_parts"]
    assert bytes_in(tmp_path) == []


def test_writer_that_was_taken_for_dead_makes_no_file(sessions: Sessions, caller: Caller) -> None:
    """It stood still for so long that its bytes were erased."""
    stores = Stores(FileSettings(), sessions)

    def write() -> None:
        with keeping.kept(stores, caller.tenant_id, [b"late"], ROOM) as part:
            list(tidying.leave(stores, caller.tenant_id))
            with sessions.begin() as session:
                files.add(session, caller, part, Wish("late", "batch"))

    with pytest.raises(errors.Unavailable):
        write()
    with sessions() as session:
        assert [session.scalar(text(f"SELECT count(*) FROM {table}")) for table in ("files", "file_parts")] == [0, 0]
