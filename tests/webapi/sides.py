"""Tenants who have one of everything, made as clients make it: for tests of who may see it."""

import io
from collections.abc import Callable
from dataclasses import dataclass, field

import redis
from flask import Flask

from db.session import Sessions
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Outcome
from tasks.limits.spent import Spent
from tests.webapi import byhand
from tests.webapi.conftest import Api, new_key


@dataclass(frozen=True, slots=True)
class World:
    """The app, and a worker's hands."""

    app: Flask
    sessions: Sessions
    client: redis.Redis

    def tenant(self, word: str) -> "Side":
        return Side(self, word, Api(self.app, new_key(self.sessions, word)))


@dataclass(frozen=True, slots=True)
class Side:
    """A tenant who says its word in everything it has; `made` are the ids of that."""

    world: World
    word: str
    api: Api
    made: list[tuple[str, str]] = field(default_factory=list)

    def make(self, noun: str) -> str:
        self.made.append((noun, MAKERS[noun](self)))
        return self.made[-1][1]

    def make_everything(self) -> "Side":
        for noun in MAKERS:
            self.make(noun)
        return self


def make_job(side: Side) -> str:
    """One that has ended, with a stream."""
    job = side.api.submit(input={"prompt": side.word}, metadata={"note": side.word})
    run = byhand.run(side.world.sessions, side.world.client, job["id"])
    run.say(side.word, side.word)
    run.succeed()
    return str(job["id"])


def make_completion(side: Side) -> str:
    """A stored one."""
    given = {"model": "alpha", "messages": [{"role": "user", "content": side.word}], "store": True}
    headers = {"Prefer": "respond-async"}
    job = side.api.post("/v1/chat/completions", json=given | {"metadata": {"note": side.word}}, headers=headers).json
    run = byhand.run(side.world.sessions, side.world.client, job["id"])
    run.say(side.word)
    result = {"message": {"role": "assistant", "content": side.word}, "finish_reason": "stop"}
    run.end(Outcome(Status.SUCCEEDED, Spent(2, 1), result))
    return f"chatcmpl-{job['id'].removeprefix('job_')}"


def make_response(side: Side) -> str:
    """One in the background, that has ended."""
    given = {"model": "alpha", "input": side.word, "background": True, "metadata": {"note": side.word}}
    made = side.api.post("/v1/responses", json=given).json
    run = byhand.run(side.world.sessions, side.world.client, f"job_{made['id'].removeprefix('resp_')}")
    run.say(side.word)
    result = {"message": {"role": "assistant", "content": side.word}, "finish_reason": "stop"}
    run.end(Outcome(Status.SUCCEEDED, Spent(2, 1), result))
    return str(made["id"])


def make_prediction(side: Side) -> str:
    return make_job(side).removeprefix("job_")


def make_document(side: Side) -> str:
    text = {"text": side.word, "title": side.word, "metadata": {"note": side.word}}
    return str(side.api.bring(collection=f"{side.word}-books", documents=[text])["id"])


def make_collection(side: Side) -> str:
    name = f"{side.word}-shelf"
    side.api.bring(collection=name, documents=[{"text": side.word}])
    return name


def make_webhook(side: Side) -> str:
    made = side.api.post("/v1/webhooks", json={"url": f"https://{side.word}.example.com/", "description": side.word})
    return str(made.json["id"])


def make_delivery(side: Side) -> str:
    return str(side.api.post(f"/v1/webhooks/{make_webhook(side)}/test").json["id"])


def make_summary(side: Side) -> str:
    """One whose only document's summary is there."""
    asked = {"texts": [{"text": side.word, "title": side.word}], "metadata": {"note": side.word}}
    summary_id = str(side.api.post("/v1/summaries", json=asked).json["id"])
    byhand.summarise(side.world.sessions, side.world.client, summary_id, side.word)
    return summary_id


def make_file(side: Side) -> str:
    sent = {"purpose": "batch", "file": (io.BytesIO(side.word.encode()), f"{side.word}.jsonl")}
    return str(side.api.post("/v1/files", data=sent).json["id"])


def make_upload(side: Side) -> str:
    """One with a part."""
    given = {"filename": side.word, "purpose": "batch", "bytes": len(side.word), "mime_type": "text/plain"}
    upload_id = str(side.api.post("/v1/uploads", json=given).json["id"])
    part = {"data": (io.BytesIO(side.word.encode()), "upload")}
    assert side.api.post(f"/v1/uploads/{upload_id}/parts", data=part).status_code == 200
    return upload_id


def make_store(side: Side) -> str:
    given = {"name": side.word, "metadata": {"note": side.word}}
    return str(side.api.post("/v1/vector_stores", json=given).json["id"])


def make_file_in_store(side: Side) -> str:
    sent = {"purpose": "assistants", "file": (io.BytesIO(side.word.encode()), f"{side.word}.txt")}
    file_id = str(side.api.post("/v1/files", data=sent).json["id"])
    store_id = make_store(side)
    given = {"file_id": file_id, "attributes": {"note": side.word}}
    assert side.api.post(f"/v1/vector_stores/{store_id}/files", json=given).status_code == 200
    return f"{store_id}/{file_id}"


def make_file_batch(side: Side) -> str:
    store_id, file_id = make_file_in_store(side).split("/")
    made = side.api.post(f"/v1/vector_stores/{store_id}/file_batches", json={"file_ids": [file_id]}).json
    return f"{store_id}/{made['id']}"


def make_batch(side: Side) -> str:
    given = {"input_file_id": make_file(side), "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    return str(side.api.post("/v1/batches", json=given | {"metadata": {"note": side.word}}).json["id"])


def make_message_batch(side: Side) -> str:
    """One that has ended."""
    params = {"model": "alpha", "max_tokens": 2, "messages": [{"role": "user", "content": side.word}]}
    given = {"requests": [{"custom_id": side.word, "params": params}]}
    made = side.api.post("/v1/messages/batches", json=given)
    batch_id = str(made.json["id"])
    side.api.post(f"/v1/jobs/job_{batch_id.removeprefix('msgbatch_')}/cancel")
    return batch_id


def make_conversation(side: Side) -> str:
    said = {"items": [{"role": "user", "content": side.word}], "metadata": {"note": side.word}}
    return str(side.api.post("/v1/conversations", json=said).json["id"])


def make_item(side: Side) -> str:
    conversation_id = make_conversation(side)
    item = side.api.get(f"/v1/conversations/{conversation_id}/items").json["data"][0]
    return f"{conversation_id}/{item['id']}"


# By the part of the path that stands before an id; of what is in something else, by both.
MAKERS: dict[str, Callable[[Side], str]] = {
    "jobs": make_job,
    "completions": make_completion,
    "responses": make_response,
    "predictions": make_prediction,
    "documents": make_document,
    "collections": make_collection,
    "summaries": make_summary,
    "webhooks": make_webhook,
    "deliveries": make_delivery,
    "files": make_file,
    "uploads": make_upload,
    "vector_stores": make_store,
    "vector_stores/files": make_file_in_store,
    "vector_stores/file_batches": make_file_batch,
    "batches": make_batch,
    "message_batches": make_message_batch,
    "conversations": make_conversation,
    "conversations/items": make_item,
}
