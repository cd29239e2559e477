"""What a request brings to be summarised: texts as JSON, or files as a form."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import marshmallow as ma
from flask import Request
from werkzeug.exceptions import UnsupportedMediaType

from dialects import plainjson
from dialects.fields import load
from tasks.documents.ingest import NewDocument
from webapi import body, multipart
from webapi.v1.documents import bringing
from webapi.v1.documents.requests import MAX_FILES

# A request as its schema read it, and what it brings.
Brought = tuple[dict[str, Any], list[NewDocument]]


@contextmanager
def brought(
    request: Request,
    as_json: ma.Schema,
    as_form: ma.Schema,
    *,
    objects: Sequence[str],
    numbers: Sequence[str] = (),
    flags: Sequence[str] = (),
) -> Iterator[Brought]:
    """What the request brings, read before the block: its client may be slow. `objects`, `numbers` and `flags` are the
    form's fields that are such in JSON."""
    boundary = request.mimetype_params.get("boundary", "") if request.mimetype == "multipart/form-data" else None
    if boundary is None and not body.is_json(request):
        raise UnsupportedMediaType("the body must be application/json in UTF-8, or multipart/form-data")
    with body.spooled(request) as spool:
        if boundary is None:
            given = load(as_json, plainjson.parse(spool.read(), body.imposed().values))
            yield given, [bringing.text(each) for each in given.get("texts", [])]
        else:
            form = multipart.read(spool, boundary, texts=as_form.fields, files="file", max_files=MAX_FILES)
            given = load(as_form, bringing.typed(form.texts, objects, numbers, flags))
            yield given, bringing.files(form.files, given)
