"""What a request brings into a collection: texts as JSON, or files as a form."""

import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from flask import Request
from werkzeug.exceptions import UnsupportedMediaType

from dialects import plainjson
from dialects.fields import load
from tasks.documents import charsets, kinds
from tasks.documents.ingest import NewDocument
from tasks.errors import InvalidField
from webapi import body, multipart
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
            given = load(requests.IngestRequest(), plainjson.parse(spool.read(), body.imposed().values))
            yield given, _texts(given["documents"])
        else:
            form = multipart.read(spool, boundary, texts=requests.TEXTS, files="file", max_files=requests.MAX_FILES)
            sorts = (requests.OBJECTS, requests.NUMBERS, requests.FLAGS, requests.LISTS)
            given = load(requests.UploadFields(), typed(form.texts, *sorts))
            yield given, files(form.files, given)


def _texts(given: list[dict[str, Any]]) -> list[NewDocument]:
    seen: set[str] = set()
    for number, document in enumerate(given):
        name = document.get("external_id")
        if name in seen:
            raise InvalidField(f"documents.{number}.external_id", "another document of the request has it")
        seen |= {name} if name else set()
    return [text(document) for document in given]


def text(given: dict[str, Any]) -> NewDocument:
    about = given.get("title"), None, given.get("metadata", {})
    return NewDocument(given["text"], None, "text", *about, external_id=given.get("external_id"))


def files(uploads: list[multipart.Upload], given: dict[str, Any]) -> list[NewDocument]:
    if not uploads:
        raise InvalidField("file", "Missing data for required field.")
    names = _external_ids(len(uploads), given)
    if given.get("replace") and names[0] is not None:
        raise InvalidField("replace", "what has an external_id replaces by that")
    if given.get("replace") and len({upload.filename for upload in uploads}) < len(uploads):
        raise InvalidField("file", "two files of one name would replace each other")
    return [
        replace(_file(upload, given), external_id=name, replaces=given.get("replace", False))
        for upload, name in zip(uploads, names, strict=True)
    ]


def _external_ids(count: int, given: dict[str, Any]) -> Sequence[str | None]:
    """What each of so many files is called where it comes from, None for all or for none of them."""
    one, several = given.get("external_id"), given.get("external_ids")
    if one is not None and (count > 1 or several is not None):
        raise InvalidField("external_id", "is one file's; external_ids has one for each of several")
    if several is not None and len(several) != count:
        raise InvalidField("external_ids", f"must be {count}, one for each file")
    if several is not None and len(set(several)) < count:
        raise InvalidField("external_ids", "two files have the same")
    return several or [one] * count


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


def typed(
    texts: dict[str, str],
    objects: Collection[str],
    numbers: Collection[str],
    flags: Collection[str] = (),
    lists: Collection[str] = (),
) -> dict[str, Any]:
    """The text fields as a JSON body would have them: which are objects, numbers, true or false, and arrays."""
    given: dict[str, Any] = dict(texts)
    for name in given.keys() & set(lists):
        given[name] = plainjson.parse_list(texts[name].encode(), body.imposed().values, where=(name,))
    for name in given.keys() & set(objects):
        given[name] = plainjson.parse(texts[name].encode(), body.imposed().values, where=(name,))
    for name in numbers:
        if re.fullmatch("[0-9]{1,9}", texts.get(name, "")):
            given[name] = int(texts[name])
    for name in given.keys() & set(flags):
        given[name] = {"true": True, "false": False}.get(texts[name], texts[name])
    return given
