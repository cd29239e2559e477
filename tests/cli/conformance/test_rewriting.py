"""What OpenAI's tests ask, as it is passed on."""

import json
from typing import Any

import pytest

from cli.conformance import rewriting
from cli.conformance.rewriting import CHAT, COMPLETIONS, EMBEDDINGS, Asked
from tests.cli.conformance.test_gateway import MADE


def left_out(path: str, **body: Any) -> set[str]:
    """The fields of such a body that aren't passed on."""
    asked, relaxations = rewriting.relaxed(Asked("POST", path, body=json.dumps(body).encode()))
    gone = set(body) - set(json.loads(asked.body))
    assert gone == {relaxation.field for relaxation in relaxations}
    return gone


@pytest.mark.parametrize(
    ("path", "query", "target"),
    [
        (f"{CHAT}/completion_id", "", f"{CHAT}/real"),
        (CHAT, "after=after&metadata%5Bfoo%5D=string", f"{CHAT}?after=real&metadata%5Bfoo%5D=string"),
        (f"{CHAT}/completion_id/messages", "after=after", f"{CHAT}/real/messages?after=real-0"),
        (CHAT, "after=another", f"{CHAT}?after=another"),
    ],
)
def test_made_up_ids_become_real(path: str, query: str, target: str) -> None:
    """A path's, and the one that a page begins after."""
    assert rewriting.named(Asked("GET", path, query), "real").target == target


@pytest.mark.parametrize(
    ("path", "query", "body", "target", "told"),
    [
        ("/v1/files/file_id/content", "", None, "/v1/files/file-real/content", None),
        ("/v1/files", "after=after&limit=0", None, "/v1/files?after=file-real&limit=0", None),
        ("/v1/uploads/upload_abc123/parts", "", None, "/v1/uploads/upload_real/parts", None),
        (
            "/v1/uploads/upload_abc123/complete",
            "",
            {"part_ids": ["string"], "md5": "md5"},
            "/v1/uploads/upload_real/complete",
            {"part_ids": ["part_real"], "md5": "d"},
        ),
    ],
)
def test_made_up_files_become_real(path: str, query: str, body: Any, target: str, told: Any) -> None:
    """And what is said of an upload is true."""
    real = rewriting.of_files(Asked("POST", path, query, json.dumps(body).encode() if body else b""), MADE)
    assert (real.target, json.loads(real.body) if real.body else None) == (target, told)


def test_only_what_contradicts_itself_is_left_out() -> None:
    """The same fields with a meaning are passed on as they are."""
    assert left_out(CHAT, model="m", max_tokens=0, functions=[], tools=[], logit_bias={"foo": 0}) == {
        "max_tokens",
        "functions",
        "logit_bias",
    }
    assert left_out(CHAT, model="m", max_tokens=1, functions=[], logit_bias={"7": 0}, verbosity="medium") == set()
    assert left_out(COMPLETIONS, prompt="p", best_of=0, echo=True, logprobs=0) == {"best_of", "logprobs"}
    assert left_out(COMPLETIONS, prompt="p", best_of=2, logprobs=0) == set()
    assert left_out(EMBEDDINGS, input="i", dimensions=1, encoding_format="base64") == {"dimensions", "encoding_format"}
    assert left_out(EMBEDDINGS, input="i", dimensions=384, encoding_format="float") == set()


def test_requests_that_create_nothing_pass_untouched() -> None:
    """Notes on a stored completion are none of the create calls."""
    asked = Asked("POST", f"{CHAT}/real", body=b'{"metadata": {"max_tokens": "0"}}')
    assert rewriting.relaxed(asked) == (asked, [])
    assert not asked.creates
    assert Asked("DELETE", f"{CHAT}/completion_id").erases
