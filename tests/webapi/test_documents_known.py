"""What is known of documents over HTTP: identity, doubles, text, chunks; and how collections are made."""

import hashlib
import io
from typing import Any

import numpy as np
import pytest
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.test import TestResponse, encode_multipart

from db.session import Sessions
from tasks import ids
from tasks.documents import ingest, unpacking
from tasks.documents.chunking import Piece
from tasks.documents.marks import Extracted, Grid, Heading, Marks
from tasks.keys import Caller
from tests import shelves
from tests.webapi.conftest import Api
from tests.workers import office
from workers.extraction import parent

TEXT = "# Boats\n\nA boat costs 42 coins.\n\n| a |\n|---|\n| 1 |\n| 2 |\n"
MARKS = Marks((Heading(0, 1, "Boats"),), (0, 30), (Grid(45, len(TEXT), "| a |"),))


def upload(api: Api, *names: str, **fields: str) -> TestResponse:
    parts = [FileStorage(io.BytesIO(name.encode()), name) for name in names]
    whole = [*({"collection": "books"} | fields).items(), *(("file", part) for part in parts)]
    boundary, encoded = encode_multipart(MultiDict(whole))
    return api.post("/v1/documents", data=encoded, content_type=f"multipart/form-data; boundary={boundary}")


def listed(api: Api, query: str = "") -> list[Any]:
    return list(api.get(f"/v1/documents?{query}").json["data"])


def made_ready(sessions: Sessions, caller: Caller, document: dict[str, Any], *pieces: Piece) -> None:
    document_id = ids.parse(document["id"], ids.DOCUMENT)
    assert document_id
    with sessions.begin() as session:
        ingest.extracted(session, caller.tenant_id, document_id, Extracted(TEXT, MARKS, "utf-8"))
        stored = pieces or (Piece("x", 1),)
        shelves.store(session, caller.tenant_id, document_id, stored, np.ones((len(stored), 4), np.float32))


def test_identity_of_texts_and_files_is_shown_and_asked_for(api: Api) -> None:
    """A double is told of with the document that it is one of."""
    upload(api, "a.txt", external_id="files/a")
    upload(api, "b.txt", "c.txt", external_ids='["ä/b", "c"]')
    upload(api, "b.txt", replace="true")
    api.bring(documents=[{"text": "one", "external_id": "e"}, {"text": "one"}])
    shown = listed(api)[::-1]
    assert [one["external_id"] for one in shown] == ["files/a", "ä/b", "c", None, "e", None]
    first, double = shown[4:]
    assert (first["duplicate_of"], double["duplicate_of"]) == (None, first["id"])
    assert double["digest"] == first["digest"] == "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
    assert [one["id"] for one in listed(api, "external_id=%C3%A4/b")] == [shown[1]["id"]]
    assert [one["id"] for one in listed(api, "filename=b.txt&collection=books")] == [shown[3]["id"], shown[1]["id"]]
    assert listed(api, "external_id=b.txt") == []


def test_documents_are_listed_by_the_status_they_are_shown_with(api: Api, sessions: Sessions, caller: Caller) -> None:
    """One whose job has ended without it has failed."""
    ready, pending, cancelled = (api.bring(documents=[{"text": text}]) for text in ("a", "b", "c"))
    made_ready(sessions, caller, ready)
    api.post(f"{cancelled['links']['job']}/cancel")
    found = {
        status: [one["id"] for one in listed(api, f"status={status}")] for status in ("ready", "pending", "failed")
    }
    assert found == {"ready": [ready["id"]], "pending": [pending["id"]], "failed": [cancelled["id"]]}
    assert {one["status"] for one in listed(api, "status=failed")} == {"failed"}


@pytest.mark.parametrize(
    ("names", "fields", "field"),
    [
        (["a.txt", "b.txt"], {"external_id": "e"}, "external_id"),
        (["a.txt"], {"external_id": ""}, "external_id"),
        (["a.txt"], {"external_id": "x" * 257}, "external_id"),
        (["a.txt"], {"external_id": "e", "external_ids": '["e"]'}, "external_id"),
        (["a.txt"], {"external_ids": '["a", "b"]'}, "external_ids"),
        (["a.txt", "b.txt"], {"external_ids": '["a", "a"]'}, "external_ids"),
        (["a.txt"], {"external_ids": "[5]"}, "external_ids.0"),
        (["a.txt"], {"external_ids": "{}"}, "external_ids"),
        (["a.txt"], {"external_ids": "a"}, "external_ids"),
        (["a.txt"], {"replace": "yes"}, "replace"),
        (["a.txt"], {"replace": "true", "external_id": "e"}, "replace"),
        (["a.txt", "a.txt"], {"replace": "true"}, "file"),
        (["a.txt"], {"language": "klingon"}, "language"),
        (["a.txt"], {"chunk_tokens": "63"}, "chunk_tokens"),
        (["a.txt"], {"chunk_overlap": "33"}, "chunk_overlap"),
        (["a.txt"], {"chunk_overlap": "-1"}, "chunk_overlap"),
    ],
)  # fmt: skip
def test_wrong_field_of_an_upload_is_named(api: Api, names: list[str], fields: dict[str, str], field: str) -> None:
    tokens = {"chunk_tokens": "64"} if field == "chunk_overlap" else {}
    response = upload(api, *names, **tokens, **fields)
    assert (response.status_code in (400, 422), response.json["error"]["param"]) == (True, field), response.text
    assert listed(api) == []


def test_two_texts_of_one_external_id_are_refused(api: Api) -> None:
    given = {"collection": "books", "documents": [{"text": "x", "external_id": "e"}] * 2}
    response = api.post("/v1/documents", json=given)
    assert (response.status_code, response.json["error"]["param"]) == (422, "documents.1.external_id")


def test_text_and_chunks_show_what_was_understood(api: Api, sessions: Sessions, caller: Caller) -> None:
    """Once the document is ready; a part of the text has the marks that begin in it."""
    document = api.bring()
    for what in ("text", "chunks"):
        response = api.get(f"/v1/documents/{document['id']}/{what}")
        assert (response.status_code, response.json["error"]["code"]) == (409, "conflict")
    pieces = [
        Piece(TEXT[:31], 9, 0, 31, 1, ("Boats",), None),
        Piece("| 2 |", 4, 51, 56, 2, ("Boats",), "| a |", "Boats\n| a |"),
    ]
    made_ready(sessions, caller, document, *pieces)
    whole = api.get(f"/v1/documents/{document['id']}/text").json
    assert (whole["text"], whole["begins"], whole["ends"], whole["characters"]) == (TEXT, 0, len(TEXT), len(TEXT))
    assert whole["charset"] == "utf-8"
    assert whole["marks"] == {
        "headings": [{"at": 0, "level": 1, "title": "Boats"}], "pages": [0, 30],
        "tables": [{"begins": 45, "ends": len(TEXT), "header": "| a |"}],
    }  # fmt: skip
    part = api.get(f"/v1/documents/{document['id']}/text?from=30&limit=10").json
    assert (part["text"], part["begins"], part["ends"]) == (TEXT[30:40], 30, 40)
    assert part["marks"] == {"headings": [], "pages": [30], "tables": []}
    assert api.get(f"/v1/documents/{document['id']}/text?from=4000").json["text"] == ""
    page = api.get(f"/v1/documents/{document['id']}/chunks?limit=1").json
    assert [page["data"][0][name] for name in ("number", "text", "page", "path", "header")] == [
        0, TEXT[:31], 1, ["Boats"], None,
    ]  # fmt: skip
    [last] = api.get(f"/v1/documents/{document['id']}/chunks?after={page['next']}").json["data"]
    assert last == {
        "number": 1, "object": "document.chunk", "text": "| 2 |", "tokens": 4, "begins": 51, "ends": 56, "page": 2,
        "path": ["Boats"], "header": "| a |",
    }  # fmt: skip


def test_text_of_what_failed_is_a_conflict_that_says_why(api: Api) -> None:
    document = api.bring()
    api.post(f"{document['links']['job']}/cancel")
    response = api.get(f"/v1/documents/{document['id']}/text")
    assert (response.status_code, "cancelled" in response.json["error"]["message"]) == (409, True)


@pytest.mark.parametrize("query", ["from=-1", "from=x", "limit=0", "limit=4000001", "to=5"])
def test_wrong_part_of_a_text_is_a_422(api: Api, query: str) -> None:
    response = api.get(f"/v1/documents/{api.bring()['id']}/text?{query}")
    assert (response.status_code, response.json["error"]["param"]) == (422, query.partition("=")[0])


def test_collection_is_made_once_with_its_shape(api: Api) -> None:
    """Whoever names nothing else finds it; another value is refused by its name, whoever brings it."""
    shape = {"language": "German", "chunk_tokens": 64, "chunk_overlap": 20}
    made = api.post("/v1/collections", json={"name": "notes", **shape})
    assert made.status_code == 201
    told = {"model": "embedder", "language": "german", "chunk_tokens": 64, "chunk_overlap": 20, "documents": 0}
    assert {name: made.json[name] for name in told} == told
    assert api.post("/v1/collections", json={"name": "notes", **shape}).json == made.json
    assert api.post("/v1/collections", json={"name": "notes"}).json == made.json
    assert api.post("/v1/collections", json={"name": "notes", "language": "de"}).json == made.json
    assert api.get("/v1/collections/notes").json == made.json
    for field, other in (("language", "french"), ("chunk_overlap", 16), ("model", "other")):
        for response in (
            api.post("/v1/collections", json={"name": "notes", field: other}),
            api.post("/v1/documents", json={"collection": "notes", "documents": [{"text": "x"}], field: other}),
            upload(api, "a.txt", collection="notes", **{field: str(other)}),
        ):
            assert (response.status_code, response.json["error"]["param"]) == (422, field)
    assert listed(api) == []


def test_documents_make_a_collection_with_its_shape(api: Api) -> None:
    upload(api, "a.txt", language="fr", chunk_tokens="64", chunk_overlap="0")
    shown = api.get("/v1/collections/books").json
    assert (shown["language"], shown["chunk_tokens"], shown["chunk_overlap"]) == ("fr", 64, 0)
    api.bring(collection="usual")
    shown = api.get("/v1/collections/usual").json
    assert (shown["language"], shown["chunk_tokens"], shown["chunk_overlap"]) == ("english", 128, 16)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": "a/b"}, "name"), ({"name": None}, "name"), ({"model": "alpha"}, "model"), ({"model": 5}, "model"),
        ({"language": "english."}, "language"), ({"language": ""}, "language"), ({"chunk_tokens": 65}, "chunk_tokens"),
        ({"chunk_tokens": 63}, "chunk_tokens"), ({"chunk_tokens": "64"}, "chunk_tokens"),
        ({"chunk_tokens": 64, "chunk_overlap": 33}, "chunk_overlap"), ({"chunk_overlap": 65}, "chunk_overlap"),
        ({"metadata": {}}, "metadata"),
    ],
)  # fmt: skip
def test_collection_that_cannot_be_is_refused(api: Api, changes: dict[str, Any], field: str) -> None:
    """Chunks that the model doesn't read whole, and nothing is made."""
    response = api.post("/v1/collections", json={"name": "notes", **changes})
    assert (response.status_code, response.json["error"]["param"]) == (422, field), response.text
    assert api.get("/v1/collections").json["data"] == []


def test_text_is_kept_as_the_text_of_a_file_is(api: Api, sessions: Sessions, caller: Caller) -> None:
    """So it is cut alike, and what stands where is counted alike, however it came."""
    odd = "Title\r\n=====\r\n\r\n\r\n\r\nA \ufb01sh, e\u0301t.  \r\n\r\n| a | b |\r\n|---|---|\r\n| 1 | 2 |\r\n"
    api.bring(documents=[{"text": odd}])
    [document] = listed(api)
    document_id = ids.parse(document["id"], ids.DOCUMENT)
    assert document_id
    with sessions.begin() as session:
        kept = ingest.text(session, caller.tenant_id, document_id)
    assert kept == "Title\n=====\n\nA fish, \u00e9t.\n\n| a | b |\n|---|---|\n| 1 | 2 |"
    found = parent.at_once(odd.encode(), "markdown", None)
    assert found is not None
    assert kept == found.text
    assert (document["bytes"], document["digest"]) == (len(odd.encode()), hashlib.sha256(odd.encode()).hexdigest())


@pytest.mark.parametrize(
    "said", [{"metadata": {"year": 2025}}, {"external_id": "b"}, {"title": "Two"}, {"text": "two"}]
)
def test_key_stands_for_all_that_is_said_of_a_text(api: Api, said: dict[str, Any]) -> None:
    """Another request with it is refused, whichever field is another."""
    text = {"text": "one", "title": "One", "external_id": "a", "metadata": {"year": 2026}}
    answers = [
        api.post("/v1/documents", json={"collection": "books", "documents": [one]}, headers={"Idempotency-Key": "k"})
        for one in (text, text, text | said)
    ]
    assert [answer.status_code for answer in answers] == [202, 202, 422]
    assert answers[0].json["id"] == answers[1].json["id"]


def test_members_of_an_archive_say_which_they_came_in(api: Api, sessions: Sessions, caller: Caller) -> None:
    raw = office.zipped({"a.md": "one", "b.png": "x"})
    upload(api, "box.zip", external_id="in/box.zip")
    [archive] = listed(api)
    document_id = ids.parse(archive["id"], ids.DOCUMENT)
    assert document_id
    with sessions.begin() as session:
        unpacking.unpacked(session, caller.tenant_id, document_id, [("a.md", raw)], [("b.png", "no")])
    found = listed(api, "archive=in/box.zip")
    assert [one["external_id"] for one in found] == ["in/box.zip/b.png", "in/box.zip/a.md"]
    assert found[0]["archive"] == {"name": "in/box.zip", "digest": archive["digest"]}
    assert (archive["archive"], listed(api, "archive=box.zip")) == (None, [])
