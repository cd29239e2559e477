"""The page about the API says everything it can answer, and is served from here alone."""

import json
import os
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import redis
from flask import Flask

from db.session import Sessions
from dialects import errors
from tasks import ids
from tasks.documents.chunking import Piece
from tasks.keys import Caller
from tests import shelves, tables
from tests.support import waiting
from tests.webapi import byhand
from tests.webapi.conftest import Api
from webapi.settings import MAX_BODY_BYTES, MAX_UPLOAD_BYTES

WITH_KEY = {401, 429, 500, 503}
WITH_BODY = {400, 413, 415, 422}
SUCCESS = {
    ("post", "/v1/jobs"): 202,
    ("post", "/v1/jobs/{job_id}/retry"): 202,
    ("post", "/v1/jobs/{job_id}/ticket"): 201,
    ("post", "/v1/collections/{name}/model"): 202,
    ("post", "/v1/documents"): 202,
    ("post", "/v1/collections"): 201,
    ("post", "/v1/summaries"): 202,
    ("post", "/v1/summaries/documents"): 201,
    ("post", "/v1/summaries/{summary_id}/retry"): 202,
    ("post", "/v1/webhooks"): 201,
    ("post", "/v1/webhooks/{webhook_id}/test"): 202,
    ("post", "/v1/deliveries/{delivery_id}/redeliver"): 202,
    ("post", "/v1/rag/documents"): 202,
    ("post", "/v1/predictions"): 201,
    ("post", "/v1/models/{owner}/{name}/predictions"): 201,
    ("delete", "/v1/chat/completions/{completion_id}"): 200,
    ("delete", "/v1/files/{file_id}"): 200,
    ("delete", "/v1/messages/batches/{message_batch_id}"): 200,
    ("delete", "/v1/vector_stores/{vector_store_id}"): 200,
    ("delete", "/v1/vector_stores/{vector_store_id}/files/{file_id}"): 200,
    ("delete", "/v1/responses/{response_id}"): 200,
    ("delete", "/v1/conversations/{conversation_id}"): 200,
    ("delete", "/v1/conversations/{conversation_id}/items/{item_id}"): 200,
}
# Whose words a route speaks, by its tag, where they aren't ours.
DIALECTS = {
    "OpenAI's": (
        *("chat", "stored", "completions", "embeddings", "moderations"),
        *("files", "uploads", "batches", "responses", "compacting", "conversations"),
        *("vector stores", "vector store files"),
        "batch results",
        "batch checks",
    ),
    "Ollama's": ("ollama", "ollama models"),
    "Replicate's": ("predictions", "prediction streams"),
    "Anthropic's": ("messages", "message batches"),
}
ERRORS = {
    "Ollama's": ("application/json", "OllamaError"),
    "Replicate's": ("application/problem+json", "Problem"),
    "Anthropic's": ("application/json", "AnthropicError"),
}
# Those that wait for a job.
CALLS = {
    *[
        f"/v1/{name}"
        for name in (
            "chat/completions",
            "completions",
            "responses",
            "responses/input_tokens",
            "responses/compact",
            "embeddings",
            "moderations",
            "messages",
            "messages/count_tokens",
            "rag/chat",
        )
    ],
    *[f"/api/{name}" for name in ("v1/generate", "generate", "chat", "embed", "embeddings")],
}
WANT_A_READY_DOCUMENT = {f"/v1/documents/{{document_id}}/{what}" for what in ("text", "chunks")}
MANY = {
    "requests": [
        {
            "custom_id": "x",
            "params": {"model": "alpha", "max_tokens": 2, "messages": [{"role": "user", "content": "x"}]},
        }
    ]
}
IN_A_STORE = "/v1/vector_stores/{vector_store_id}/files/{file_id}"
# Of a vector store that has expired.
WANT_A_LIVING_STORE = {
    f"/v1/vector_stores/{{vector_store_id}}{what}" for what in ("", "/files", "/file_batches", "/search")
}
NAME_A_MODEL = {("post", "/v1/vector_stores"), ("post", "/api/show"), ("post", "/v1/predictions")}
NAME_A_COLLECTION = {("get", "/v1/documents"), ("post", "/v1/search")}


@pytest.fixture
def spec(app: Flask) -> dict[str, Any]:
    return dict(app.test_client().get("/openapi.json").json or {})


def operations(spec: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    methods = ("get", "post", "put", "patch", "delete")
    return {(m, path): item[m] for path, item in spec["paths"].items() for m in methods if m in item}


def dialect(operation: dict[str, Any]) -> str:
    [tag] = operation["tags"]
    return next((dialect for dialect, tags in DIALECTS.items() if tag in tags), "ours")


def test_every_route_is_documented(app: Flask, spec: dict[str, Any]) -> None:
    """What can be asked is on the page, and what is on the page can be asked."""
    served = {
        (method.lower(), re.sub(r"<(?:model:)?(\w+)>", r"{\1}", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.rule != "/" and not rule.rule.startswith(("/docs", "/openapi.json"))
    }
    assert set(operations(spec)) == served


def test_every_route_documents_each_status_it_can_answer(spec: dict[str, Any]) -> None:
    """Derived from what a route takes: a key, an id, parameters, a body."""
    for (method, path), operation in operations(spec).items():
        documented = {int(status) for status in operation["responses"]}
        if path == "/healthz":
            assert documented == {200}
            continue
        if path in ("/readyz", "/health"):
            assert documented == {200, 503}
            continue
        expected = set(WITH_KEY) | {SUCCESS.get((method, path), 204 if method == "delete" else 200)}
        asked = {parameter["in"] for parameter in operation.get("parameters", [])} - {"path"}
        named = "{" in path or (method, path) in NAME_A_COLLECTION | NAME_A_MODEL
        expected |= {404} if named or (method, path) == ("get", "/v1/chat/completions") else set()
        expected |= {414, 422} if asked else set()
        expected |= {204} if path.endswith("/events") else set()
        conflicts = (
            path.endswith(("/retry", "/redeliver", "/collections/{name}/model")) or path in WANT_A_READY_DOCUMENT
        )
        conflicts |= (method, path) == ("delete", "/v1/jobs/{job_id}")  # of a job that hasn't ended
        conflicts |= (method == "post" and path in WANT_A_LIVING_STORE) or path == f"{IN_A_STORE}/content"
        expected |= {409} if conflicts else set()
        expected |= {200} if (method, path) == ("post", "/v1/summaries") else set()  # of a dry run
        expected |= WITH_BODY if "requestBody" in operation or method in ("post", "delete") else set()
        expected |= {409} if method == "post" and path in ("/v1/webhooks", "/v1/webhooks/{webhook_id}/test") else set()
        expected |= {409} if method == "post" and path.startswith(("/v1/files", "/v1/uploads")) else set()
        expected |= {400} if path == "/v1/responses/{response_id}/cancel" else set()  # of one that is waited for
        expected |= {206, 304, 416} if path == "/v1/files/{file_id}/content" else set()
        expected |= {404, 409} if (method, path) == ("post", "/v1/messages/batches") else set()
        expected |= {409} if path == "/v1/messages/batches/{message_batch_id}/results" else set()
        expected |= {409} if (method, path) == ("delete", "/v1/messages/batches/{message_batch_id}") else set()
        expected |= {204} if path == "/v1/batches/{batch_id}/results" else set()
        expected |= {409} if path == "/v1/batches/{batch_id}/cancel" else set()  # of one that has ended otherwise
        expected |= {404, 408, 409} if path == "/v1/batches/check" else set()
        expected |= _of_a_job(method, path, dialect(operation))
        if dialect(operation) in ("OpenAI's", "Ollama's", "Anthropic's") and 422 in expected:
            expected = expected - {422} | {400}
        assert documented == expected, (method, path)


def _of_a_job(method: str, path: str, dialect: str) -> set[int]:
    """What a route answers because a job came to nothing, or hasn't ended in time."""
    if method == "post" and path in CALLS:
        return {404, 408, 409} | ({202} if dialect == "OpenAI's" else set())
    return {202} if dialect == "Replicate's" and method == "post" and path.endswith("/predictions") else set()


def test_every_error_has_its_dialects_shape(spec: dict[str, Any]) -> None:
    """Each documented failure refers to the same schema, but for the one that gunicorn answers itself."""
    for (_, path), operation in operations(spec).items():
        content_type, name = ERRORS.get(dialect(operation), ("application/json", "Error"))
        for status, response in operation["responses"].items():
            if int(status) >= 400 and int(status) != 414 and path not in ("/readyz", "/health"):
                schema = response["content"][content_type]["schema"]
                assert schema == {"$ref": f"#/components/schemas/{name}"}, (path, status)


def test_every_body_has_its_limits_on_the_page(spec: dict[str, Any]) -> None:
    """They are the route's: an upload may be larger than a job."""
    said = {key: op["requestBody"]["description"] for key, op in operations(spec).items() if "requestBody" in op}
    assert all(text.startswith("At most ") for text in said.values())
    assert said["post", "/v1/jobs"].startswith(f"At most {MAX_BODY_BYTES} bytes; as JSON, at most 20000 values")
    assert said["post", "/v1/documents"].startswith(f"At most {MAX_UPLOAD_BYTES} bytes")
    assert said["post", "/v1/search"].startswith(f"At most {MAX_BODY_BYTES} bytes; as JSON, at most 1000 values")


def test_only_health_needs_no_key(spec: dict[str, Any]) -> None:
    """The key is asked for everywhere else; a job's events open to a ticket too."""
    assert spec["security"] == [{"key": []}]
    ways = {path: op["security"] for (_, path), op in operations(spec).items() if op.get("security")}
    assert ways == {"/v1/jobs/{job_id}/events": [{"key": []}, {"ticket": []}]}
    open_ = {path for (_, path), op in operations(spec).items() if op.get("security") == []}
    assert open_ == {"/healthz", "/readyz", "/health"}


def test_page_names_no_model(spec: dict[str, Any]) -> None:
    """They come and go; `GET /v1/models` lists them."""
    assert "enum" not in spec["components"]["schemas"]["ChatRequest"]["properties"]["model"]


def understood(api: Api, sessions: Sessions, caller: Caller) -> dict[str, Any]:
    """What is shown of a document that is ready."""
    path, document_id = f"/v1/documents/{(document := api.bring())['id']}", ids.parse(document["id"], ids.DOCUMENT)
    assert document_id
    with sessions.begin() as session:
        shelves.store(session, caller.tenant_id, document_id, [Piece("x", 1)], np.ones((1, 4), np.float32))
    return {"DocumentText": api.get(f"{path}/text").json, "DocumentChunkList": api.get(f"{path}/chunks").json}


def answered(api: Api) -> dict[str, Any]:
    """One answer of each kind, by the name of its schema."""
    job, document = api.submit(), api.bring()
    webhook = api.post("/v1/webhooks", json={"url": "https://example.com/"}).json
    summary = api.post("/v1/summaries", json={"texts": [{"text": "one two"}]}).json
    return {
        "Job": job,
        "JobInFull": api.get(f"/v1/jobs/{job['id']}").json,
        "JobList": api.get("/v1/jobs").json,
        "Links": job["links"],
        "Ticket": api.post(f"/v1/jobs/{job['id']}/ticket").json,
        "Usage": api.post(f"/v1/jobs/{job['id']}/cancel").json["usage"],
        "Document": document,
        "DocumentLinks": document["links"],
        "DocumentList": api.get("/v1/documents").json,
        "Collection": api.get("/v1/collections/books").json,
        "CollectionLinks": api.get("/v1/collections/books").json["links"],
        "CollectionList": api.get("/v1/collections").json,
        "SearchResults": api.post("/v1/search", json={"collection": "books", "query": "one"}).json,
        "Summary": api.get(f"/v1/summaries/{summary['id']}").json,
        "SummaryCounts": api.get(f"/v1/summaries/{summary['id']}").json["counts"],
        "SummaryResultList": api.get(f"/v1/summaries/{summary['id']}/results").json,
        "SummaryEstimate": api.post("/v1/summaries", json={"texts": [{"text": "one"}], "dry_run": True}).json,
        "Webhook": webhook,
        "WebhookLinks": webhook["links"],
        "WebhookList": api.get("/v1/webhooks").json,
        "Delivery": api.post(f"/v1/webhooks/{webhook['id']}/test").json,
        "DeliveryList": api.get("/v1/deliveries").json,
        "NewSecret": api.post("/v1/webhook-secret/rotate").json,
        "ServerFunction": api.get("/v1/functions/weather").json,
        "ServerFunctionList": api.get("/v1/functions").json,
        "FunctionResult": api.post("/v1/functions/current_time", json={}).json,
        "Model": api.get("/v1/models").json["data"][0],
        "ModelList": api.get("/v1/models").json,
        "UsageReport": api.get("/v1/usage").json,
        "UsageRow": api.get("/v1/usage").json["data"][0],
        "UsageSum": api.get("/v1/usage").json["total"],
        "Readiness": api.get("/readyz").json,
        "Parts": api.get("/readyz").json["parts"],
        "Health": api.get("/healthz").json,
        "Error": api.get("/v1/nothing").json,
        "ErrorDetail": api.get("/v1/nothing").json["error"],
    }


def deleted(api: Api) -> Any:
    """What is answered when a batch of messages that has ended is deleted."""
    path = f"/v1/messages/batches/{api.post('/v1/messages/batches', json=MANY).json['id']}"
    waiting.until(lambda: api.get(path).json["ended_at"])
    return api.ask("DELETE", path).json


def spoken(api: Api) -> dict[str, Any]:
    """One answer of each kind that a worker is waited for, and of the smaller dialects."""
    prompt, texts = {"model": "alpha", "prompt": "x", "stream": False}, {"model": "embedder", "input": ["x"]}
    messages = {"model": "alpha", "messages": [{"role": "user", "content": "x"}], "stream": False}
    prediction = {"version": "alpha", "input": {"prompt": "x"}}
    reranked = api.post("/v1/rerank", json={"query": "x", "documents": ["y"], "return_documents": True}).json
    return {
        "Reranked": reranked,
        "RerankResult": reranked["results"][0],
        "RerankUsage": reranked["usage"],
        "RerankedDocument": reranked["results"][0]["document"],
        "PlainGenerated": api.post("/api/v1/generate", json={"prompt": "x"}).json,
        "RagAccepted": api.post("/v1/rag/documents", json={"texts": ["x"]}).json,
        "RagAnswer": api.post("/v1/rag/chat", json={"query": "x"}).json,
        "PlainHealth": api.get("/health").json,
        "OllamaGenerated": api.post("/api/generate", json=prompt).json,
        "OllamaChatted": api.post("/api/chat", json=messages).json,
        "OllamaEmbedded": api.post("/api/embed", json=texts).json,
        "OllamaEmbedding": api.post("/api/embeddings", json={"model": "embedder", "prompt": "x"}).json,
        "OllamaTags": api.get("/api/tags").json,
        "OllamaTag": api.get("/api/tags").json["models"][0],
        "OllamaDetails": api.get("/api/tags").json["models"][0]["details"],
        "OllamaProcesses": api.get("/api/ps").json,
        "OllamaShown": api.post("/api/show", json={"model": "alpha"}).json,
        "OllamaVersion": api.get("/api/version").json,
        "OllamaError": api.post("/api/show", json={}).json,
        "Prediction": api.post("/v1/predictions", json=prediction, headers={"Prefer": "wait"}).json,
        "PredictionPage": api.get("/v1/predictions").json,
        "Problem": api.get("/v1/predictions/x").json,
        "AnthropicMessage": api.post("/v1/messages", json=messages | {"max_tokens": 2}).json,
        "AnthropicTokens": api.post(
            "/v1/messages/count_tokens", json={name: messages[name] for name in ("model", "messages")}
        ).json,
        "MessageBatch": api.post("/v1/messages/batches", json=MANY).json,
        "MessageBatchCounts": api.post("/v1/messages/batches", json=MANY).json["request_counts"],
        "DeletedMessageBatch": deleted(api),
        "MessageBatchList": api.get("/v1/messages/batches").json,
        "AnthropicUsage": api.post("/v1/messages", json=messages | {"max_tokens": 2}).json["usage"],
        "AnthropicError": api.post("/v1/messages", json={}).json,
        "AnthropicErrorDetail": api.post("/v1/messages", json={}).json["error"],
    }


def test_answers_have_exactly_the_documented_members(
    api: Api, spec: dict[str, Any], sessions: Sessions, client: redis.Redis, caller: Caller
) -> None:
    """Whatever is answered is on the page, member for member; OpenAI's shapes are held to its client library's."""
    schemas = spec["components"]["schemas"]
    told = answered(api) | understood(api, sessions, caller)
    tables.worker(sessions, "w1", model="reranker")
    with byhand.working(sessions, client, byhand.in_two_words):
        told |= spoken(api)
    for name, answer in told.items():
        documented = schemas[name]
        assert set(documented["required"]) <= set(answer) <= set(documented["properties"]), name
    assert {schema["$ref"].rpartition("/")[2] for schema in responses(spec)} <= told.keys()


def responses(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """The schemas of all JSON answers."""
    return [
        content["schema"]
        for operation in operations(spec).values()
        if dialect(operation) != "OpenAI's"
        for response in operation["responses"].values()
        for type_, content in response.get("content", {}).items()
        if type_ == "application/json"
    ]


def test_every_error_of_ours_has_a_status() -> None:
    """A subclass is found before what it derives from."""
    kinds = list(errors.STATUS)
    for i, kind in enumerate(kinds):
        assert not any(issubclass(later, kind) for later in kinds[i + 1 :])


def test_root_leads_to_the_page(app: Flask) -> None:
    """Whoever opens the address that `up` prints sees what can be asked, without a key."""
    response = app.test_client().get("/")
    assert (response.status_code, response.headers["Location"]) == (302, "/docs/")


def test_page_loads_nothing_from_elsewhere(app: Flask) -> None:
    """The page works without a network: its parts come from the package that carries them."""
    client = app.test_client()
    page = client.get("/docs/")
    assert page.status_code == 200
    parts = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert parts
    for part in parts:
        assert part.startswith("/docs/"), part
        with client.get(part) as loaded:
            assert loaded.status_code == 200, part


def test_importing_needs_no_environment() -> None:
    """The modules are loaded without any setting; only `create_app()` without settings reads them."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("FOREBAY_")}
    loaded = subprocess.run([sys.executable, "-c", "import webapi.app, webapi.gunicorn_conf"], env=env, check=False)
    assert loaded.returncode == 0


def test_page_is_made_once_and_told_by_its_tag(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has it already gets a 304 without it."""
    client = app.test_client()
    first = client.get("/openapi.json")
    monkeypatch.setattr(json, "dumps", None)
    again = client.get("/openapi.json")
    unchanged = client.get("/openapi.json", headers={"If-None-Match": first.headers["ETag"]})
    other = client.get("/openapi.json", headers={"If-None-Match": '"another"'})
    assert again.data == other.data == first.data
    assert (unchanged.status_code, unchanged.data, unchanged.headers["ETag"]) == (304, b"", first.headers["ETag"])
