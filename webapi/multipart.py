"""multipart/form-data (RFC 7578): text fields and files, with no more trust than a JSON body gets.

werkzeug's own reading of forms replaces what isn't UTF-8, keeps one of two fields of a name, and says nothing about
what it couldn't read; its decoder underneath does none of that.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import Data, Epilogue, Event, Field, File, MultipartDecoder, NeedData

from dialects import hints, plainjson
from tasks.errors import InvalidField, Malformed

_PIECE_BYTES = 64 * 1024
_BUFFER_BYTES = 4 * _PIECE_BYTES  # a part's headers must fit
_FIELD_BYTES = 64 * 1024
_BOUNDARY_CHARACTERS = 200  # RFC 2046 allows 70


class Readable(Protocol):
    """A body that comes."""

    def read(self, size: int, /) -> bytes: ...


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


def read(stream: Readable, boundary: str, *, texts: Collection[str], files: str, max_files: int) -> Form:
    """The form in `stream`: at most one field of each name in `texts`, and `max_files` of the name `files`.

    Raises `Malformed`; `InvalidField` for other fields, and more, than these.
    """
    form = Form()
    for part, pieces in parts(stream, boundary, texts=texts, files=files):
        if isinstance(part, File):
            if len(form.files) == max_files:
                raise InvalidField(files, f"at most {max_files} files")
            _, options = parse_options_header(part.headers.get("content-type"))
            form.files.append(Upload(base_name(part.filename, files), b"".join(pieces), options.get("charset")))
        else:
            note(form.texts, part, pieces)
    return form


def parts(
    stream: Readable, boundary: str, *, texts: Collection[str], files: str
) -> Iterator[tuple[Field | File, Iterator[bytes]]]:
    """Each part with its contents, which come as they are asked for: whoever takes the next part has asked for all.

    Raises `Malformed`; `InvalidField` for a part of another name than these.
    """
    if not boundary or len(boundary) > _BOUNDARY_CHARACTERS or not boundary.isascii():
        raise Malformed(None, "the type of the body names no boundary, or none that can be")
    events = _events(stream, boundary)
    for event in events:
        if isinstance(event, (Field, File)):
            _refuse_unknown(event, texts, files)
            pieces = _contents(events)
            yield event, pieces
            for _ in pieces:
                pass


def note(texts: dict[str, str], part: Field, pieces: Iterable[bytes]) -> None:
    """Puts a text field among these. Raises `Malformed`, and `InvalidField` for one that is too long."""
    raw = bytearray()
    for piece in pieces:
        raw += piece
        if len(raw) > _FIELD_BYTES:
            raise InvalidField(part.name, f"at most {_FIELD_BYTES} bytes")
    if part.name in texts:
        raise Malformed(part.name, "the field is there twice")
    text = plainjson.decode(bytes(raw), (part.name,))
    plainjson.refuse_unstorable(text, (part.name,))
    texts[part.name] = text


def _contents(events: Iterator[Event]) -> Iterator[bytes]:
    """The rest of the part whose head came last."""
    for event in events:
        if isinstance(event, Data):
            yield event.data
            if not event.more_data:
                return


def _events(stream: Readable, boundary: str) -> Iterator[Event]:
    decoder = MultipartDecoder(boundary.encode(), _BUFFER_BYTES)
    event = _next_event(decoder)
    while not isinstance(event, Epilogue):
        if isinstance(event, NeedData):
            event = _next_event(decoder, stream.read(_PIECE_BYTES) or None)
        else:
            yield event
            event = _next_event(decoder)


def _next_event(decoder: MultipartDecoder, *come: bytes | None) -> Event:
    """What the decoder finds, once it has what came, where something did: None is the end. Raises `Malformed`."""
    try:
        for piece in come:
            decoder.receive_data(piece)
        return decoder.next_event()
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


def base_name(filename: str, where: str) -> str:
    """The name without the folders that some clients send along."""
    plainjson.refuse_unstorable(filename, (where,))
    name = filename.replace("\\", "/").rsplit("/", 1)[-1].strip()
    if not name or len(name) > 255 or not name.isprintable():
        raise InvalidField(where, "must have a name of 1 to 255 printable characters")
    return name
