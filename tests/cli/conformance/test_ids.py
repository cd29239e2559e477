"""What OpenAI's tests name by made-up ids, as it is passed on."""

import json
from typing import Any

import pytest

from cli.conformance import ids
from cli.conformance.asked import Asked
from tests.cli.conformance.test_gateway import MADE

STORE = "/v1/vector_stores/vs_abc123"


@pytest.mark.parametrize(
    ("method", "path", "target"),
    [
        ("GET", "/v1/files/file_id/content", "/v1/files/file-real/content"),
        ("GET", "/v1/files?after=after&limit=0", "/v1/files?after=file-real&limit=0"),
        ("GET", "/v1/files?after=another", "/v1/files?after=another"),
        ("POST", "/v1/uploads/upload_abc123/parts", "/v1/uploads/upload_real/parts"),
        ("POST", "/v1/batches/batch_id/cancel", "/v1/batches/batch_real/cancel"),
        ("GET", "/v1/batches?after=after", "/v1/batches?after=batch_real"),
        ("DELETE", "/v1/responses/resp_677efb5139a88190b512bc3fef8e535d", "/v1/responses/resp_real"),
        ("POST", "/v1/responses/resp_677efb5139a88190b512bc3fef8e535d/cancel", "/v1/responses/resp_slow/cancel"),
        (
            "GET",
            "/v1/responses/response_id/input_items?after=after",
            "/v1/responses/resp_real/input_items?after=msg_real",
        ),
        ("GET", "/v1/conversations/conv_123/items/msg_abc", "/v1/conversations/conv_real/items/msg_real"),
        ("GET", "/v1/conversations/conv_123/items?after=after", "/v1/conversations/conv_real/items?after=msg_real"),
        ("GET", "/v1/vector_stores?after=after&before=before", "/v1/vector_stores?after=vs_real&before=vs_real"),
        ("POST", f"{STORE}/search", "/v1/vector_stores/vs_real/search"),
        ("GET", f"{STORE}/files/file-abc123/content", "/v1/vector_stores/vs_real/files/file-within/content"),
        (
            "GET",
            "/v1/vector_stores/vector_store_id/files?after=after",
            "/v1/vector_stores/vs_real/files?after=file-within",
        ),
        ("POST", f"{STORE}/file_batches", "/v1/vector_stores/vs_real/file_batches"),
        ("GET", f"{STORE}/file_batches/vsfb_abc123", "/v1/vector_stores/vs_real/file_batches/vsfb_real"),
        (
            "GET",
            f"{STORE}/file_batches/vsfb_abc123/files?after=after",
            "/v1/vector_stores/vs_real/file_batches/vsfb_real/files?after=file-in-batch",
        ),
        ("GET", "/v1/models/gpt-4o-mini", "/v1/models/gpt-4o-mini"),
    ],
)
def test_what_is_named_is_there(method: str, path: str, target: str) -> None:
    """In the path, and where a page begins or ends."""
    where, _, query = path.partition("?")
    assert ids.real(Asked(method, where, query), MADE).target == target


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        (
            "/v1/uploads/upload_abc123/complete",
            {"part_ids": ["string"], "md5": "md5"},
            {"part_ids": ["part_real"], "md5": "d"},
        ),
        (
            "/v1/batches",
            {"input_file_id": "input_file_id", "endpoint": "e"},
            {"input_file_id": "file-lines", "endpoint": "e"},
        ),
        ("/v1/responses", {"conversation": "string", "input": "i"}, {"conversation": "conv_real", "input": "i"}),
        ("/v1/responses", {"previous_response_id": "resp_123"}, {"previous_response_id": "resp_real"}),
        ("/v1/responses", {}, {}),
        (f"{STORE}/files", {"file_id": "file_id"}, {"file_id": "file-real"}),
        (
            f"{STORE}/file_batches",
            {"file_ids": ["string"], "files": [{"file_id": "file_id", "attributes": {}}]},
            {"file_ids": ["file-real"], "files": [{"file_id": "file-real", "attributes": {}}]},
        ),
    ],
)
def test_what_a_body_names_is_there(path: str, body: Any, told: Any) -> None:
    """And what is said of an upload is true; the rest is as it was."""
    real = ids.real(Asked("POST", path, body=json.dumps(body).encode()), MADE)
    assert json.loads(real.body) == told


def test_a_batch_of_no_files_is_given_one() -> None:
    """What names some is left as it is, and so is what is no batch."""
    assert (given := ids.filled(Asked("POST", f"{STORE}/file_batches", body=b"{}"), MADE))
    assert json.loads(given.body) == {"file_ids": ["file-real"]}
    for path, body in ((f"{STORE}/file_batches", b'{"files": []}'), (f"{STORE}/file_batches/b/cancel", b"{}")):
        assert ids.filled(Asked("POST", path, body=body), MADE) is None
