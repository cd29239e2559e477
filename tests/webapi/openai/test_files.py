"""Files: kept as they come, listed, read by ranges, deleted, expired; refused before a byte of them is kept."""

import socket
import threading
from dataclasses import replace
from typing import Any

import pytest
import redis
from flask import Flask
from sqlalchemy import text
from werkzeug.test import TestResponse

from db.session import Sessions
from tasks.files.store import PIECE_BYTES
from tasks.files.stores import Stores
from tasks.settings import FileSettings
from tests.support.post import Post
from tests.tasks.sweep.sweeping import made, sweep
from tests.webapi.conftest import Api

LARGE = bytes(range(256)) * 4096 * 2 + b"the end"  # of three pieces


def send(api: Api, raw: bytes = b"one\ntwo\n", name: str = "one.jsonl", **texts: str) -> TestResponse:
    fields = [(field, None, value.encode()) for field, value in {"purpose": "batch", **texts}.items()]
    return form(api, [*fields, ("file", name, raw)])


def form(api: Api, parts: list[tuple[str, str | None, bytes]], end: bytes = b"--b--\r\n") -> TestResponse:
    body = b"".join(_part(*part) for part in parts) + end
    return api.post("/v1/files", data=body, headers={"Content-Type": "multipart/form-data; boundary=b"})


def kept(api: Api, raw: bytes = b"one\ntwo\n", name: str = "one.jsonl", **texts: str) -> dict[str, Any]:
    response = send(api, raw, name, **texts)
    assert response.status_code == 200, response.text
    return dict(response.json or {})


def count(sessions: Sessions, table: str) -> int:
    with sessions() as session:
        return session.scalar(text(f"SELECT count(*) FROM {table}")) or 0


def run(sessions: Sessions, statement: str) -> None:
    with sessions.begin() as session:
        session.execute(text(statement))


@pytest.mark.parametrize("raw", [b"", b"x", b"\0\r\n--\xff", LARGE, LARGE[:PIECE_BYTES]], ids=len)
def test_what_was_sent_is_read_again(api: Api, raw: bytes) -> None:
    """Whatever its bytes, none of them too."""
    file = kept(api, raw)
    assert (file["object"], file["bytes"], file["status"]) == ("file", len(raw), "processed")
    assert api.get(f"/v1/files/{file['id']}").json == file
    content = api.get(f"/v1/files/{file['id']}/content")
    assert content.data == raw
    assert content.headers["Content-Type"] == "application/octet-stream"
    assert content.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("asked", "span"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=5-9", (5, 10)),
        (f"bytes={PIECE_BYTES - 2}-{PIECE_BYTES + 1}", (PIECE_BYTES - 2, PIECE_BYTES + 2)),
        ("bytes=-7", (len(LARGE) - 7, len(LARGE))),
        (f"bytes={2 * PIECE_BYTES}-", (2 * PIECE_BYTES, len(LARGE))),
        ("bytes=0-99999999", (0, len(LARGE))),
        ("bytes=-99999999", (0, len(LARGE))),
    ],
)
def test_range_is_answered_alone(api: Api, asked: str, span: tuple[int, int]) -> None:
    url = f"/v1/files/{kept(api, LARGE)['id']}/content"
    part = api.get(url, headers={"Range": asked})
    assert (part.status_code, part.data) == (206, LARGE[slice(*span)])
    assert part.headers["Content-Range"] == f"bytes {span[0]}-{span[1] - 1}/{len(LARGE)}"
    head = api.ask("HEAD", url, headers={"Range": asked})
    assert (head.status_code, head.data) == (206, b"")
    assert head.headers["Content-Length"] == str(span[1] - span[0])


def test_ranges_that_mean_all_or_nothing(api: Api) -> None:
    """Several, and those of another version, are answered with all; one beyond the end is refused with the size."""
    url = f"/v1/files/{kept(api)['id']}/content"
    for headers in ({"Range": "bytes=0-1,3-4"}, {"Range": "lines=1-2"}, {"Range": "bytes=0-1", "If-Range": '"other"'}):
        assert (api.get(url, headers=headers).status_code, api.get(url, headers=headers).data) == (200, b"one\ntwo\n")
    tag = api.get(url).headers["ETag"]
    assert api.get(url, headers={"Range": "bytes=0-1", "If-Range": tag}).data == b"on"
    assert api.get(url, headers={"If-None-Match": tag}).status_code == 304
    beyond = api.get(url, headers={"Range": "bytes=8-"})
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, "bytes */8")
    assert beyond.json["error"]["type"] == "invalid_request_error"
    assert api.get(f"/v1/files/{kept(api, b'')['id']}/content", headers={"Range": "bytes=0-"}).status_code == 416
    assert api.get(f"/v1/files/{kept(api, b'')['id']}/content", headers={"Range": "bytes=-1"}).status_code == 416


def test_names_are_told_and_lead_nowhere(api: Api) -> None:
    """Folders are cut off, any script is taken, and a browser saves what it reads."""
    for name, told, disposed in (
        ("../../etc/passwd", "passwd", "attachment; filename=passwd"),
        ('C:\\über "x".txt', 'über "x".txt', 'attachment; filename="_ber \\"x\\".txt"; filename*='),
        ("資料.jsonl", "資料.jsonl", "attachment; filename=__.jsonl; filename*=UTF-8''%E8%B3%87%E6%96%99.jsonl"),
    ):
        file = kept(api, name=name)
        assert file["filename"] == told
        assert api.get(f"/v1/files/{file['id']}/content").headers["Content-Disposition"].startswith(disposed)


def test_lists_come_in_pages_in_either_order(api: Api, theirs: Api) -> None:
    kept(theirs)
    ids = [kept(api, purpose=purpose)["id"] for purpose in ("batch", "assistants", "batch", "vision")]
    page = api.get("/v1/files?limit=3").json
    assert ([file["id"] for file in page["data"]], page["has_more"]) == (ids[:0:-1], True)
    assert (page["first_id"], page["last_id"]) == (ids[3], ids[1])
    rest = api.get(f"/v1/files?limit=3&after={page['last_id']}").json
    assert ([file["id"] for file in rest["data"]], rest["has_more"]) == (ids[:1], False)
    assert [file["id"] for file in api.get("/v1/files?order=asc").json["data"]] == ids
    assert [file["id"] for file in api.get(f"/v1/files?order=asc&after={ids[1]}").json["data"]] == ids[2:]
    assert [file["id"] for file in api.get("/v1/files?purpose=batch").json["data"]] == [ids[2], ids[0]]
    assert api.get("/v1/files?purpose=none").json == {
        "object": "list",
        "data": [],
        "first_id": None,
        "last_id": None,
        "has_more": False,
    }
    for query, param in (("limit=-1", "limit"), ("limit=10001", "limit"), ("order=up", "order"), ("after=x", "after")):
        refused = api.get(f"/v1/files?{query}")
        assert (refused.status_code, refused.json["error"]["param"]) == (400, param)


def test_deleted_file_is_gone_with_its_bytes(api: Api, theirs: Api, sessions: Sessions) -> None:
    file_id = kept(api, LARGE)["id"]
    assert theirs.ask("DELETE", f"/v1/files/{file_id}").status_code == 404
    assert api.ask("DELETE", f"/v1/files/{file_id}").json == {"id": file_id, "object": "file", "deleted": True}
    for method, end in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
        assert api.ask(method, f"/v1/files/{file_id}{end}").status_code == 404
    assert [count(sessions, table) for table in ("files", "file_parts", "file_pieces")] == [0, 0, 0]


def test_batch_files_expire_after_thirty_days_unless_it_is_said(api: Api) -> None:
    after = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
    for texts, seconds in (({}, 30 * 86_400), ({"purpose": "vision"}, None), ({"purpose": "evals", **after}, 3600)):
        file = kept(api, **texts)
        assert file.get("expires_at") == (seconds and file["created_at"] + seconds)


def test_expired_file_is_not_there_and_its_bytes_go(api: Api, sessions: Sessions, client: redis.Redis) -> None:
    """At once for who asks, by a chore for the disk."""
    old, young = kept(api, LARGE)["id"], kept(api)["id"]
    run(sessions, f"UPDATE files SET expires_at = now() WHERE id = '{old.removeprefix('file-')}'")
    assert api.get(f"/v1/files/{old}").status_code == api.get(f"/v1/files/{old}/content").status_code == 404
    assert [file["id"] for file in api.get("/v1/files").json["data"]] == [young]
    assert count(sessions, "file_pieces") == 4
    sweep(made(sessions, client, Post(client)))
    assert [count(sessions, table) for table in ("files", "file_parts", "file_pieces")] == [1, 1, 1]
    assert api.get(f"/v1/files/{young}/content").data == b"one\ntwo\n"


@pytest.mark.parametrize(
    ("texts", "param"),
    [
        ({"purpose": "batch_output"}, "purpose"),
        ({"purpose": ""}, "purpose"),
        ({"colour": "red"}, "colour"),
        ({"expires_after[seconds]": "3600"}, "expires_after.anchor"),
        ({"expires_after[anchor]": "created_at", "expires_after[seconds]": "3599"}, "expires_after.seconds"),
        ({"expires_after[anchor]": "created_at", "expires_after[seconds]": "1e5"}, "expires_after.seconds"),
        ({"expires_after[anchor]": "created_at", "expires_after[seconds]": "9" * 5000}, "expires_after.seconds"),
        ({"expires_after[anchor]": "created_at", "expires_after[seconds]": "٣٦٠٠"}, "expires_after.seconds"),
        ({"expires_after[anchor]": "last_active_at", "expires_after[seconds]": "3600"}, "expires_after.anchor"),
        ({"purpose": "bat\0ch"}, "purpose"),
    ],
)
def test_what_is_wrong_is_named_before_a_byte_is_kept(
    api: Api, sessions: Sessions, texts: dict[str, str], param: str
) -> None:
    refused = send(api, LARGE, **texts)
    assert (refused.status_code, refused.json["error"]["param"]) == (400, param)
    assert count(sessions, "file_parts") == 0


def test_what_is_wrong_behind_the_file_leaves_nothing_of_it(api: Api, sessions: Sessions) -> None:
    """Some clients say the purpose last, or something on either side; some send two files, or break off."""
    file, purpose = ("file", "x", LARGE), ("purpose", None, b"batch")
    expires, seconds = ("expires_after[anchor]", None, b"created_at"), ("expires_after[seconds]", None, b"3600")
    for parts, end, status in (
        ([file, purpose], b"--b--\r\n", 200),
        ([expires, file, purpose, seconds], b"--b--\r\n", 200),
        ([expires, file, purpose], b"--b--\r\n", 400),
        ([file, ("purpose", None, b"x")], b"--b--\r\n", 400),
        ([purpose, file, file], b"--b--\r\n", 400),
        ([purpose, file], b"", 400),
        ([purpose], b"--b--\r\n", 400),
        ([purpose, ("file", "a\0b", b"x")], b"--b--\r\n", 400),
    ):
        sent = form(api, parts, end)
        assert sent.status_code == status, sent.text
    assert [count(sessions, table) for table in ("files", "file_parts", "file_pieces")] == [2, 2, 6]


def _part(name: str, filename: str | None, raw: bytes) -> bytes:
    quoted = filename and filename.replace("\\", "\\\\").replace('"', '\\"')
    named = f'; filename="{quoted}"' if quoted else ""
    return b'--b\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\n%b\r\n' % (name.encode(), named.encode(), raw)


def test_bodies_that_are_no_form_or_too_large_are_refused(
    api: Api, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert api.post("/v1/files", json={"purpose": "batch"}).status_code == 415
    assert (
        api.post(
            "/v1/files",
            data={"purpose": "batch"},
            headers={"Content-Encoding": "gzip", "Content-Type": "multipart/form-data"},
        ).status_code
        == 415
    )
    _have(app, monkeypatch, max_file_bytes=10)
    assert send(api, b"x" * 10).status_code == 200
    refused = send(api, b"x" * 70_000)
    assert (refused.status_code, refused.json["error"]["code"]) == (413, "body_too_large")


def test_tenant_keeps_no_more_than_it_may(
    api: Api, theirs: Api, app: Flask, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is deleted makes room; another tenant has its own."""
    _have(app, monkeypatch, max_kept_file_bytes=10_000)
    first = kept(api, b"x" * 9_000)["id"]
    refused = send(api, b"y" * 2_000)
    assert (refused.status_code, refused.json["error"]["code"]) == (409, "limit_reached")
    assert (refused.json["error"]["param"], refused.headers["x-should-retry"]) == ("file", "false")
    upload = {"filename": "x", "purpose": "batch", "bytes": 2_000, "mime_type": "text/plain"}
    assert api.post("/v1/uploads", json=upload).json["error"]["param"] == "bytes"
    assert [count(sessions, "files"), count(sessions, "file_parts")] == [1, 1]
    kept(theirs, b"x" * 9_000)
    api.ask("DELETE", f"/v1/files/{first}")
    kept(api, b"y" * 2_000)


def _have(app: Flask, monkeypatch: pytest.MonkeyPatch, **changes: int) -> None:
    """Other settings for the app, until the test is over."""
    serving = app.extensions["forebay"]
    monkeypatch.setattr(serving, "settings", replace(serving.settings, **changes))


def test_store_that_hangs_is_a_503_and_holds_up_nobody_else(
    api: Api, theirs: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one tenant's bytes are on their way to a bucket that doesn't answer, in more requests than a process has
    turns, another's have theirs. How long a bucket may take is told by the tests of stores."""
    serving = api.app.extensions["forebay"]
    answers: list[TestResponse] = []
    with socket.create_server(("127.0.0.1", 0)) as silent:
        there = f"http://127.0.0.1:{silent.getsockname()[1]}"
        hangs = FileSettings("s3://b", endpoint=there, region="x", key="k", secret="s")
        monkeypatch.setattr(serving, "stores", Stores(hangs, serving.sessions))
        sending = [threading.Thread(target=lambda: answers.append(send(api))) for _ in range(10)]
        for each in sending:
            each.start()
        connection, _ = silent.accept()
        theirs.submit()
        connection.close()
    for each in sending:
        each.join()
    assert {answer.status_code for answer in answers} == {503}
    assert {answer.headers["Retry-After"] for answer in answers} != {None}
    assert api.get("/v1/files").json["data"] == []


def again(api: Api, raw: bytes = b"one\n", purpose: str = "batch") -> TestResponse:
    parts = [("purpose", None, purpose.encode()), ("file", "one.jsonl", raw)]
    body = b"".join(_part(*part) for part in parts) + b"--b--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=b", "Idempotency-Key": "k"}
    return api.post("/v1/files", data=body, headers=headers)


def test_file_is_made_once_for_its_key(api: Api, theirs: Api, sessions: Sessions) -> None:
    """Whose answer was lost may be sent again: its bytes come again, and nothing of that is kept."""
    first = again(api)
    repeated = again(api)
    assert (first.status_code, "Idempotency-Replayed" in first.headers) == (200, False)
    assert (repeated.status_code, repeated.headers["Idempotency-Replayed"], repeated.json) == (200, "true", first.json)
    assert again(theirs).json["id"] != first.json["id"]
    assert (count(sessions, "files"), count(sessions, "file_parts")) == (2, 2)


def test_file_is_known_by_its_key_where_there_is_no_room_for_it_twice(
    api: Api, app: Flask, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was answered is answered again; other bytes are refused as before, and so are its own once it is gone."""
    first = again(api, b"x" * 6_000)
    _have(app, monkeypatch, max_kept_file_bytes=10_000)
    repeated = again(api, b"x" * 6_000)
    assert (repeated.status_code, repeated.json) == (200, first.json)
    assert repeated.headers["Idempotency-Replayed"] == "true"
    assert again(api, b"y" * 6_000).json["error"]["code"] == "idempotency_mismatch"
    assert (count(sessions, "files"), count(sessions, "file_parts")) == (1, 1)
    api.ask("DELETE", f"/v1/files/{first.json['id']}")
    _have(app, monkeypatch, max_kept_file_bytes=5_000)
    gone = again(api, b"x" * 6_000)
    assert (gone.status_code, gone.json["error"]["code"]) == (409, "limit_reached")


def test_key_of_another_file_is_refused(api: Api, sessions: Sessions) -> None:
    """Other bytes, or the same for another purpose; and one of a job stands for no file."""
    again(api)
    for odd in (again(api, b"two\n"), again(api, purpose="user_data")):
        assert (odd.status_code, odd.json["error"]["code"]) == (400, "idempotency_mismatch")
    job = {"type": "generate", "input": {"prompt": "x"}}
    assert api.post("/v1/jobs", json=job, headers={"Idempotency-Key": "k"}).status_code == 422
    assert (count(sessions, "files"), count(sessions, "file_parts")) == (1, 1)


def test_key_of_a_file_that_was_deleted_makes_a_new_one(api: Api) -> None:
    first = again(api).json["id"]
    assert api.ask("DELETE", f"/v1/files/{first}").status_code == 200
    assert again(api).json["id"] != first
