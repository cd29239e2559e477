"""Vector stores over HTTP: what is refused, what another tenant has, what is told while jobs wait and when they end."""

import io
import threading
import uuid
from typing import Any

import pytest
import redis
from flask import Flask
from sqlalchemy import text

from db.session import Sessions
from tasks import ids
from tasks.jobs import removing
from tasks.jobs.lifecycle import Status
from tests import tables
from tests.support.post import Post
from tests.tasks.sweep.sweeping import made, sweep
from tests.webapi.conftest import Api

STATIC = {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 50}


def _joined(part: Any) -> Any:
    return {"query": "x", "filters": {"type": "or", "filters": [part]}}


REFUSED: list[tuple[str, Any, str]] = [
    ("", {"file_ids": "file-1"}, "file_ids"),
    ("", {"file_ids": ["file-1"]}, "file_ids.0"),
    ("", {"file_ids": [f"file-{uuid.UUID(int=1).hex}"]}, "file_ids.0"),
    ("", {"file_ids": [f"file-{uuid.UUID(int=1).hex}"] * 501}, "file_ids"),
    ("", {"file_ids": [f"file-{uuid.UUID(int=1).hex}"] * 2}, "file_ids"),
    ("", {"expires_after": {"anchor": "created_at", "days": 1}}, "expires_after.anchor"),
    ("", {"expires_after": {"anchor": "last_active_at", "days": 0}}, "expires_after.days"),
    ("", {"expires_after": {"anchor": "last_active_at", "days": 366}}, "expires_after.days"),
    ("", {"metadata": {"k": 1}}, "metadata.k"),
    ("", {"metadata": {str(number): "" for number in range(17)}}, "metadata"),
    ("", {"name": "x" * 257}, "name"),
    ("", {"unknown": 1}, "unknown"),
    ("/files", {}, "file_id"),
    ("/files", {"file_id": f"file-{uuid.UUID(int=1).hex}"}, "file_id"),
    ("/files", {"file_id": "x"}, "file_id"),
    ("/files", {"attributes": {"k": [1]}}, "attributes.k"),
    ("/files", {"attributes": {"k": None}}, "attributes.k"),
    ("/files", {"attributes": {"k": "x" * 513}}, "attributes.k"),
    ("/files", {"attributes": {str(number): 1 for number in range(17)}}, "attributes"),
    ("/files", {"chunking_strategy": {"type": "static"}}, "chunking_strategy.static"),
    ("/files", {"chunking_strategy": {"type": "auto", "static": STATIC}}, "chunking_strategy.static"),
    (
        "/files",
        {"chunking_strategy": {"type": "static", "static": STATIC | {"max_chunk_size_tokens": 99}}},
        "chunking_strategy.static.max_chunk_size_tokens",
    ),
    (
        "/files",
        {"chunking_strategy": {"type": "static", "static": STATIC | {"chunk_overlap_tokens": 51}}},
        "chunking_strategy.static.chunk_overlap_tokens",
    ),
    ("/file_batches", {}, "file_ids"),
    ("/file_batches", {"file_ids": []}, "file_ids"),
    ("/file_batches", {"files": [{"file_id": f"file-{uuid.UUID(int=1).hex}"}]}, "files.0"),
    ("/file_batches", {"files": [{"file_id": f"file-{uuid.UUID(int=1).hex}"}] * 2001}, "files"),
    ("/search", {}, "query"),
    ("/search", {"query": ["x"] * 17}, "query"),
    ("/search", {"query": "x", "max_num_results": 0}, "max_num_results"),
    ("/search", {"query": "x", "max_num_results": 51}, "max_num_results"),
    ("/search", {"query": "x", "filters": {"type": "like", "key": "k", "value": 1}}, "filters.type"),
    ("/search", _joined({"type": "eq", "key": "k"}), "filters.filters.0.value"),
    ("/search", {"query": "x", "ranking_options": {"score_threshold": 2}}, "ranking_options.score_threshold"),
    ("/search", {"query": "x", "ranking_options": {"ranker": "alpha"}}, "ranking_options.ranker"),
    (
        "/search",
        {"query": "x", "ranking_options": {"hybrid_search": {"embedding_weight": 0, "text_weight": 0}}},
        "ranking_options.hybrid_search.embedding_weight",
    ),
]  # fmt: skip


def kept(api: Api, name: str = "one.txt", raw: bytes = b"one two") -> str:
    sent = {"purpose": "assistants", "file": (io.BytesIO(raw), name)}
    return str(api.post("/v1/files", data=sent).json["id"])


def made_store(api: Api, **given: Any) -> str:
    response = api.post("/v1/vector_stores", json=given)
    assert response.status_code == 200, response.text
    return f"/v1/vector_stores/{response.json['id']}"


def attached(api: Api, store: str, *names: str) -> tuple[str, list[str]]:
    """A batch that waits, and the ids of its files."""
    file_ids = [kept(api, name) for name in names]
    response = api.post(f"{store}/file_batches", json={"file_ids": file_ids})
    assert response.status_code == 200, response.text
    return str(response.json["id"]), file_ids


def job_of(batch_id: str) -> uuid.UUID:
    job_id = ids.parse(batch_id, ids.FILE_BATCH)
    assert job_id is not None
    return job_id


@pytest.mark.parametrize(("where", "given", "param"), REFUSED)
def test_wrong_field_is_a_400_that_names_it(api: Api, where: str, given: Any, param: str) -> None:
    """Before anything is queued."""
    store = made_store(api) if where else "/v1/vector_stores"
    if where == "/files" and given and "file_id" not in given:
        given = given | {"file_id": kept(api)}
    response = api.post(f"{store}{where}", json=given)
    assert (response.status_code, response.json["error"]["param"]) == (400, param), response.text
    assert api.get("/v1/jobs").json["data"] == []


def test_anothers_file_is_like_none(api: Api, theirs: Api) -> None:
    """It can't be attached, by whichever way."""
    foreign, never = kept(theirs), f"file-{uuid.UUID(int=7).hex}"
    store = made_store(api)
    for where, given in (
        ("/v1/vector_stores", lambda id: {"file_ids": [id]}),
        (f"{store}/files", lambda id: {"file_id": id}),
        (f"{store}/file_batches", lambda id: {"file_ids": [id]}),
        (f"{store}/file_batches", lambda id: {"files": [{"file_id": id}]}),
    ):
        answers = [api.post(where, json=given(id)) for id in (foreign, never)]
        assert [answer.status_code for answer in answers] == [400, 400]
        assert answers[0].text.replace(foreign, "") == answers[1].text.replace(never, "")
    assert api.get(store).json["file_counts"]["total"] == 0
    assert len(api.get("/v1/vector_stores").json["data"]) == 1  # nothing is left of what was refused


def test_anothers_ids_are_no_places_in_ones_own_lists(api: Api, theirs: Api) -> None:
    """A file of another's is answered like one that never was; a store's id only says how old it is."""
    store = made_store(api)
    batch, _ = attached(api, store, "one.txt")
    foreign = kept(theirs)
    for path in (f"{store}/files", f"{store}/file_batches/{batch}/files"):
        for side in ("after", "before"):
            answers = [api.get(f"{path}?{side}={id}") for id in (foreign, f"file-{uuid.UUID(int=7).hex}")]
            assert [answer.status_code for answer in answers] == [400, 400]
            assert answers[0].text == answers[1].text
    other = made_store(theirs).rpartition("/")[2]
    assert [one["id"] for one in api.get(f"/v1/vector_stores?after={other}").json["data"]] == [store.rpartition("/")[2]]
    assert api.get(f"/v1/vector_stores?before={other}").json["data"] == []


def test_anothers_store_is_searched_for_no_response(api: Api, theirs: Api) -> None:
    """It is answered like one that never was, and nothing is queued."""
    foreign, never = made_store(theirs).rpartition("/")[2], f"vs_{uuid.UUID(int=7).hex}"
    answers = []
    for id in (foreign, never):
        tool = {"type": "file_search", "vector_store_ids": [made_store(api).rpartition("/")[2], id]}
        answers.append(api.post("/v1/responses", json={"input": "x", "tools": [tool], "background": True}))
        assert answers[-1].json["error"]["param"] == "tools.0.vector_store_ids.1"
    assert [answer.status_code for answer in answers] == [400, 400]
    assert answers[0].text.replace(foreign, "") == answers[1].text.replace(never, "")
    assert api.get("/v1/jobs").json["data"] == []


def test_batch_is_of_its_own_store_only(api: Api) -> None:
    batch, _ = attached(api, made_store(api), "one.txt")
    other, job = made_store(api), api.submit()["id"].replace("job_", "vsfb_")
    for path in (f"{other}/file_batches/{batch}", f"{other}/file_batches/{job}"):
        assert api.get(path).status_code == 404
        assert api.get(f"{path}/files").status_code == 404
        assert api.post(f"{path}/cancel").status_code == 404
    assert api.get(f"/v1/jobs/{job.replace('vsfb_', 'job_')}").json["status"] == "queued"


def test_lists_come_in_pages_from_both_sides(api: Api) -> None:
    """In either order, and none twice."""
    stores = [made_store(api, name=str(number)).rpartition("/")[2] for number in range(5)]
    url = "/v1/vector_stores?limit=2"
    newest = api.get(url).json
    assert ([one["id"] for one in newest["data"]], newest["has_more"]) == (stores[:2:-1], True)
    behind = api.get(f"{url}&after={newest['last_id']}").json
    assert [one["id"] for one in behind["data"]] == [stores[2], stores[1]]
    back = api.get(f"{url}&before={behind['first_id']}").json
    assert ([one["id"] for one in back["data"]], back["has_more"]) == (stores[:2:-1], False)
    oldest = api.get(f"{url}&order=asc&before={stores[4]}").json
    assert ([one["id"] for one in oldest["data"]], oldest["has_more"]) == (stores[2:4], True)


def test_files_are_told_as_their_job_stands(api: Api, sessions: Sessions) -> None:
    """Those that wait for a job that is cancelled were cancelled with it, and those of one that failed have failed."""
    store = made_store(api)
    wanted = {}
    for status in (None, Status.CANCELLED, Status.FAILED):
        batch, [file_id] = attached(api, store, "one.txt")
        wanted[{None: "in_progress"}.get(status, str(status))] = file_id
        if status:
            with sessions.begin() as session:
                tables.put(session, job_of(batch), status)
    _, [wanted["completed"], bad] = attached(api, store, "two.txt", "song.mp3")
    with sessions.begin() as session:
        session.execute(text("UPDATE documents SET status = 'ready' WHERE filename = 'two.txt'"))
    for status, file_id in wanted.items():
        found = [one["id"] for one in api.get(f"{store}/files?filter={status}&order=asc").json["data"]]
        assert found == ([file_id, bad] if status == "failed" else [file_id])
        assert api.get(f"{store}/files/{file_id}").json["status"] == status
    assert api.get(f"{store}/files/{bad}").json["last_error"]["code"] == "unsupported_file"
    assert api.get(f"{store}/files/{wanted['failed']}").json["last_error"]["code"] == "server_error"
    counts = {"in_progress": 1, "completed": 1, "failed": 2, "cancelled": 1, "total": 5}
    shown = api.get(store).json
    assert (shown["file_counts"], shown["status"], shown["usage_bytes"]) == (counts, "in_progress", 7)


def test_cancelled_batch_stays_so_without_its_job(api: Api, sessions: Sessions) -> None:
    """What is completed by then stays; the rest is cancelled for good, though the job is erased."""
    store = made_store(api)
    batch, [first, second] = attached(api, store, "one.txt", "two.txt")
    with sessions.begin() as session:
        session.execute(text("UPDATE documents SET status = 'ready' WHERE filename = 'one.txt'"))
    shown = api.post(f"{store}/file_batches/{batch}/cancel").json
    assert (shown["status"], shown["file_counts"]["completed"], shown["file_counts"]["cancelled"]) == (
        "cancelled",
        1,
        1,
    )
    assert api.post(f"{store}/file_batches/{batch}/cancel").json == shown
    assert api.ask("DELETE", f"/v1/jobs/job_{batch.removeprefix('vsfb_')}").status_code == 204
    assert api.get(f"{store}/file_batches/{batch}").status_code == 404
    assert [api.get(f"{store}/files/{id}").json["status"] for id in (first, second)] == ["completed", "cancelled"]


@pytest.mark.parametrize("way", ["erased", "forgotten"])
def test_file_stays_as_its_job_ended_once_that_is_gone(api: Api, sessions: Sessions, way: str) -> None:
    """Cancelled or failed, for the same reason, and nothing of it is stored."""
    store, told = made_store(api), {}
    batches = {status: attached(api, store, "one.txt") for status in ("cancelled", "failed")}
    api.post(f"/v1/jobs/job_{batches['cancelled'][0].removeprefix('vsfb_')}/cancel")
    with sessions.begin() as session:
        why = {"error_code": "deadline_exceeded", "error_message": "too long", "finished_at": "2020-01-01T00:00:00Z"}
        tables.put(session, job_of(batches["failed"][0]), Status.FAILED, **why)
        session.execute(text("UPDATE jobs SET finished_at = '2020-01-01T00:00:00Z' WHERE finished_at IS NOT NULL"))
    for batch, [file_id] in batches.values():
        told[file_id] = api.get(f"{store}/files/{file_id}").json
        if way == "erased":
            assert api.ask("DELETE", f"/v1/jobs/job_{batch.removeprefix('vsfb_')}").status_code == 204
    if way == "forgotten":
        assert removing.forget_due(sessions, 60, lambda: True)
    assert api.get("/v1/jobs").json["data"] == []
    assert {status: told[file_id]["status"] for status, (_, [file_id]) in batches.items()} == {
        "cancelled": "cancelled",
        "failed": "failed",
    }
    assert {file_id: api.get(f"{store}/files/{file_id}").json for file_id in told} == told
    counts = api.get(store).json["file_counts"]
    assert (counts["cancelled"], counts["failed"], counts["in_progress"]) == (1, 1, 0)


@pytest.mark.parametrize("status", ["ready", "pending"])
def test_file_that_is_there_is_not_read_again(api: Api, sessions: Sessions, status: str) -> None:
    """Completed or in progress, no job is made for it; to be cut otherwise it is made anew."""
    store = made_store(api)
    first, [file_id] = attached(api, store, "one.txt")
    with sessions.begin() as session:
        session.execute(text("UPDATE documents SET status = :status"), {"status": status})
    before = api.get(f"{store}/files/{file_id}").json
    assert api.post(f"{store}/files", json={"file_id": file_id}).json == before
    again = api.post(f"{store}/files", json={"file_id": file_id, "attributes": {"a": 1}}).json
    assert again == before | {"attributes": {"a": 1}}
    assert (len(api.get("/v1/jobs").json["data"]), ids_of(sessions)) == (1, {job_of(first)})
    other = {"file_id": file_id, "chunking_strategy": {"type": "static", "static": STATIC}}
    anew = api.post(f"{store}/files", json=other).json
    assert (anew["status"], anew["attributes"]) == ("in_progress", {"a": 1})
    assert anew["chunking_strategy"]["static"]["max_chunk_size_tokens"] == 64  # all that the model reads
    assert api.get(store).json["file_counts"]["total"] == 1
    assert api.post(f"{store}/files", json=other).json == anew
    assert len(api.get("/v1/jobs").json["data"]) == 2


def ids_of(sessions: Sessions) -> set[uuid.UUID]:
    """The jobs that documents wait for, or were made by."""
    with sessions() as session:
        return set(session.scalars(text("SELECT job_id FROM documents")))


def test_file_whose_job_has_ended_without_it_is_read_again(api: Api, sessions: Sessions) -> None:
    store = made_store(api)
    batch, [file_id] = attached(api, store, "one.txt")
    api.post(f"/v1/jobs/job_{batch.removeprefix('vsfb_')}/cancel")
    assert api.post(f"{store}/files", json={"file_id": file_id}).json["status"] == "in_progress"
    assert ids_of(sessions).isdisjoint({job_of(batch)})


def test_file_that_has_expired_is_not_attached_again(api: Api, sessions: Sessions) -> None:
    """Though its document is there until the sweep takes both away."""
    store = made_store(api)
    _, [file_id] = attached(api, store, "one.txt")
    with sessions.begin() as session:
        session.execute(text("UPDATE documents SET status = 'ready'"))
        session.execute(text("UPDATE files SET expires_at = now()"))
    refused = api.post(f"{store}/files", json={"file_id": file_id, "attributes": {"a": 1}})
    assert (refused.status_code, refused.json["error"]["param"]) == (400, "file_id")
    assert api.get(f"{store}/files/{file_id}").json["attributes"] == {}


def test_file_that_is_attached_by_many_at_one_moment_is_attached_once(api: Api, sessions: Sessions) -> None:
    store, file_id = made_store(api), kept(api)
    answers: list[Any] = []

    def attach() -> None:
        answers.append(api.post(f"{store}/files", json={"file_id": file_id}).json)

    threads = [threading.Thread(target=attach) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [api.get(f"{store}/files/{file_id}").json] * 6
    assert len(api.get("/v1/jobs").json["data"]) == 1


def test_file_that_is_ready_counts_as_the_newer_batchs(api: Api, sessions: Sessions) -> None:
    store = made_store(api)
    first, [file_id] = attached(api, store, "one.txt")
    with sessions.begin() as session:
        session.execute(text("UPDATE documents SET status = 'ready'"))
    assert api.post(f"{store}/file_batches", json={"file_ids": [file_id]}).json["status"] == "completed"
    assert api.get(f"{store}/file_batches/{first}").json["file_counts"]["total"] == 0


def test_too_large_a_file_has_failed_at_once(api: Api, sessions: Sessions) -> None:
    file_id = kept(api)
    with sessions.begin() as session:
        session.execute(text("UPDATE files SET bytes = 40000000000"))
    store = made_store(api, file_ids=[file_id])
    shown = api.get(f"{store}/files/{file_id}").json
    assert (shown["status"], shown["last_error"]["code"]) == ("failed", "invalid_file")


def test_nothing_but_files_is_brought_into_a_store(api: Api) -> None:
    """Its collection is searched like others, and goes with the store."""
    name = made_store(api).rpartition("/")[2]
    given = {"collection": name, "documents": [{"text": "one"}]}
    response = api.post("/v1/documents", json=given)
    assert (response.status_code, response.json["error"]["param"]) == (422, "collection")
    assert api.get(f"/v1/collections/{name}").status_code == 200
    assert api.ask("DELETE", f"/v1/vector_stores/{name}").json["deleted"]
    assert api.get(f"/v1/collections/{name}").status_code == 404


def test_store_is_changed_and_null_takes_back(api: Api) -> None:
    store = made_store(api, name="a", metadata={"k": "v"}, expires_after={"anchor": "last_active_at", "days": 3})
    shown = api.get(store).json
    assert shown["expires_at"] == pytest.approx(shown["last_active_at"] + 3 * 86_400, abs=1)
    changed = api.post(store, json={"name": "b", "expires_after": None}).json
    assert (changed["name"], changed["expires_at"], changed["metadata"]) == ("b", None, {"k": "v"})
    assert api.post(store, json={"metadata": None}).json["metadata"] == {}


def test_expired_store_is_shown_and_emptied(api: Api, app: Flask, sessions: Sessions, client: redis.Redis) -> None:
    """At its second nothing can be searched or attached any more; the sweep deletes what is in it, and no file."""
    store = made_store(api, expires_after={"anchor": "last_active_at", "days": 1})
    other = made_store(api, expires_after={"anchor": "last_active_at", "days": 1})
    _, [file_id] = attached(api, store, "one.txt")
    attached(api, other, "one.txt")
    with sessions.begin() as session:
        late = "UPDATE vector_stores SET expires_at = now() - interval '1 second' WHERE id = :id"
        session.execute(text(late), {"id": ids.parse(store.rpartition("/")[2], ids.VECTOR_STORE)})
    assert api.get(store).json["status"] == "expired"
    for where, given in (("/search", {"query": "x"}), ("/files", {"file_id": file_id}), ("", {"name": "x"})):
        assert api.post(f"{store}{where}", json=given).status_code == 409
    sweep(made(sessions, client, Post()))
    assert api.get(store).json["file_counts"]["total"] == 0
    assert api.get(other).json["file_counts"]["total"] == 1
    assert api.get(f"/v1/files/{file_id}").status_code == 200
