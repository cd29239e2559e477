"""Files on a gunicorn: by OpenAI's own client, in little memory, and through the death of the process."""

import hashlib
import io
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
import redis
from openai import NotFoundError, OpenAI
from sqlalchemy import text

from db.session import Sessions
from tests.support import waiting
from tests.support.post import Post
from tests.tasks.sweep.sweeping import made, sweep
from tests.webapi.conftest import new_key
from tests.webapi.serving import Served, gunicorn
from webapi.settings import Settings

MB = 1024 * 1024


@pytest.fixture
def sdk(served: Served) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"http://127.0.0.1:{served.port}/v1", api_key=served.key, max_retries=0) as client:
        yield client


def test_stock_client_does_all_that_it_can_with_files(sdk: OpenAI, tmp_path: Path) -> None:
    path = tmp_path / "batch.jsonl"
    path.write_bytes(b'{"custom_id": "1"}\n')
    with path.open("rb") as opened:
        file = sdk.files.create(file=opened, purpose="batch", expires_after={"anchor": "created_at", "seconds": 7200})
    other = sdk.files.create(file=b"bytes", purpose="user_data")
    assert (file.filename, file.bytes, file.purpose, file.status) == ("batch.jsonl", 19, "batch", "processed")
    assert file.expires_at == file.created_at + 7200
    assert sdk.files.retrieve(file.id) == file
    assert sdk.files.wait_for_processing(file.id) == file
    assert [one.id for one in sdk.files.list(limit=1)] == [other.id, file.id]  # its pages, one after the other
    assert [one.id for one in sdk.files.list(purpose="batch", order="asc")] == [file.id]
    assert sdk.files.content(file.id).read() == path.read_bytes()
    assert sdk.files.delete(file.id).deleted
    with pytest.raises(NotFoundError):
        sdk.files.content(file.id)


def test_stock_client_uploads_in_chunks(sdk: OpenAI, tmp_path: Path) -> None:
    """From a path and from memory, with the digest of all."""
    path = tmp_path / "large.jsonl"
    path.write_bytes(os.urandom(2 * MB + 5))
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    for file, more in ((path, {}), (path.read_bytes(), {"filename": path.name, "bytes": 2 * MB + 5})):
        done = sdk.uploads.upload_file_chunked(
            file=file, mime_type="application/jsonl", purpose="batch", part_size=MB, md5=md5, **more
        )
        assert (done.status, done.filename, done.bytes) == ("completed", path.name, 2 * MB + 5)
        assert done.file is not None
        assert sdk.files.content(done.file.id).read() == path.read_bytes()
    begun = sdk.uploads.create(bytes=1, filename="x", mime_type="text/plain", purpose="vision")
    assert sdk.uploads.parts.create(begun.id, data=b"x").upload_id == begun.id
    assert sdk.uploads.cancel(begun.id).status == "cancelled"


def test_large_file_is_never_whole_in_memory(served: Served) -> None:
    """Sixty-four megabytes, announced and in chunks, and read again."""
    raw = io.BytesIO(os.urandom(MB) * 64)

    def chunks() -> Iterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
        raw.seek(0)
        while piece := raw.read(MB):
            yield piece
        yield b'\r\n--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--b--\r\n'

    def sent() -> str:
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        response = served.client.post("/v1/files", content=chunks(), headers=headers)
        assert response.status_code == 200, response.text
        assert response.json()["bytes"] == 64 * MB
        return str(response.json()["id"])

    served.client.post("/v1/files", data={"purpose": "batch"}, files={"file": ("x", b"warm")})
    before = served.worker.memory_info().rss
    file_id = sent()
    with served.client.stream("GET", f"/v1/files/{file_id}/content") as answer:
        assert sum(len(piece) for piece in answer.iter_bytes()) == 64 * MB
    assert served.worker.memory_info().rss - before < 32 * MB


def test_what_a_death_cuts_off_is_erased(
    settings: Settings, sessions: Sessions, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the midst of a file, which nobody ever sees; and between a file's end and that of its bytes."""
    monkeypatch.setenv("FOREBAY_FAILPOINT", "files.after_piece:3,files.before_erasing:1")
    sweeper = made(sessions, client, Post(client))
    with gunicorn(settings, new_key(sessions, "ours")) as served:
        monkeypatch.delenv("FOREBAY_FAILPOINT")  # the sweep is to live
        _ask(served, "POST", "/v1/files", data={"purpose": "batch"}, files={"file": ("x", bytes(4 * MB))})
        assert _counts(sessions) == (0, 1, 3)
        sweep(sweeper)
        assert _counts(sessions) == (0, 1, 3)  # its writer may be alive
        _forget(sessions, "UPDATE file_parts SET touched_at = now() - interval '11 minutes'")
        sweep(sweeper)
        assert _counts(sessions) == (0, 0, 0)
        file = {"data": {"purpose": "batch"}, "files": {"file": ("x", b"one")}}
        waiting.until(lambda: _ask(served, "GET", "/v1/files") == 200)
        assert _ask(served, "POST", "/v1/files", **file) == 200
        with sessions() as session:
            file_id = session.scalar(text("SELECT id FROM files")).hex
        _ask(served, "DELETE", f"/v1/files/file-{file_id}")
        waiting.until(lambda: _ask(served, "GET", f"/v1/files/file-{file_id}") == 404)
        assert _counts(sessions) == (0, 1, 1)
        _forget(sessions, "SELECT 1")
        sweep(sweeper)
        assert _counts(sessions) == (0, 0, 0)


def _ask(served: Served, method: str, path: str, **options: object) -> int:
    """The status; 0 where the process died of it."""
    with suppress(httpx.TransportError):
        return served.client.request(method, path, **options).status_code  # type: ignore[arg-type]
    return 0


def _counts(sessions: Sessions) -> tuple[int, ...]:
    with sessions() as session:
        tables = ("files", "file_parts", "file_pieces")
        return tuple(session.scalar(text(f"SELECT count(*) FROM {table}")) or 0 for table in tables)


def _forget(sessions: Sessions, statement: str) -> None:
    """As if time had gone by, also since the sweep's last look."""
    with sessions.begin() as session:
        session.execute(text(statement))
        session.execute(text("DELETE FROM rounds"))
