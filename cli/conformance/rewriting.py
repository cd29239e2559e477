"""What stands between OpenAI's tests and the API beside ids: what contradicts itself is left out of requests.

Functions of a request and of nothing else. The API knows nothing of it.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

from cli.conformance.asked import CHAT, COMPLETION_ID, COMPLETIONS, EMBEDDINGS, RESPONSES, Asked
from cli.conformance.ids import AFTER

TOKENS = f"{RESPONSES}/input_tokens"
FILE_BATCHES = "/v1/vector_stores/{}/file_batches"

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Relaxation:
    """A field that OpenAI's tests send and nothing could heed, where `meant` says so of the body that has it.

    `field` is its name, or the path of one in an object: `text.verbosity`.
    """

    path: str
    field: str
    why: str
    meant: Callable[[Body], bool]


def _always(_: Body) -> bool:
    return True


def _none(field: str) -> Callable[[Body], bool]:
    return lambda body: body[field] == 0


def _no_tokens(body: Body) -> bool:
    return not all(token.isdigit() for token in body["logit_bias"])


_NO_TEXT = "models here read and write text alone"
_NOTHING = "an answer of no tokens"
_TWICE = "beside `tools`, which it is the older name of"
_STRANGE = "`foo` is no token's id"

RELAXATIONS = (
    Relaxation(CHAT, "audio", _NO_TEXT, _always),
    Relaxation(CHAT, "moderation", "no such model", _always),
    Relaxation(CHAT, "web_search_options", "nothing here searches the web", _always),
    Relaxation(CHAT, "verbosity", "no model here knows of it", lambda body: body["verbosity"] != "medium"),
    Relaxation(CHAT, "max_tokens", _NOTHING, _none("max_tokens")),
    Relaxation(CHAT, "max_completion_tokens", _NOTHING, _none("max_completion_tokens")),
    Relaxation(CHAT, "functions", _TWICE, lambda body: "tools" in body),
    Relaxation(CHAT, "function_call", _TWICE, lambda body: "tools" in body),
    Relaxation(CHAT, "logit_bias", _STRANGE, _no_tokens),
    Relaxation(COMPLETIONS, "logit_bias", _STRANGE, _no_tokens),
    Relaxation(COMPLETIONS, "best_of", "the best of no answers", _none("best_of")),
    Relaxation(COMPLETIONS, "suffix", "the demo model can't fill in", _always),
    Relaxation(COMPLETIONS, "logprobs", "no model here tells how likely a prompt was", lambda body: "echo" in body),
    Relaxation(
        EMBEDDINGS,
        "encoding_format",
        "a strict client asks for base64 when nothing is said, and refuses it",
        lambda body: body["encoding_format"] == "base64",
    ),
    Relaxation(EMBEDDINGS, "dimensions", "vectors of one number", lambda body: body["dimensions"] == 1),
    *(
        Relaxation(path, field, why, meant)
        for path in (RESPONSES, TOKENS)
        for field, why, meant in (
            ("previous_response_id", "beside `conversation`", lambda body: "conversation" in body),
            ("text.verbosity", "no model here knows of it", lambda body: body["text"]["verbosity"] != "medium"),
        )
    ),
    Relaxation(RESPONSES, "moderation", "no such model", _always),
    Relaxation(RESPONSES, "prompt", "there are no templates here", _always),
    Relaxation(RESPONSES, "context_management", "nothing is compacted unasked", _always),
    Relaxation(RESPONSES, "max_tool_calls", "calls of no tools", _none("max_tool_calls")),
    Relaxation(FILE_BATCHES, "file_ids", "beside `files`", lambda body: "files" in body),
    Relaxation(TOKENS, "model", "no model is called `model`", _always),
    Relaxation(TOKENS, "personality", "no model here has one", _always),
)


def named(asked: Asked, stored: str) -> Asked:
    """The request about a completion that there is: `stored` takes the place of the tests' made-up id.

    A page begins after that completion, or after its first message.
    """
    path = "/".join(stored if part == COMPLETION_ID else part for part in asked.path.split("/"))
    after = f"{stored}-0" if path.endswith("/messages") else stored
    pairs = parse_qsl(asked.query, keep_blank_values=True)
    real = [(name, after if name == AFTER and value == AFTER else value) for name, value in pairs]
    return replace(asked, path=path, query=urlencode(real))


def relaxed(asked: Asked) -> tuple[Asked, list[Relaxation]]:
    """The request without what nothing could heed, and what that was."""
    path = re.sub("/vs_[^/]+", "/{}", asked.path)
    if asked.method != "POST" or path not in _PATHS or not asked.body:
        return asked, []
    body = json.loads(asked.body)
    left_out = list(_contradictions(path, body))
    for relaxation in left_out:
        room, _, inner = relaxation.field.rpartition(".")
        del (body[room] if room else body)[inner]
    return (replace(asked, body=json.dumps(body).encode()), left_out) if left_out else (asked, [])


def _contradictions(path: str, body: Body) -> Iterator[Relaxation]:
    for relaxation in RELAXATIONS:
        if relaxation.path == path and _has(body, relaxation.field) and relaxation.meant(body):
            yield relaxation


def _has(body: Body, field: str) -> bool:
    room, _, inner = field.rpartition(".")
    return inner in (body.get(room, {}) if room else body)


_PATHS = frozenset(relaxation.path for relaxation in RELAXATIONS)
