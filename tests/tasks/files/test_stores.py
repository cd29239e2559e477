"""What every store does."""

import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from db.session import Sessions
from tasks import errors
from tasks.files import bucket, keeping
from tasks.files.folder import FolderStore
from tasks.files.keeping import Room
from tasks.files.store import PIECE_BYTES
from tasks.files.stores import Stores
from tasks.keys import Caller
from tasks.settings import FileSettings

ROOM = Room("file", 0, 10**9)
RAW = bytes(range(256)) * 4096 * 2 + b"the end"


def test_pieces_are_kept_read_by_range_and_erased(stores: Stores, caller: Caller) -> None:
    store, chunks = stores.current, [RAW[i : i + 70_000] for i in range(0, len(RAW), 70_000)]
    with keeping.kept(stores, caller.tenant_id, [b"beside"], ROOM) as beside:
        pass
    with keeping.kept(stores, caller.tenant_id, chunks, ROOM) as kept:
        pass
    assert kept.bytes == len(RAW)
    for start, end in ((0, len(RAW)), (0, 1), (PIECE_BYTES - 1, PIECE_BYTES + 1), (len(RAW) - 1, len(RAW)), (5, 5)):
        read = keeping.read(stores, caller.tenant_id, [kept], start, end)
        assert b"".join(read) == RAW[start:end]
    assert store.get(uuid.uuid4(), kept.id, 0, 0, 1) == b""
    for _ in range(2):
        store.discard(caller.tenant_id, kept.id)
        assert store.get(caller.tenant_id, kept.id, 0, 0, 1) == b""
    assert store.get(caller.tenant_id, beside.id, 0, 0, 6) == b"beside"


@pytest.mark.parametrize(
    ("said", "name"),
    [
        (FileSettings("file:///srv/files/"), "file:///srv/files"),
        (FileSettings("file:///srv/a%20b"), "file:///srv/a%20b"),
        (FileSettings("s3://b/p/"), "s3://b/p"),
        (FileSettings("s3://b/"), "s3://b"),
        (FileSettings("s3://b/p", endpoint="https://u:p@minio:9000/"), "s3://b/p at minio:9000"),
    ],
)
def test_store_has_one_name_however_it_is_said(sessions: Sessions, said: FileSettings, name: str) -> None:
    """Rows say it: what is there is found again, and a bucket of the same name elsewhere isn't taken for it."""
    assert Stores(said, sessions).current.name == name


def test_bytes_that_are_gone_are_no_shorter_file(stores: Stores, caller: Caller) -> None:
    with keeping.kept(stores, caller.tenant_id, [b"beside"], ROOM) as kept:
        stores.current.discard(caller.tenant_id, kept.id)
    with pytest.raises(errors.Unavailable):
        list(keeping.read(stores, caller.tenant_id, [kept], 0, 6))


def test_another_store_from_now_on_leaves_what_postgresql_has(
    sessions: Sessions, caller: Caller, tmp_path: Path
) -> None:
    """What a folder has can't be read without it, and nobody forgets that it is there."""
    before, after = Stores(FileSettings(), sessions), Stores(FileSettings(f"file://{tmp_path}"), sessions)
    with keeping.kept(before, caller.tenant_id, [b"old"], ROOM) as old:
        pass
    with keeping.kept(after, caller.tenant_id, [b"new"], ROOM) as new:
        pass
    assert b"".join(keeping.read(after, caller.tenant_id, [old, new], 0, 6)) == b"oldnew"
    with pytest.raises(errors.Unavailable):
        list(keeping.read(before, caller.tenant_id, [new], 0, 3))
    with pytest.raises(errors.Unavailable):
        keeping.erase(before, caller.tenant_id, new)
    assert [path.read_bytes() for path in tmp_path.rglob("0")] == [b"new"]


def test_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    """A disk that isn't mounted must not be taken for an empty one."""
    store = FolderStore(tmp_path / "nowhere", "file:///nowhere")
    with pytest.raises(errors.Unavailable):
        store.put(uuid.uuid4(), uuid.uuid4(), 0, b"x")
    assert not (tmp_path / "nowhere").exists()


def test_what_is_not_there_is_not_taken_for_erased(sessions: Sessions, tmp_path: Path, s3: str) -> None:
    """A folder whose disk isn't mounted is missing or empty; a bucket may be missing."""
    away = FileSettings("s3://nowhere", endpoint=s3, region="us-east-1", key="k", secret="s")
    unmounted = FolderStore(tmp_path / "nowhere", "file:///nowhere"), FolderStore(tmp_path, "file:///empty")
    for store in (*unmounted, Stores(away, sessions).current):
        with pytest.raises(errors.Unavailable):
            store.discard(uuid.uuid4(), uuid.uuid4())
    with pytest.raises(errors.Unavailable):
        Stores(away, sessions).current.put(uuid.uuid4(), uuid.uuid4(), 0, b"x")


def test_bucket_that_is_away_is_told_without_its_name(sessions: Sessions) -> None:
    away = FileSettings("s3://secret-bucket", endpoint="http://127.0.0.1:1", region="x", key="k", secret="s")
    for ask in (
        lambda store: store.put(uuid.uuid4(), uuid.uuid4(), 0, b"x"),
        lambda store: store.get(uuid.uuid4(), uuid.uuid4(), 0, 0, 1),
        lambda store: store.discard(uuid.uuid4(), uuid.uuid4()),
    ):
        with pytest.raises(errors.Unavailable, match="can't be reached") as refused:
            ask(Stores(away, sessions).current)
        assert "secret-bucket" not in str(refused.value)


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of what takes every connection and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_bucket_that_hangs_is_given_up(
    sessions: Sessions, caller: Caller, silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is asked of it. No transaction is open meanwhile, and the bytes' row is left to a chore."""
    monkeypatch.setattr(bucket, "_ANSWER_S", 0.3)
    hangs = Stores(FileSettings("s3://b", endpoint=silent, region="x", key="k", secret="s"), sessions)
    for ask in (
        lambda store: store.put(uuid.uuid4(), uuid.uuid4(), 0, b"x"),
        lambda store: store.get(uuid.uuid4(), uuid.uuid4(), 0, 0, 1),
        lambda store: store.discard(uuid.uuid4(), uuid.uuid4()),
    ):
        with pytest.raises(errors.Unavailable, match="can't be reached"):
            ask(hangs.current)
    with pytest.raises(errors.Unavailable), keeping.kept(hangs, caller.tenant_id, [b"x"], ROOM):
        pass
