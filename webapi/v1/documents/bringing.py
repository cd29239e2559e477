"""What a request brings into a collection: texts as JSON, or files as a form."""

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from flask import Request
from werkzeug.exceptions import UnsupportedMediaType

from tasks.documents import charsets, kinds
from tasks.documents.ingest import NewDocument
from tasks.errors import InvalidField
from webapi import body, multipart
from webapi.api import load
from webapi.v1.documents import requests

# A request as its schema read it, and its documents.
Brought = tuple[dict[str, Any], list[NewDocument]]


@contextmanager
def brought(request: Request) -> Iterator[Brought]:
    """What the request brings. Its body is read first and taken into memory then: its client may be slow."""
    boundary = request.mimetype_params.get("boundary", "") if request.mimetype == "multipart/form-data" else None
    if boundary is None and not body.is_json(request):
        raise UnsupportedMediaType("the body must be application/json in UTF-8, or multipart/form-data")
    with body.spooled(request) as spool:
        if boundary is None:
            given = load(requests.IngestRequest(), body.parse(spool.read(), body.imposed().values))
            yield given, [text(document) for document in given["documents"]]
        else:
            form = multipart.read(spool, boundary, texts=requests.TEXTS, files="file", max_files=requests.MAX_FILES)
            given = load(requests.UploadFields(), typed(form.texts, requests.OBJECTS, requests.NUMBERS))
            yield given, files(form.files, given)


def text(given: dict[str, Any]) -> NewDocument:
    about = given.get("title"), None, given.get("metadata", {})
    return NewDocument(given["text"], None, "text", *about)


def files(uploads: list[multipart.Upload], given: dict[str, Any]) -> list[NewDocument]:
    if not uploads:
        raise InvalidField("file", "Missing data for required field.")
    return [_file(upload, given) for upload in uploads]


def _file(upload: multipart.Upload, given: dict[str, Any]) -> NewDocument:
    kind = kinds.kind_of(upload.filename)
    if kind is None:
        raise InvalidField("file", f"{upload.filename!r}: must end in one of {' '.join(kinds.SUFFIXES)}")
    if not upload.raw:
        raise InvalidField("file", f"{upload.filename!r}: must not be empty")
    about = given.get("title"), upload.filename, given.get("metadata", {})
    return NewDocument(None, upload.raw, kind, *about, charset=given.get("charset") or _charset(upload))


def _charset(upload: multipart.Upload) -> str | None:
    """The charset that a file's part says it is in."""
    if not upload.charset:
        return None
    charset = charsets.known(upload.charset)
    if charset is None:
        raise InvalidField("file", f"{upload.filename!r}: {requests.NO_CHARSET}")
    return charset


def typed(texts: dict[str, str], objects: Collection[str], numbers: Collection[str]) -> dict[str, Any]:
    """The text fields as a JSON body would have them, of which these are objects and numbers."""
    given: dict[str, Any] = dict(texts)
    for name in given.keys() & set(objects):
        given[name] = body.parse(texts[name].encode(), body.imposed().values, where=(name,))
    for name in numbers:
        if re.fullmatch("[0-9]{1,9}", texts.get(name, "")):
            given[name] = int(texts[name])
    return given
