"""`/v1/messages/batches`, read: each request as a line of a batch's file, checked as its route would check it."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from marshmallow import fields

from dialects import plainjson
from dialects.anthropic import errors as told
from dialects.anthropic.requests import messages
from dialects.anthropic.requests.splitting import Splitter
from dialects.fields import Strict, load, within
from dialects.named import MESSAGE_BATCH
from dialects.openai.lines import MESSAGES
from dialects.wishes import Wishes
from tasks.batches.lines import MAX_LINE_BYTES, MAX_LINES
from tasks.errors import InvalidField
from tasks.jobs.requests import Submission
from tasks.kinds.generation import Generation

MOST_BYTES = MAX_LINE_BYTES - 1024  # of a request: a line says a little more
_VALUES = 50_000
_WISHES = Wishes(0, else_job=True, lane="batch")
_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_SCHEMA = messages.AnthropicMessageRequest()

BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "properties": {
                    "requests": {
                        "type": "array",
                        "maxItems": MAX_LINES,
                        "items": {
                            "type": "object",
                            "properties": {
                                "custom_id": {"type": "string", "pattern": "^[a-zA-Z0-9_-]{1,64}$"},
                                "params": {"type": "object", "description": "As of `POST /v1/messages`."},
                            },
                            "required": ["custom_id", "params"],
                            "additionalProperties": False,
                        },
                    }
                },
                "required": ["requests"],
                "additionalProperties": False,
            },
            "example": {
                "requests": [
                    {
                        "custom_id": "one",
                        "params": {
                            "model": "alpha",
                            "max_tokens": 16,
                            "messages": [{"role": "user", "content": "Why?"}],
                        },
                    }
                ]
            },
        }
    },
}


class MessageBatchListQuery(Strict):
    after_id = MESSAGE_BATCH.field("The `last_id` of the page before: those that are older.")
    before_id = MESSAGE_BATCH.field("The `first_id` of the page after: those that are newer.")
    limit = fields.Integer(load_default=20, validate=within(1, 1000))


class Requests:
    """The requests of a body that comes; `names` are what they are called."""

    def __init__(self) -> None:
        self._splitter = Splitter(MOST_BYTES)
        self.names: set[str] = set()

    def feed(self, piece: bytes) -> Iterator[tuple[Submission[Generation], bytes]]:
        """What is asked by the requests that end in this piece, and the lines that ask it.

        Raises `Malformed`, and `InvalidField` naming the request and its field.
        """
        for raw in self._splitter.feed(piece):
            yield self._read(raw)

    def finish(self) -> None:
        """To be called after the last piece. Raises `Malformed`, `InvalidField`."""
        self._splitter.finish()
        if not self.names:
            raise InvalidField("requests", "the list is empty")

    def _read(self, raw: bytes) -> tuple[Submission[Generation], bytes]:
        place = len(self.names)
        where = f"requests.{place}"
        if place >= MAX_LINES:
            raise InvalidField("requests", f"at most {MAX_LINES}")
        given = plainjson.parse(raw, _VALUES, where=tuple(where.split(".")))
        name = self._named(given, where)
        try:
            asked = messages.submission(load(_SCHEMA, given["params"]), _WISHES)
        except InvalidField as error:
            raise within_request(error, place) from error
        self.names.add(name)
        line = {"custom_id": name, "method": "POST", "url": MESSAGES, "body": given["params"]}
        return asked, orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)

    def _named(self, given: Mapping[str, Any], where: str) -> str:
        """What the request is called, once all that is around its params is as it should be."""
        name = given.get("custom_id")
        if not isinstance(name, str) or not _ID.fullmatch(name):
            raise InvalidField(f"{where}.custom_id", "must be 1 to 64 letters, digits, _ and -")
        if name in self.names:
            raise InvalidField(f"{where}.custom_id", f"another request is called {name}")
        if unknown := next((member for member in given if member not in ("custom_id", "params")), None):
            raise InvalidField(f"{where}.{unknown[:64]}", "unknown field: a request has custom_id and params")
        if not isinstance(given.get("params"), dict):
            raise InvalidField(f"{where}.params", "must be an object")
        if given["params"].get("stream"):
            raise InvalidField(f"{where}.params.stream", "a request of a batch isn't streamed")
        return name


def within_request(error: InvalidField, place: int) -> InvalidField:
    """What is wrong with the params of the request in this place, as the whole body's error."""
    path = f".{told.named(error.field)}" if error.field else ""
    return InvalidField(f"requests.{place}.params{path}", str(error))
