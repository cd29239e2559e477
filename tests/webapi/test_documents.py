"""Bringing documents, as JSON and as forms, looking at them and deleting them."""

import io
import json
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.test import TestResponse, encode_multipart

from db.session import Sessions
from tasks import ids
from tasks.documents import library
from tasks.keys import Caller
from tests import tables
from tests.webapi.conftest import Api
from webapi.capacity import Turns

DOCUMENT_FIELDS = [
    "id", "object", "collection", "title", "filename", "external_id", "kind", "charset", "metadata",
    "bytes", "digest", "archive", "duplicate_of", "status", "chunks", "tokens", "warnings", "error", "created_at",
    "links",
]  # fmt: skip
GIVEN = {"collection": "books", "documents": [{"text": "one"}]}
NAMES_REFUSED = ["", " ", "a b", "a/b", "../x", ".x", "-x", "x" * 65, "ä", "books\n", "a\tb"]

REFUSED = [
    ({"collection": None}, "collection"),
    ({"collection": 5}, "collection"),
    *(({"collection": name}, "collection") for name in NAMES_REFUSED),
    ({"documents": None}, "documents"),
    ({"documents": []}, "documents"),
    ({"documents": {}}, "documents"),
    ({"documents": "one"}, "documents"),
    ({"documents": [{"text": "x"}] * 101}, "documents"),
    ({"documents": ["one"]}, "documents.0"),
    ({"documents": [{"text": "x"}, {}]}, "documents.1.text"),
    ({"documents": [{"text": ""}]}, "documents.0.text"),
    ({"documents": [{"text": " \n\t\u2003"}]}, "documents.0.text"),
    ({"documents": [{"text": 5}]}, "documents.0.text"),
    ({"documents": [{"text": ["x"]}]}, "documents.0.text"),
    ({"documents": [{"text": "x" * 4_000_001}]}, "documents.0.text"),
    ({"documents": [{"text": "x", "title": ""}]}, "documents.0.title"),
    ({"documents": [{"text": "x", "title": "x" * 513}]}, "documents.0.title"),
    ({"documents": [{"text": "x", "title": 5}]}, "documents.0.title"),
    ({"documents": [{"text": "x", "kind": "pdf"}]}, "documents.0.kind"),
    ({"documents": [{"text": "x", "metadata": []}]}, "documents.0.metadata"),
    ({"documents": [{"text": "x", "metadata": "x"}]}, "documents.0.metadata"),
    ({"documents": [{"text": "x", "metadata": {"k": None}}]}, "documents.0.metadata.k"),
    ({"documents": [{"text": "x", "metadata": {"k": ["x"]}}]}, "documents.0.metadata.k"),
    ({"documents": [{"text": "x", "metadata": {"k": {"deep": 1}}}]}, "documents.0.metadata.k"),
    ({"documents": [{"text": "x", "metadata": {"k": "v" * 513}}]}, "documents.0.metadata.k"),
    ({"documents": [{"text": "x", "metadata": {"k" * 65: "v"}}]}, "documents.0.metadata." + "k" * 64),
    ({"documents": [{"text": "x", "metadata": {str(i): i for i in range(17)}}]}, "documents.0.metadata"),
    ({"model": "alpha"}, "model"),
    ({"model": "nobody"}, "model"),
    ({"model": 5}, "model"),
    ({"lane": "express"}, "lane"),
    ({"priority": 10}, "priority"),
    ({"priority": "5"}, "priority"),
    ({"metadata": {}}, "metadata"),
    ({"texts": []}, "texts"),
]

MALFORMED = [
    (b'{"collection": "a\\u0000"}', "collection"),
    (b'{"documents": [{"text": "a\\u0000"}]}', "documents.0.text"),
    (b'{"documents": [{"text": "\\ud800"}]}', "documents.0.text"),
    (b'{"documents": [{"metadata": {"k": 1e999}}]}', "documents.0.metadata.k"),
    (b'{"documents": [{"metadata": {"k": ' + b"9" * 5000 + b"}}]}", "documents.0.metadata.k"),
    (b'{"documents": [{"metadata": {"k": NaN}}]}', "documents.0.metadata.k"),
    (b'{"documents": [{"metadata": {"\\u0000": 1}}]}', "documents.0.metadata"),
    (b'{"documents": [{"metadata": ' + b'{"a":' * 100_000, "documents"),
    (b"[" * 100_000, None),
    (b"\xff", None),
    (b"", None),
]


def stored(sessions: Sessions, statement: str) -> list[Any]:
    with sessions() as session:
        return [tuple(row) for row in session.execute(text(statement))]


def upload(api: Api, *files: tuple[bytes, str], **fields: str) -> TestResponse:
    """A form with these files (contents, name)."""
    parts = [FileStorage(io.BytesIO(raw), name) for raw, name in files]
    whole = [*({"collection": "books"} | fields).items(), *(("file", part) for part in parts)]
    boundary, encoded = encode_multipart(MultiDict(whole))
    return api.post("/v1/documents", data=encoded, content_type=f"multipart/form-data; boundary={boundary}")


def test_texts_are_accepted_as_a_job(api: Api, sessions: Sessions) -> None:
    """The answer is the job, whose result will tell of every document."""
    document = {"text": "one", "title": "One", "metadata": {"s": "x", "n": 1.5, "b": True, "i": 2}}
    given = {**GIVEN, "documents": [document, {"text": "two", "title": None}], "lane": "batch", "priority": 7}
    response = api.post("/v1/documents", json=given)
    job = response.json
    assert (response.status_code, job["type"], job["model"], job["status"]) == (202, "ingest", "embedder", "queued")
    assert (job["lane"], job["priority"]) == ("batch", 7)
    assert response.headers["Location"] == job["links"]["self"] == f"/v1/jobs/{job['id']}"
    second, first = api.get("/v1/documents").json["data"]
    assert list(first) == DOCUMENT_FIELDS
    assert (first["title"], first["metadata"], first["kind"]) == ("One", document["metadata"], "text")
    assert (first["status"], first["bytes"], first["links"]["job"]) == ("pending", 3, job["links"]["self"])
    assert (second["title"], second["metadata"]) == (None, {})
    assert api.get(first["links"]["self"]).json == first
    assert tables.column(sessions, ids.parse(job["id"]), "stage") == "embed_documents"


def test_files_are_accepted_as_they_are(api: Api, sessions: Sessions) -> None:
    """What kind a file is its name tells; nobody looks into it here. The form's fields are every file's."""
    files = [
        (b"%PDF \x00\xff", "A file.PDF"),
        (b"\xff\xfeh", "b.txt"),
        (b"# x", "c.md"),
        (b"<p>", "d.htm"),
        (b"<", "e.html"),
    ]
    response = upload(api, *files, title="All", metadata='{"year": 2020}', priority="3", lane="batch", model="embedder")
    assert (response.status_code, response.json["priority"], response.json["lane"]) == (202, 3, "batch")
    shown = api.get("/v1/documents").json["data"][::-1]
    assert [(one["filename"], one["kind"]) for one in shown] == [
        ("A file.PDF", "pdf"), ("b.txt", "text"), ("c.md", "markdown"), ("d.htm", "html"), ("e.html", "html"),
    ]  # fmt: skip
    assert all((one["title"], one["metadata"]) == ("All", {"year": 2020}) for one in shown)
    rows = stored(sessions, "SELECT raw FROM document_texts ORDER BY document_id")
    assert [bytes(raw) for (raw,) in rows] == [raw for raw, _ in files]
    assert stored(sessions, "SELECT stage, queue FROM jobs") == [("extract", "control")]


@pytest.mark.parametrize(
    ("header", "fields", "charset"),
    [
        ("text/plain; charset=Windows-1252", {}, "cp1252"),
        ("text/plain; charset=utf-8", {"charset": "x-sjis"}, "cp932"),
        ("text/plain", {"charset": "latin1"}, "cp1252"),
        ("text/plain", {}, None),
    ],
)
def test_declared_charset_is_kept(
    api: Api, sessions: Sessions, header: str, fields: dict[str, str], charset: str | None
) -> None:
    """By the field, else by the header of the file's part; by our name for it."""
    part = FileStorage(io.BytesIO(b"x"), "a.txt", content_type=header)
    whole = [*({"collection": "books"} | fields).items(), ("file", part)]
    boundary, encoded = encode_multipart(MultiDict(whole))
    type_ = f"multipart/form-data; boundary={boundary}"
    assert api.post("/v1/documents", data=encoded, content_type=type_).status_code == 202
    assert stored(sessions, "SELECT charset FROM documents") == [(charset,)]


def test_charset_of_a_part_that_is_not_known_is_named(api: Api) -> None:
    part = FileStorage(io.BytesIO(b"x"), "a.txt", content_type="text/plain; charset=nope")
    boundary, encoded = encode_multipart(MultiDict([("collection", "books"), ("file", part)]))
    response = api.post("/v1/documents", data=encoded, content_type=f"multipart/form-data; boundary={boundary}")
    assert (response.status_code, response.json["error"]["param"]) == (422, "file"), response.text


def test_end_of_an_ingest_is_told_where_its_request_says(api: Api) -> None:
    """As of any job, whether texts came or files; a URL that nothing may be sent to is refused in both."""
    urls = [f"https://example.com/{form}" for form in ("texts", "files")]
    jobs = [
        api.post("/v1/documents", json={**GIVEN, "webhook": {"url": urls[0]}}).json,
        upload(api, (b"x", "a.txt"), webhook=json.dumps({"url": urls[1], "events": ["job.cancelled"]})).json,
    ]
    for job in jobs:
        api.post(job["links"]["cancel"])
    told = api.get("/v1/deliveries").json["data"][::-1]
    assert [(one["job"], one["url"]) for one in told] == [(job["id"], url) for job, url in zip(jobs, urls, strict=True)]
    for wrong, field in (
        ({"url": "https://10.0.0.1/"}, ".url"),
        ({}, ".url"),
        ([], ""),
        ({"url": urls[0], "odd": 1}, ".odd"),
    ):
        texts = api.post("/v1/documents", json={**GIVEN, "webhook": wrong})
        files = upload(api, (b"x", "a.txt"), webhook=json.dumps(wrong))
        assert texts.status_code == 422
        assert files.status_code in (400, 422)
        assert {response.json["error"]["param"] for response in (texts, files)} == {f"webhook{field}"}


@pytest.mark.parametrize(("changes", "field"), REFUSED)
def test_wrong_field_is_a_422_that_names_it(api: Api, changes: dict[str, Any], field: str) -> None:
    """Whatever can't be accepted is refused with the path of the field, and nothing is kept."""
    response = api.post("/v1/documents", json={**GIVEN, **changes})
    assert (response.status_code, response.json["error"]["param"]) == (422, field), response.text
    assert api.get("/v1/documents").json["data"] == []
    assert api.get("/v1/collections").json["data"] == []
    assert api.get("/v1/jobs").json["data"] == []


@pytest.mark.parametrize(("raw", "field"), MALFORMED)
def test_malformed_body_is_a_400_that_says_where(api: Api, raw: bytes, field: str | None) -> None:
    """An ingest's body is read as every other body is."""
    response = api.post("/v1/documents", data=raw, content_type="application/json")
    assert (response.status_code, response.json["error"]["param"]) == (400, field), response.text


@pytest.mark.parametrize(
    ("files", "fields", "field"),
    [
        ([], {}, "file"),
        ([(b"", "a.txt")], {}, "file"),
        ([(b"x", "a.exe")], {}, "file"),
        ([(b"x", "txt")], {}, "file"),
        ([(b"x", "a.txt.gz")], {}, "file"),
        ([(b"x", "a" * 252 + ".txt")], {}, "file"),
        ([(b"x", "folder/.")], {}, "file"),
        ([(b"x", "a.txt")] * 21, {}, "file"),
        ([(b"x", "a.txt")], {"collection": "a/b"}, "collection"),
        ([(b"x", "a.txt")], {"title": ""}, "title"),
        ([(b"x", "a.txt")], {"title": "x" * 513}, "title"),
        ([(b"x", "a.txt")], {"title": "x" * 70_000}, "title"),
        ([(b"x", "a.txt")], {"metadata": '{"k": []}'}, "metadata.k"),
        ([(b"x", "a.txt")], {"metadata": '{"k": {"deep": {}}}'}, "metadata.k"),
        ([(b"x", "a.txt")], {"priority": "ten"}, "priority"),
        ([(b"x", "a.txt")], {"priority": "10"}, "priority"),
        ([(b"x", "a.txt")], {"priority": "9" * 5000}, "priority"),
        ([(b"x", "a.txt")], {"priority": "-1"}, "priority"),
        ([(b"x", "a.txt")], {"priority": "٣"}, "priority"),
        ([(b"x", "a.txt")], {"lane": "express"}, "lane"),
        ([(b"x", "a.txt")], {"model": "alpha"}, "model"),
        ([(b"x", "a.txt")], {"documents": "[]"}, "documents"),
        ([(b"x", "a.txt")], {"charset": "no-such"}, "charset"),
        ([(b"x", "a.txt")], {"charset": "rot13"}, "charset"),
        ([(b"x", "a.txt")], {"charset": ""}, "charset"),
        ([(b"x", "a.txt")], {"x" * 100: "y"}, "x" * 64),
    ],
)  # fmt: skip
def test_wrong_form_is_a_422_that_names_the_field(
    api: Api, files: list[tuple[bytes, str]], fields: dict[str, str], field: str
) -> None:
    """Text fields go through the same checks as JSON."""
    response = upload(api, *files, **fields)
    assert (response.status_code, response.json["error"]["param"]) == (422, field), response.text
    assert api.get("/v1/documents").json["data"] == []


@pytest.mark.parametrize(
    ("metadata", "field"),
    [
        ("", "metadata"), ("[]", "metadata"), ("{", "metadata"), ('{"k": NaN}', "metadata.k"),
        ('{"k": 1, "k": 2}', "metadata.k"), ('{"k": "\\u0000"}', "metadata.k"), ('{"k":' * 50_000, "metadata"),
        ('{"k":' * 9_000, "metadata.k"), ('{"k": ' + "9" * 30 + "}", "metadata.k"), ('{"\\ud800": 1}', "metadata"),
    ],
)  # fmt: skip
def test_metadata_that_is_no_json_object_is_named(api: Api, metadata: str, field: str) -> None:
    """The text of a form's field is read like a body."""
    response = upload(api, (b"x", "a.txt"), metadata=metadata)
    assert (response.status_code in (400, 422), response.json["error"]["param"]) == (True, field), response.text


@pytest.mark.parametrize("name", ["/etc/a.txt", "../../a.txt", " a.txt "])
def test_only_the_last_part_of_a_files_name_is_kept(api: Api, name: str) -> None:
    """Some clients send folders along; nobody needs to know them."""
    assert upload(api, (b"x", name)).status_code == 202
    assert api.get("/v1/documents").json["data"][0]["filename"] == "a.txt"


@pytest.mark.parametrize(
    "type_", ["text/plain", "application/x-www-form-urlencoded", "multipart/mixed; boundary=x", None]
)
def test_other_media_type_is_a_415(api: Api, type_: str | None) -> None:
    """JSON and forms are read, nothing else."""
    response = api.post("/v1/documents", data=b"{}", content_type=type_)
    assert (response.status_code, response.json["error"]["code"]) == (415, "unsupported_media_type")


def test_body_limit_of_uploads_is_their_own(app: Flask, api: Api) -> None:
    """More than other routes take, and not more than that, whether its length is announced or not."""
    limits = app.extensions["forebay"].settings
    file = b"x" * (limits.max_body_bytes + 1)
    assert upload(api, (file, "a.txt")).status_code == 202
    assert api.post("/v1/jobs", data=b" " * len(file), content_type="application/json").status_code == 413
    large = b" " * (limits.max_upload_bytes + 1)
    for type_ in ("application/json", "multipart/form-data; boundary=x"):
        announced = api.post("/v1/documents", data=large, content_type=type_)
        chunked = api.post(
            "/v1/documents", input_stream=io.BytesIO(large), content_type=type_,
            environ_overrides={"wsgi.input_terminated": True},
        )  # fmt: skip
        assert (announced.status_code, chunked.status_code) == (413, 413)


def test_few_large_bodies_are_in_memory_at_a_time(app: Flask, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small ones don't wait for them; a large one that would have to wait long is a 503."""
    serving = app.extensions["forebay"]
    taken = Turns(1, "large bodies", line=1, patience_s=0.01)
    taken.take("another")
    monkeypatch.setattr(serving, "_large", taken)
    response = upload(api, (b"x" * 2_000_000, "a.txt"))
    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    assert upload(api, (b"x", "a.txt")).status_code == 202
    taken.give_back("another")
    assert upload(api, (b"x" * 2_000_000, "a.txt")).status_code == 202


def test_another_model_than_the_collections_is_refused(api: Api) -> None:
    """A collection has the vectors of one model."""
    api.bring()
    assert api.bring(model="embedder")["collection"] == "books"
    response = api.post("/v1/documents", json={**GIVEN, "model": "alpha"})
    assert (response.status_code, response.json["error"]["param"]) == (422, "model")


def test_pages_give_every_document_once_newest_first(api: Api) -> None:
    """Following `next` to its end walks over all documents of a collection."""
    api.bring(collection="other")
    made = [api.bring()["id"] for _ in range(5)]
    seen: list[str] = []
    cursor: str | None = None
    for _ in range(3):
        page = api.get(f"/v1/documents?collection=books&limit=2{f'&after={cursor}' if cursor else ''}").json
        seen += [document["id"] for document in page["data"]]
        cursor = page["next"]
    assert (seen, cursor) == (made[::-1], None)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("documents?limit=0", "limit"), ("documents?limit=101", "limit"), ("documents?limit=x", "limit"),
        ("documents?after=doc_x", "after"), ("documents?after=job_" + "0" * 32, "after"), ("documents?after=", "after"),
        ("documents?after=%00", "after"), ("documents?collection=%00", "collection"), ("documents?sort=up", "sort"),
        ("documents?collection=", "collection"), ("documents?collection=a%2Fb", "collection"),
        ("collections?limit=0", "limit"), ("collections?after=%00", "after"), ("collections?after=", "after"),
        ("collections?x=1", "x"), ("collections?limit=" + "9" * 5000, "limit"),
    ],
)  # fmt: skip
def test_wrong_query_is_a_422_that_names_it(api: Api, query: str, field: str) -> None:
    """A list that would silently be another one than was asked for is refused."""
    response = api.get(f"/v1/{query}")
    assert (response.status_code, response.json["error"]["param"]) == (422, field)


@pytest.mark.parametrize(
    "shown", ["doc_" + "0" * 32, "job_" + "0" * 32, "x", "%00", "doc_" + "0" * 5000, "..%2f..", "%F0%9F"]
)
def test_unknown_document_or_collection_is_a_404(api: Api, shown: str) -> None:
    """Whatever isn't an id or a name is answered as what isn't there."""
    for path in ("documents", "collections"):
        for method in ("GET", "DELETE"):
            response = api.ask(method, f"/v1/{path}/{shown}")
            assert (response.status_code, response.json["error"]["code"]) == (404, "not_found")
    assert api.get("/v1/documents?collection=nothing").status_code == 404


def test_deleted_document_is_gone(api: Api, sessions: Sessions) -> None:
    """A 204, and from then on a 404; a job that is at it goes on with the others."""
    document = api.bring()
    response = api.ask("DELETE", document["links"]["self"])
    assert (response.status_code, response.data) == (204, b"")
    assert api.get(document["links"]["self"]).status_code == 404
    assert api.ask("DELETE", document["links"]["self"]).status_code == 404
    assert stored(sessions, "SELECT count(*) FROM document_texts") == [(0,)]


def test_collections_are_listed_shown_and_deleted(api: Api, sessions: Sessions) -> None:
    """By name, a page at a time, with what is in them."""
    for name in ("maps", "books"):
        api.bring(collection=name)
    page = api.get("/v1/collections?limit=1").json
    [books] = page["data"]
    assert (books["name"], books["object"], books["model"], page["next"]) == (
        "books",
        "collection",
        "embedder",
        "books",
    )
    assert (books["dimensions"], books["documents"], books["chunks"]) == (None, 1, 0)
    rest = api.get("/v1/collections?limit=1&after=books").json
    assert ([made["name"] for made in rest["data"]], rest["next"]) == (["maps"], None)
    assert api.get(books["links"]["self"]).json == books
    assert len(api.get(books["links"]["documents"]).json["data"]) == 1
    assert api.ask("DELETE", "/v1/collections/books").status_code == 204
    assert api.get("/v1/collections/books").status_code == 404
    assert [made["name"] for made in api.get("/v1/collections").json["data"]] == ["maps"]
    assert stored(sessions, "SELECT count(*) FROM documents") == [(1,)]


def test_documents_of_a_cancelled_job_have_failed(api: Api, sessions: Sessions, caller: Caller) -> None:
    """Who looks learns that nobody comes back to them."""
    document = api.bring()
    api.post(f"{document['links']['job']}/cancel")
    shown = api.get(document["links"]["self"]).json
    assert (shown["status"], shown["error"]["code"]) == ("failed", "cancelled")
    with sessions.begin() as session:
        assert library.collection(session, caller, "books").chunks == 0


def test_number_that_is_large_is_shown_as_it_was_given(api: Api) -> None:
    """One with more digits than a whole number of 64 bits has; the list that it stands in can be read, too."""
    document = api.bring(documents=[{"text": "one", "metadata": {"mass": 1.5e25}}])
    assert document["metadata"] == {"mass": 1.5e25}
    assert api.get(f"/v1/documents/{document['id']}").json["metadata"] == {"mass": 1.5e25}
