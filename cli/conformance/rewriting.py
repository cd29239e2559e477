"""What stands between OpenAI's tests and the API: their made-up ids made real, and what contradicts itself left out.

Functions of a request and of nothing else. The API knows nothing of it.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlencode

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
EMBEDDINGS = "/v1/embeddings"
MODERATIONS = "/v1/moderations"
CREATES = frozenset({CHAT, COMPLETIONS, EMBEDDINGS, MODERATIONS})

FILES = "/v1/files"
UPLOADS = "/v1/uploads"

FILE_ID, UPLOAD_ID = "file_id", "upload_abc123"  # what the tests call a file, and an upload
COMPLETION_ID = "completion_id"  # what the tests call a stored completion
AFTER = "after"  # and the one after which a page begins

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: its path without the query, its query as it is sent, its body as bytes."""

    method: str
    path: str
    query: str = ""
    body: bytes = b""

    @property
    def target(self) -> str:
        return f"{self.path}?{self.query}" if self.query else self.path

    @property
    def creates(self) -> bool:
        """True where a good answer means that a job was made."""
        return self.method == "POST" and self.path in CREATES

    @property
    def erases(self) -> bool:
        """True where a stored completion is gone afterwards."""
        return self.method == "DELETE" and self.path == f"{CHAT}/{COMPLETION_ID}"


class Makes(Protocol):
    """Makes what the tests' made-up ids are to be of, each time another."""

    def store(self) -> str:
        """A stored completion's id."""

    def file(self) -> str:
        """A file's id."""

    def upload(self) -> tuple[str, str, str]:
        """An upload's id, that of its only part, and the MD5 of that one's bytes."""


@dataclass(frozen=True, slots=True)
class Relaxation:
    """A field that OpenAI's tests send and nothing could heed, where `meant` says so of the body that has it."""

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


def of_files(asked: Asked, makes: Makes) -> Asked:
    """The request about a file, or an upload, that has just been made."""
    path, body = asked.path, asked.body
    if FILE_ID in path.split("/"):
        path = path.replace(FILE_ID, makes.file())
    if UPLOAD_ID in path.split("/"):
        upload_id, part_id, md5 = makes.upload()
        path = path.replace(UPLOAD_ID, upload_id)
        if path.endswith("/complete"):
            given = json.loads(body)
            body = json.dumps({"part_ids": [part_id]} | ({"md5": md5} if "md5" in given else {})).encode()
    pairs = parse_qsl(asked.query, keep_blank_values=True)
    real = [(name, makes.file() if name == AFTER and value == AFTER else value) for name, value in pairs]
    return replace(asked, path=path, query=urlencode(real), body=body)


def relaxed(asked: Asked) -> tuple[Asked, list[Relaxation]]:
    """The request without what nothing could heed, and what that was."""
    if not asked.creates or not asked.body:
        return asked, []
    body = json.loads(asked.body)
    left_out = list(_contradictions(asked.path, body))
    dropped = {relaxation.field for relaxation in left_out}
    rest = {name: value for name, value in body.items() if name not in dropped}
    return (replace(asked, body=json.dumps(rest).encode()), left_out) if dropped else (asked, [])


def _contradictions(path: str, body: Body) -> Iterator[Relaxation]:
    for relaxation in RELAXATIONS:
        if relaxation.path == path and relaxation.field in body and relaxation.meant(body):
            yield relaxation
