"""What OpenAI's tests name by ids that they have made up, each request about things that have just been made.

So whatever order the tests come in, and whatever they delete or end, the next finds what it asks about.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple, Protocol
from urllib.parse import parse_qsl, urlencode

from cli.conformance.asked import Asked

FILE_ID, UPLOAD_ID = "file_id", "upload_abc123"  # what the tests call a file, and an upload
AFTER, BEFORE = "after", "before"  # and what a page begins after, or ends before


class Within(NamedTuple):
    """Something, and something in it: a conversation and an item, a vector store and a file."""

    whole: str
    part: str


class Makes(Protocol):
    """Makes what the tests' made-up ids are to be of, each time another; of each it gives the id."""

    def store(self) -> str:
        """A stored completion."""

    def file(self) -> str: ...

    def upload(self) -> tuple[str, str, str]:
        """An upload, its only part, and the MD5 of that one's bytes."""

    def lines(self) -> str:
        """A file that a batch can be made of."""

    def batch(self) -> str: ...

    def response(self, *, background: bool = False) -> Within:
        """A response, and the item that it was asked; with `background`, one that may not have ended."""

    def conversation(self) -> Within:
        """With an item."""

    def vector_store(self) -> str: ...

    def vector_store_file(self) -> Within: ...

    def vector_store_batch(self) -> tuple[Within, str]:
        """A vector store and a batch of files in it, and one of these."""


Room = Callable[[Asked, Makes], Asked]


def real(asked: Asked, makes: Makes) -> Asked:
    """The request about things that there are."""
    room = ROOMS.get(asked.path.removeprefix("/v1/").partition("/")[0])
    return asked if room is None else room(asked, makes)


def filled(asked: Asked, makes: Makes) -> Asked | None:
    """The request with a file, where it asks for a batch of none: OpenAI's own page wants one. None for another."""
    if asked.method != "POST" or asked.path.rpartition("/")[2] != "file_batches" or not asked.body.startswith(b"{"):
        return None
    body = json.loads(asked.body)
    if "file_ids" in body or "files" in body:
        return None
    return replace(asked, body=json.dumps({**body, "file_ids": [makes.file()]}).encode())


def _files(asked: Asked, makes: Makes) -> Asked:
    here = _in_path(asked, {FILE_ID: makes.file()}) if FILE_ID in asked.path.split("/") else asked
    return _in_query(here, makes.file)


def _uploads(asked: Asked, makes: Makes) -> Asked:
    if UPLOAD_ID not in asked.path.split("/"):
        return asked
    upload_id, part_id, md5 = makes.upload()
    here = _in_path(asked, {UPLOAD_ID: upload_id})
    return _said(here, part_ids=lambda _: [part_id], md5=lambda _: md5) if here.path.endswith("/complete") else here


def _batches(asked: Asked, makes: Makes) -> Asked:
    if "batch_id" in asked.path.split("/"):
        return _in_path(asked, {"batch_id": makes.batch()})
    return _in_query(_said(asked, input_file_id=lambda _: makes.lines()), makes.batch)


def _responses(asked: Asked, makes: Makes) -> Asked:
    _, _, _, *rest = asked.path.split("/")
    if rest in ([], ["input_tokens"], ["compact"]):
        return _said(
            asked,
            previous_response_id=lambda _: makes.response().whole,
            conversation=lambda _: makes.conversation().whole,
        )
    made = makes.response(background=rest[-1] == "cancel")
    return _in_query(_in_path(asked, {rest[0]: made.whole}), lambda: made.part)


def _conversations(asked: Asked, makes: Makes) -> Asked:
    if "conv_123" not in asked.path.split("/"):
        return asked
    made = makes.conversation()
    return _in_query(_in_path(asked, {"conv_123": made.whole, "msg_abc": made.part}), lambda: made.part)


def _vector_stores(asked: Asked, makes: Makes) -> Asked:
    _, _, _, *rest = asked.path.split("/")
    asked = _said(
        asked,
        file_id=lambda _: makes.file(),
        file_ids=lambda ids: [makes.file() for _ in ids],
        files=lambda files: [file | {"file_id": makes.file()} for file in files],
    )
    if not rest:
        return _in_query(asked, makes.vector_store)
    if rest[1:2] == ["files"]:
        made = makes.vector_store_file()
        file_id = made.part
    elif rest[1:2] == ["file_batches"] and len(rest) > 2:
        made, file_id = makes.vector_store_batch()
    else:
        made, file_id = Within(makes.vector_store(), ""), ""
    here = _in_path(asked, dict(zip((rest[0], *rest[2:3]), made, strict=False)))
    return _in_query(here, lambda: file_id)


ROOMS: Mapping[str, Room] = {
    "files": _files,
    "uploads": _uploads,
    "batches": _batches,
    "responses": _responses,
    "conversations": _conversations,
    "vector_stores": _vector_stores,
}


def _in_path(asked: Asked, ids: Mapping[str, str]) -> Asked:
    return replace(asked, path="/".join(ids.get(part, part) for part in asked.path.split("/")))


def _in_query(asked: Asked, make: Callable[[], str]) -> Asked:
    """Where a page begins, or ends."""
    pairs = parse_qsl(asked.query, keep_blank_values=True)
    if not any(name == said and name in (AFTER, BEFORE) for name, said in pairs):
        return asked
    real = [(name, make() if name == said and name in (AFTER, BEFORE) else said) for name, said in pairs]
    return replace(asked, query=urlencode(real))


def _said(asked: Asked, **fields: Callable[[Any], Any]) -> Asked:
    """With other values of those of these fields that its JSON has; each is made of what was there."""
    if asked.method != "POST" or not asked.body.startswith(b"{"):
        return asked
    body = json.loads(asked.body)
    body |= {name: make(body[name]) for name, make in fields.items() if name in body}
    return replace(asked, body=json.dumps(body).encode())
