"""`/v1/files` and `/v1/uploads`, read."""

import re
from collections.abc import Mapping
from typing import Any

from marshmallow import fields, validate

from dialects.fields import STORABLE, Given, Strict, Whole, load, within
from dialects.named import FILE, PART
from tasks.files.files import SENT, Wish
from tasks.files.uploads import MAX_PARTS
from webapi import multipart

_LEAST_S, _MOST_S = 3600, 30 * 86_400
_DIGITS = re.compile("[0-9]{1,18}")
_EXPIRY = "Else a `batch` file expires after 30 days, any other never."

TEXTS = ("purpose", "expires_after[anchor]", "expires_after[seconds]")


class FileListQuery(Strict):
    after = FILE.field("The last `id` of the page before.")
    limit = fields.Integer(load_default=10_000, validate=within(0, 10_000))
    order = fields.String(load_default="desc", validate=validate.OneOf(("asc", "desc")))
    purpose = fields.String(validate=validate.Length(1, 64), metadata={"description": "Only files that are for this."})


class ExpiresAfter(Given):
    anchor = fields.String(required=True, validate=validate.OneOf(("created_at",)))
    seconds = Whole(required=True, validate=within(_LEAST_S, _MOST_S))


def _purpose() -> fields.String:
    return fields.String(required=True, validate=validate.OneOf(SENT))


class FileFields(Given):
    """What a form says of its file."""

    purpose = _purpose()
    expires_after = fields.Nested(ExpiresAfter, allow_none=True)


class Filename(fields.String):
    """As a form may call a file."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        return multipart.base_name(str(super()._deserialize(value, *args, **kwargs)), "filename")


class UploadRequest(Given):
    """A file that will come in parts."""

    filename = Filename(required=True, metadata={"minLength": 1, "maxLength": 255, **STORABLE})
    purpose = _purpose()
    bytes = Whole(required=True, validate=within(0, 2**50), metadata={"description": "Of all parts together."})
    mime_type = fields.String(
        required=True, validate=validate.Length(1, 255), metadata={"description": "Read and not heeded.", **STORABLE}
    )
    expires_after = fields.Nested(ExpiresAfter, allow_none=True, metadata={"description": _EXPIRY})


class CompleteUpload(Given):
    """Which parts an upload is made of, in their order."""

    part_ids = fields.List(PART.field("A part's id."), required=True, validate=validate.Length(max=MAX_PARTS))
    md5 = fields.String(
        allow_none=True,
        validate=validate.Regexp(r"\A[0-9a-fA-F]{32}\Z", error="must be 32 hexadecimal digits"),
        metadata={"description": "Of all bytes, in hexadecimal digits.", "pattern": "^[0-9a-fA-F]{32}$"},
    )


def form(texts: Mapping[str, str], *, partial: bool = False) -> dict[str, Any]:
    """What the texts of a form say, or of a form of which more may come. Raises `InvalidField`."""
    given: dict[str, Any] = {}
    for name, text in texts.items():
        room, _, inner = name.removesuffix("]").partition("[")
        if inner:
            given.setdefault(room, {})[inner] = int(text) if inner == "seconds" and _DIGITS.fullmatch(text) else text
        else:
            given[room] = text
    return load(FileFields(partial=partial), given)


def wish(filename: str, given: Mapping[str, Any]) -> Wish:
    return Wish(filename, given["purpose"], given.get("expires_after", {}).get("seconds"))


def multipart_body(name: str, **texts: Any) -> dict[str, Any]:
    """How the page describes a form with a file of this name, and these beside it."""
    file = {"type": "string", "format": "binary", "description": "With a name, and of any bytes."}
    required = [name, *(["purpose"] if texts else [])]
    schema = {
        "type": "object",
        "properties": {name: file, **texts},
        "required": required,
        "additionalProperties": False,
    }
    return {"required": True, "content": {"multipart/form-data": {"schema": schema}}}


FILE_BODY = multipart_body(
    "file",
    purpose={"type": "string", "enum": list(SENT), "description": "What the file is for."},
    expires_after={
        "type": "object",
        "description": f"As `expires_after[anchor]` and `expires_after[seconds]`. {_EXPIRY}",
        "properties": {
            "anchor": {"type": "string", "enum": ["created_at"]},
            "seconds": {"type": "integer", "minimum": _LEAST_S, "maximum": _MOST_S},
        },
        "required": ["anchor", "seconds"],
    },
)
PART_BODY = multipart_body("data")
