"""multipart/form-data (RFC 7578): text fields and files, with no more trust than a JSON body gets.

werkzeug's own reading of forms replaces what isn't UTF-8, keeps one of two fields of a name, and says nothing about
what it couldn't read; its decoder underneath does none of that.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import IO

from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import Data, Epilogue, Event, Field, File, MultipartDecoder, NeedData

from tasks.errors import InvalidField, Malformed
from webapi import body, hints

_PIECE_BYTES = 64 * 1024
_BUFFER_BYTES = 4 * _PIECE_BYTES  # a part's headers must fit
_FIELD_BYTES = 64 * 1024
_BOUNDARY_CHARACTERS = 200  # RFC 2046 allows 70


@dataclass(frozen=True, slots=True)
class Upload:
    """A file as it came. Its name is what the client says: no path, but not to be used as one either.

    `charset` is what the part's `Content-Type` says, whatever that is.
    """

    filename: str
    raw: bytes
    charset: str | None = None


@dataclass(slots=True)
class Form:
    """Text fields by name, and the files of the one field that takes files, in their order."""

    texts: dict[str, str] = field(default_factory=dict)
    files: list[Upload] = field(default_factory=list)


def read(stream: IO[bytes], boundary: str, *, texts: Collection[str], files: str, max_files: int) -> Form:
    """The form in `stream`: at most one field of each name in `texts`, and `max_files` of the name `files`.

    Raises `Malformed`; `InvalidField` for other fields, and more, than these.
    """
    if not boundary or len(boundary) > _BOUNDARY_CHARACTERS or not boundary.isascii():
        raise Malformed(None, "the type of the body names no boundary, or none that can be")
    form = Form()
    for part, raw in _parts(stream, boundary, texts, files):
        if isinstance(part, File):
            if len(form.files) == max_files:
                raise InvalidField(files, f"at most {max_files} files")
            _, options = parse_options_header(part.headers.get("content-type"))
            form.files.append(Upload(_base_name(part.filename, files), raw, options.get("charset")))
        else:
            if part.name in form.texts:
                raise Malformed(part.name, "the field is there twice")
            text = body.decode(raw, (part.name,))
            body.refuse_unstorable(text, (part.name,))
            form.texts[part.name] = text
    return form


def _parts(
    stream: IO[bytes], boundary: str, texts: Collection[str], files: str
) -> Iterator[tuple[Field | File, bytes]]:
    """Each part with its contents, whole."""
    part: Field | File | None = None
    pieces: list[bytes] = []
    size = 0
    for event in _events(stream, boundary):
        if isinstance(event, (Field, File)):
            _refuse_unknown(event, texts, files)
            part, pieces, size = event, [], 0
        elif isinstance(event, Data) and part is not None:
            pieces.append(event.data)
            size += len(event.data)
            if isinstance(part, Field) and size > _FIELD_BYTES:
                raise InvalidField(part.name, f"at most {_FIELD_BYTES} bytes")
            if not event.more_data:
                yield part, b"".join(pieces)


def _events(stream: IO[bytes], boundary: str) -> Iterator[Event]:
    decoder = MultipartDecoder(boundary.encode(), _BUFFER_BYTES)
    try:
        while True:
            event = decoder.next_event()
            if isinstance(event, NeedData):
                decoder.receive_data(stream.read(_PIECE_BYTES) or None)
            elif isinstance(event, Epilogue):
                return
            else:
                yield event
    except RequestEntityTooLarge as error:
        raise Malformed(None, "the headers of a part are too large") from error
    except ValueError as error:  # also for headers that aren't UTF-8, and a body that ends too early
        raise Malformed(None, "the body isn't multipart/form-data with the boundary it names") from error


def _refuse_unknown(part: Field | File, texts: Collection[str], files: str) -> None:
    name: str | None = part.name  # None where a part has no name, whatever werkzeug's types say
    if name is None:
        raise Malformed(None, "a part of the body has no name")
    if name != files and name not in texts:
        shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name[:64])
        raise InvalidField(shown, hints.told([name], [*texts, files])[1])
    if isinstance(part, File) and name != files:
        raise InvalidField(name, "must be a text, not a file")
    if isinstance(part, Field) and name == files:
        raise InvalidField(name, "must be a file with a name")


def _base_name(filename: str, where: str) -> str:
    """The name without the folders that some clients send along."""
    body.refuse_unstorable(filename, (where,))
    name = filename.replace("\\", "/").rsplit("/", 1)[-1].strip()
    if not name or len(name) > 255 or not name.isprintable():
        raise InvalidField(where, "must have a name of 1 to 255 printable characters")
    return name
