"""All files of a tenant that leaves go, with their bytes; those of others stay."""

import hashlib
import uuid
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import text

from db.session import Sessions
from tasks import errors
from tasks.files import files, keeping, tidying, uploads
from tasks.files.files import Wish
from tasks.files.folder import FolderStore
from tasks.files.keeping import Part, Room
from tasks.files.store import PIECE_BYTES, Store
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


def fall_silent(sessions: Sessions) -> None:
    with sessions.begin() as session:
        session.execute(text("UPDATE file_parts SET touched_at = now() - interval '11 minutes' WHERE NOT whole"))


def count(sessions: Sessions, table: str) -> int:
    with sessions() as session:
        return session.scalar(text(f"SELECT count(*) FROM {table}")) or 0


def test_nothing_is_left_of_a_tenants_files(sessions: Sessions, tmp_path: Path) -> None:
    """Whole ones, parts of uploads, and what is being written."""
    stores = Stores(FileSettings(f"file://{tmp_path}"), sessions)
    going, staying = tables.tenant(sessions, "going"), tables.tenant(sessions, "staying")
    fill(stores, going)
    fill(stores, staying)
    with closing(tidying.leave(stores, going.tenant_id)) as lots:
        assert [next(lots)[0] for _ in range(3)] == ["files", "uploads", "file_parts"]
    assert len(bytes_in(tmp_path)) == 5  # it stops where it is stopped
    fall_silent(sessions)
    assert list(tidying.leave(stores, going.tenant_id)) == [("file_parts", 1)] * 2
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
    fall_silent(sessions)
    assert [what for what, _ in tidying.leave(stores, caller.tenant_id)] == ["file_parts"] * 3
    assert bytes_in(tmp_path) == []


def test_writer_that_was_taken_for_dead_makes_no_file(sessions: Sessions, stores: Stores, caller: Caller) -> None:
    """It finishes between the look at what is silent and the end of its bytes."""

    def write() -> None:
        with keeping.kept(stores, caller.tenant_id, [b"late"], ROOM) as part:
            written.append(part)
            fall_silent(sessions)
            assert tidying.tidy(stores, caller.tenant_id, lambda: False) is False
            with sessions.begin() as session:
                files.add(session, caller, part, Wish("late", "batch"))

    written: list[Part] = []
    with pytest.raises(errors.Unavailable):
        write()
    assert stores.current.get(caller.tenant_id, written[0].id, 0, 0, 4) == b""
    assert (count(sessions, "files"), count(sessions, "file_parts")) == (0, 0)


@pytest.mark.parametrize("ended", ["cancelled", "completed", "left"])
def test_part_on_its_way_when_its_upload_ends_leaves_nothing(
    sessions: Sessions, stores: Stores, caller: Caller, monkeypatch: pytest.MonkeyPatch, ended: str
) -> None:
    """A row names its bytes until they are gone, whenever they came."""
    monkeypatch.setattr(keeping, "_TOUCH_S", 3600)  # it notices nothing until its end
    with sessions.begin() as session:
        upload = uploads.create(session, caller, Wish("x", "batch"), size=0, mime_type="text/plain", most=10**9)
    written: list[Part] = []

    def chunks() -> Iterator[bytes]:
        yield bytes(PIECE_BYTES)
        if ended == "cancelled":
            uploads.cancel(stores, caller, upload.id)
        elif ended == "completed":
            uploads.complete(stores, caller, upload.id, [], None)
        else:
            list(tidying.leave(stores, caller.tenant_id))
        assert tidying.tidy(stores, caller.tenant_id, lambda: True)
        assert count(sessions, "file_parts") == 1
        yield bytes(PIECE_BYTES)

    def write() -> None:
        with keeping.kept(stores, caller.tenant_id, chunks(), ROOM, upload.id) as part, sessions.begin() as session:
            written.append(part)
            uploads.add_part(session, caller, upload.id, part)

    with pytest.raises(errors.ForebayError):
        write()
    assert [stores.current.get(caller.tenant_id, written[0].id, number, 0, 1) for number in (0, 1)] == [b"", b""]
    assert count(sessions, "file_parts") == 0


def test_bytes_that_come_when_their_row_is_gone_are_erased(sessions: Sessions, stores: Stores, caller: Caller) -> None:
    """Of a writer that stood still for so long that they were erased before."""
    ids: list[uuid.UUID] = []

    def chunks() -> Iterator[bytes]:
        yield bytes(PIECE_BYTES)
        with sessions() as session:
            ids.extend(session.scalars(text("SELECT id FROM file_parts")))
        fall_silent(sessions)
        assert tidying.tidy(stores, caller.tenant_id, lambda: True)
        assert count(sessions, "file_parts") == 0
        yield b"more"

    def write() -> None:
        with keeping.kept(stores, caller.tenant_id, chunks(), ROOM) as part, sessions.begin() as session:
            files.add(session, caller, part, Wish("late", "batch"))

    with pytest.raises(errors.Unavailable):
        write()
    assert stores.current.get(caller.tenant_id, ids[0], 1, 0, 1) == b""


def test_slow_writer_is_not_taken_for_dead(sessions: Sessions, caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says that it lives while its bytes come, however few."""
    monkeypatch.setattr(keeping, "_TOUCH_S", 0)
    stores = Stores(FileSettings(), sessions)

    def chunks() -> Iterator[bytes]:
        for _ in range(3):
            fall_silent(sessions)
            yield b"few"
            assert tidying.tidy(stores, caller.tenant_id, lambda: True)

    with keeping.kept(stores, caller.tenant_id, chunks(), ROOM) as part, sessions.begin() as session:
        files.add(session, caller, part, Wish("slow", "batch"))
    assert count(sessions, "files") == 1


def test_two_that_come_at_once_count_both(sessions: Sessions, caller: Caller) -> None:
    stores, room = Stores(FileSettings(), sessions), Room("file", expected=6, most=10)
    with (
        keeping.kept(stores, caller.tenant_id, [b"first"], room),
        pytest.raises(errors.LimitReached),
        keeping.kept(stores, caller.tenant_id, [b"second"], room),
    ):
        pass
    assert count(sessions, "file_parts") == 1


def test_upload_is_forgotten_with_a_part_that_never_came(sessions: Sessions, caller: Caller) -> None:
    """Its row names the upload still when that has ended long ago."""
    stores = Stores(FileSettings(), sessions)
    with sessions.begin() as session:
        upload = uploads.create(session, caller, Wish("x", "batch"), size=0, mime_type="text/plain", most=10**9)
    with keeping.kept(stores, caller.tenant_id, [b"half"], ROOM, upload.id):
        with sessions.begin() as session:
            old = "UPDATE uploads SET status = 'cancelled', expires_at = now() - interval '25 hours'"
            session.execute(text(old))
        assert tidying.tidy(stores, caller.tenant_id, lambda: True)
    assert (count(sessions, "uploads"), count(sessions, "file_parts")) == (0, 1)


def test_request_erases_for_a_moment_and_the_chore_the_rest(
    sessions: Sessions, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "_SOON_S", -1)
    stores = Stores(FileSettings(), sessions)
    with sessions.begin() as session:
        upload = uploads.create(session, caller, Wish("x", "batch"), size=0, mime_type="text/plain", most=10**9)
    for _ in range(25):
        with keeping.kept(stores, caller.tenant_id, [b"x"], ROOM, upload.id) as part, sessions.begin() as session:
            uploads.add_part(session, caller, upload.id, part)
    uploads.cancel(stores, caller, upload.id)
    assert count(sessions, "file_parts") == 24
    assert tidying.tidy(stores, caller.tenant_id, lambda: True)
    assert count(sessions, "file_parts") == 0


class Meanwhile(Stores):
    """Does something once, while the bytes are read."""

    def of(self, name: str) -> Store:
        for act in self.__dict__.pop("act", ()):
            act()
        return super().of(name)


def test_completing_twice_at_once_is_one_file(sessions: Sessions, caller: Caller) -> None:
    stores = Meanwhile(FileSettings(), sessions)
    with sessions.begin() as session:
        upload = uploads.create(session, caller, Wish("x", "batch"), size=3, mime_type="text/plain", most=10**9)
    with keeping.kept(stores, caller.tenant_id, [b"one"], ROOM, upload.id) as part, sessions.begin() as session:
        uploads.add_part(session, caller, upload.id, part)
    done = []
    stores.__dict__["act"] = [lambda: done.append(uploads.complete(stores, caller, upload.id, [part.id], None))]
    md5 = hashlib.md5(b"one", usedforsecurity=False).hexdigest()
    done.append(uploads.complete(stores, caller, upload.id, [part.id], md5))
    assert done[0] == done[1]
    assert count(sessions, "files") == 1


def test_file_whose_parts_are_gone_is_no_shorter_file(sessions: Sessions, caller: Caller) -> None:
    with pytest.raises(errors.Unavailable):
        list(keeping.read(Stores(FileSettings(), sessions), caller.tenant_id, [], 0, 5))


class Late(FolderStore):
    """Says that it can't be reached, and yet comes to have the piece, as a request that was given up on may."""

    def put(self, tenant_id: uuid.UUID, part_id: uuid.UUID, number: int, piece: bytes) -> None:
        self.__dict__["on_its_way"] = partial(super().put, tenant_id, part_id, number, piece)
        raise errors.Unavailable("no answer")


def test_piece_that_comes_after_its_writer_gave_up_is_erased(
    sessions: Sessions, caller: Caller, tmp_path: Path
) -> None:
    stores = Stores(FileSettings(f"file://{tmp_path}"), sessions)
    late = stores.__dict__["current"] = Late(tmp_path, stores.current.name)
    with pytest.raises(errors.Unavailable), keeping.kept(stores, caller.tenant_id, [b"late"], ROOM):
        pass
    late.__dict__["on_its_way"]()
    assert bytes_in(tmp_path) == [b"late"]
    fall_silent(sessions)
    assert tidying.tidy(stores, caller.tenant_id, lambda: True)
    assert (bytes_in(tmp_path), count(sessions, "file_parts")) == ([], 0)
