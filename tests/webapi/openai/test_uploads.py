"""Uploads: parts in whatever order, made a file of, cancelled, or left behind."""

import hashlib
import io
from typing import Any

import pytest
import redis
from flask import Flask, g
from sqlalchemy import text
from werkzeug.test import TestResponse

from db.session import Sessions
from tasks.files.store import Store
from tasks.files.stores import Stores
from tests.support.post import Post
from tests.tasks.sweep.sweeping import made, sweep
from tests.webapi.conftest import Api

GIVEN = {"filename": "one.jsonl", "purpose": "batch", "bytes": 6, "mime_type": "application/jsonl"}


def begun(api: Api, **changes: Any) -> dict[str, Any]:
    response = api.post("/v1/uploads", json=GIVEN | changes)
    assert response.status_code == 200, response.text
    return dict(response.json or {})


def send(api: Api, upload: dict[str, Any], raw: bytes) -> TestResponse:
    return api.post(f"/v1/uploads/{upload['id']}/parts", data={"data": (io.BytesIO(raw), "upload")})


def parts(api: Api, upload: dict[str, Any], *raws: bytes) -> list[str]:
    return [send(api, upload, raw).json["id"] for raw in raws]


def complete(api: Api, upload: dict[str, Any], part_ids: list[str], **more: str) -> TestResponse:
    return api.post(f"/v1/uploads/{upload['id']}/complete", json={"part_ids": part_ids, **more})


def count(sessions: Sessions, table: str) -> int:
    with sessions() as session:
        return session.scalar(text(f"SELECT count(*) FROM {table}")) or 0


def run(sessions: Sessions, statement: str) -> None:
    with sessions.begin() as session:
        session.execute(text(statement))


def test_file_has_its_parts_in_the_order_that_is_said(api: Api, sessions: Sessions) -> None:
    """A part that isn't named is erased; saying it again changes nothing."""
    upload = begun(api)
    assert (upload["object"], upload["status"], upload["file"]) == ("upload", "pending", None)
    assert upload["expires_at"] - upload["created_at"] == 3600
    ids = parts(api, upload, b"cd", b"unwanted", b"ab", b"ef")
    order = [ids[2], ids[0], ids[3]]
    done = complete(api, upload, order, md5=hashlib.md5(b"abcdef").hexdigest().upper()).json
    assert (done["status"], done["file"]["bytes"], done["file"]["filename"]) == ("completed", 6, "one.jsonl")
    assert done["file"]["expires_at"] - done["file"]["created_at"] == 30 * 86_400
    url = f"/v1/files/{done['file']['id']}/content"
    assert api.get(url).data == b"abcdef"
    assert api.get(url, headers={"Range": "bytes=1-4"}).data == b"bcde"
    assert complete(api, upload, order).json == done
    assert complete(api, upload, order[::-1]).status_code == 409
    assert send(api, upload, b"x").status_code == 409
    assert api.post(f"/v1/uploads/{upload['id']}/cancel").status_code == 409
    assert [count(sessions, "file_parts"), count(sessions, "file_pieces")] == [3, 3]


def test_what_does_not_fit_is_named_and_can_be_mended(api: Api, theirs: Api) -> None:
    upload, other = begun(api), begun(api)
    ids, foreign = parts(api, upload, b"abc", b"def"), parts(api, other, b"def")
    stranger = parts(theirs, begun(theirs), b"def")
    for given, more, param in (
        ([ids[0], ids[0]], {}, "part_ids"),
        ([ids[0]], {}, "part_ids"),
        ([ids[0], *foreign], {}, "part_ids.1"),
        ([ids[0], *stranger], {}, "part_ids.1"),
        ([ids[0], "part_x"], {}, "part_ids.1"),
        (ids, {"md5": hashlib.md5(b"defabc").hexdigest()}, "md5"),
        (ids, {"md5": "x"}, "md5"),
    ):
        refused = complete(api, upload, given, **more)
        assert (refused.status_code, refused.json["error"]["param"]) == (400, param)
    assert complete(api, upload, ids).json["status"] == "completed"


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"bytes": -1}, "bytes"),
        ({"bytes": "6"}, "bytes"),
        ({"purpose": "batch_output"}, "purpose"),
        ({"filename": "a\nb"}, "filename"),
        ({"mime_type": ""}, "mime_type"),
        ({"expires_after": {"anchor": "created_at", "seconds": 1}}, "expires_after.seconds"),
    ],
)
def test_upload_that_cannot_be_is_refused(api: Api, changes: dict[str, Any], param: str) -> None:
    refused = api.post("/v1/uploads", json=GIVEN | changes)
    assert (refused.status_code, refused.json["error"]["param"]) == (400, param)


def test_cancelled_upload_is_erased(api: Api, sessions: Sessions) -> None:
    upload = begun(api)
    ids = parts(api, upload, b"abcdef")
    for _ in range(2):
        assert api.post(f"/v1/uploads/{upload['id']}/cancel").json["status"] == "cancelled"
    assert complete(api, upload, ids).status_code == send(api, upload, b"x").status_code == 409
    assert count(sessions, "file_pieces") == count(sessions, "file_parts") == 0


def test_upload_that_is_forgotten_expires(api: Api, sessions: Sessions, client: redis.Redis) -> None:
    """At once for who asks, by a chore for the disk; after a day nobody knows of it."""
    upload, live = begun(api), begun(api)
    ids = parts(api, upload, b"abcdef")
    [kept] = parts(api, live, b"abcdef")
    run(sessions, f"UPDATE uploads SET expires_at = now() WHERE id = '{upload['id'].removeprefix('upload_')}'")
    refused = complete(api, upload, ids)
    assert (refused.status_code, "expired" in refused.json["error"]["message"]) == (409, True)
    sweeper = made(sessions, client, Post(client))
    sweep(sweeper)
    assert count(sessions, "file_pieces") == 1
    assert complete(api, live, [kept]).json["status"] == "completed"
    run(sessions, "UPDATE uploads SET expires_at = now() - interval '25 hours'; DELETE FROM rounds")
    sweep(sweeper)
    assert [count(sessions, "uploads"), count(sessions, "files")] == [0, 1]
    assert complete(api, upload, ids).status_code == 404


def test_file_of_an_upload_may_be_empty_and_be_deleted(api: Api) -> None:
    """Of a completed upload whose file is gone, the file isn't told."""
    upload = begun(api, bytes=0, purpose="vision")
    done = complete(api, upload, []).json
    assert api.get(f"/v1/files/{done['file']['id']}/content").data == b""
    assert api.ask("DELETE", f"/v1/files/{done['file']['id']}").json["deleted"]
    assert complete(api, upload, []).status_code == 409


class Watched(Stores):
    """Notes whether whoever asks a store has the turn of a request that is worked for."""

    def of(self, name: str) -> Store:
        self.__dict__.setdefault("asked", []).append("working" in g)
        return super().of(name)


def test_no_turn_is_held_while_the_store_is_asked(api: Api, app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading an upload again for its digest, and erasing, may take as long as a store does."""
    serving = app.extensions["forebay"]
    stores = Watched(serving.stores.settings, serving.sessions)
    monkeypatch.setattr(serving, "stores", stores)
    upload, other = begun(api), begun(api)
    ids = parts(api, upload, b"abcdef")
    parts(api, other, b"abcdef")
    done = complete(api, upload, ids, md5=hashlib.md5(b"abcdef").hexdigest()).json
    assert api.post(f"/v1/uploads/{other['id']}/cancel").status_code == 200
    assert api.ask("DELETE", f"/v1/files/{done['file']['id']}").status_code == 200
    assert stores.__dict__["asked"] == [False, False, False]
