"""A file's bytes as an answer: whole or a range of them (RFC 9110, 14), a piece at a time."""

from collections.abc import Iterator
from functools import partial
from itertools import chain
from urllib.parse import quote

from flask import Response, request, stream_with_context
from werkzeug.datastructures import Range
from werkzeug.exceptions import RequestedRangeNotSatisfiable

from dialects.named import FILE
from tasks.files.files import Content
from webapi import auth, service

_TYPE = "application/octet-stream"


def sent(content: Content) -> Response:
    """The answer to the request that is handled now. What it is read for holds a thread, as streams do.

    Raises `ShareUsedUp` or `Unavailable`, and `RequestedRangeNotSatisfiable`.
    """
    size = content.file.bytes
    response = Response(mimetype=_TYPE)
    response.set_etag(FILE.show(content.file.id))  # its bytes never change
    response.headers["Accept-Ranges"] = "bytes"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers.set("Content-Disposition", "attachment", **_named(content.file.filename))
    response.make_conditional(request)
    if response.status_code != 200:
        return response
    start, end = _range(size, response) or (0, size)
    response.headers["Content-Length"] = str(end - start)
    if request.method == "GET":
        _fill(response, content.read(start, end))
    return response


def _fill(response: Response, pieces: Iterator[bytes]) -> None:
    """The first piece is had before anything is said: an error is still told then. Later, the connection breaks."""
    serving, tenant_id = service.current(), auth.caller().tenant_id
    serving.rest()
    serving.readers.take(tenant_id)
    response.call_on_close(partial(serving.readers.give_back, tenant_id))
    try:
        first = next(pieces, b"")
    except BaseException:
        response.close()
        raise
    response.response = stream_with_context(chain((first,), pieces))


def _range(size: int, response: Response) -> tuple[int, int] | None:
    """The range that is asked for, said in the answer's head; None where all of it is, or several are."""
    asked, fresh = request.range, request.if_range
    if asked is None or asked.units != "bytes" or len(asked.ranges) != 1:
        return None
    if "If-Range" in request.headers and fresh.etag != response.get_etag()[0]:
        return None
    first, end = asked.ranges[0]
    if first < 0:  # the last so many bytes; more than there are, are all of them
        first = max(first, -size) or size
    span = Range("bytes", [(first, end)]).range_for_length(size)
    if span is None:
        raise RequestedRangeNotSatisfiable(size, "bytes", f"the file has {size} bytes")
    response.status_code = 206
    response.headers["Content-Range"] = f"bytes {span[0]}-{span[1] - 1}/{size}"
    return span


def _named(filename: str) -> dict[str, str]:
    """As RFC 6266 has it: a name beyond ASCII in UTF-8, and beside it one that old clients read."""
    if filename.isascii():
        return {"filename": filename}
    encoded = quote(filename, safe="!#$&+-.^_`|~")
    return {
        "filename": filename.encode("ascii", "replace").decode().replace("?", "_"),
        "filename*": f"UTF-8''{encoded}",
    }
