"""The files in a zip or a tar, each for itself. Runs in the process of `workers.extraction.child` only.

Nothing is written anywhere: a member is bytes under a name. So a path that leads out of the archive, or a link, could
do no harm here; it is refused for what it might do to whoever unpacks by its name.
"""

import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tasks import errors
from tasks.documents import kinds

LIBRARIES = ("zipfile", "tarfile", "gzip", "bz2", "lzma", "zlib")

MOST_MEMBERS = 1_000
MOST_BYTES = 96 << 20  # of all members that are read
MOST_OF_ONE = 32 << 20
_RATIO = 200  # times its packed size; a text of one letter comes to a thousand
_RATIO_MATTERS = 1 << 20
_NAME_CHARACTERS = 200
_BLOCK = 1 << 20
# What systems put into archives beside what people do.
_LITTER = ("__macosx/", ".ds_store", "thumbs.db", "desktop.ini")
_NESTED = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst")


@dataclass(slots=True)
class Unpacked:
    """Members that can be read as documents, and why others can't; each by its name in the archive."""

    members: list[tuple[str, bytes]] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    size: int = 0
    names: set[str] = field(default_factory=set)


def prepare() -> None:
    """Nothing is read from files."""


def unpack(raw: bytes, kind: str) -> Unpacked:
    """What is in an archive. Raises `UnreadableDocument` when it can't be opened, and `DocumentTooLarge` when it has
    too many members."""
    found = Unpacked()
    try:
        for count, (name, refusal, read) in enumerate(_zip(raw) if kind == "zip" else _tar(raw), 1):
            if count > MOST_MEMBERS:
                raise errors.DocumentTooLarge(f"it has more than {MOST_MEMBERS} members")
            _take(found, name, refusal or _refusal(name), read)
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, OSError, ValueError, struct.error) as error:
        if not found.members:
            raise errors.UnreadableDocument(f"it can't be read as {kind}: it is damaged") from error
        found.refused.append(("the rest", "it can't be read: the archive is damaged"))
    if not found.members and not found.refused:
        raise errors.UnreadableDocument("it is empty")
    return found


_DAMAGED = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError, struct.error, RuntimeError,
    MemoryError,
)  # fmt: skip
_Member = tuple[str, str | None, Callable[[int], bytes]]


def _take(found: Unpacked, name: str, refusal: str | None, read: Callable[[int], bytes]) -> None:
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)
    if len(shown) > _NAME_CHARACTERS:
        shown, refusal = f"…{shown[-_NAME_CHARACTERS:]}", f"its path has more than {_NAME_CHARACTERS} characters"
    if shown in found.names:
        refusal = refusal or "another member has its name"
    found.names.add(shown)
    if refusal is None:
        room = min(MOST_OF_ONE, MOST_BYTES - found.size)
        try:
            member = read(room + 1)
        except _DAMAGED as error:
            refusal = f"it can't be unpacked: {error or type(error).__name__}"[:200]
        else:
            if len(member) <= room and member:
                found.members.append((shown, member))
                found.size += len(member)
                return
            over = MOST_OF_ONE if room == MOST_OF_ONE else MOST_BYTES
            refusal = f"it unpacks to more than the archive may, {over >> 20} MiB" if member else "it is empty"
    found.refused.append((shown, refusal))


def _refusal(name: str) -> str | None:
    """What is wrong with a member's name; None when nothing is."""
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ".." in parts or (len(name) > 1 and name[1] == ":"):
        return "its path leads out of the archive"
    if name.lower().endswith(_NESTED):
        return "it is an archive in an archive"
    if kinds.kind_of(parts[-1]) is None:
        return f"it is of a kind that isn't read: its name must end in one of {' '.join(kinds.SUFFIXES)}"
    return None


def _is_litter(name: str) -> bool:
    name = name.lower()
    return name.startswith(_LITTER[0]) or name.rsplit("/", 1)[-1] in _LITTER[1:] or "/._" in f"/{name}"


def _zip(raw: bytes) -> Iterator[_Member]:
    archive = zipfile.ZipFile(io.BytesIO(raw))
    for info in archive.infolist():
        if info.is_dir() or _is_litter(info.filename):
            continue
        yield info.filename, _refusal_of_zipped(info), partial(_unzipped, archive, info)


def _refusal_of_zipped(info: zipfile.ZipInfo) -> str | None:
    if info.flag_bits & 1:
        return "it is encrypted"
    if info.create_system == 3 and (info.external_attr >> 28) not in (0, 8):  # Unix: the kind of file, regular being 8
        return "it is a link or a device, not a file"
    if info.file_size > _RATIO_MATTERS and info.file_size > _RATIO * max(1, info.compress_size):
        return f"it unpacks to more than {_RATIO} times its size"
    return None


def _unzipped(archive: zipfile.ZipFile, info: zipfile.ZipInfo, most: int) -> bytes:
    with archive.open(info) as member:
        return member.read(most)


def _tar(raw: bytes) -> Iterator[_Member]:
    """A tar may be packed as a whole; so its bound is that of all that comes out of it."""
    packed = raw[:2] == b"\x1f\x8b"
    plain = _gunzipped(raw) if packed else raw
    with tarfile.open(fileobj=io.BytesIO(plain), mode="r:") as archive:
        for info in archive:
            if info.isdir() or _is_litter(info.name):
                continue
            refusal = None if info.isreg() else "it is a link or a device, not a file"
            if info.isreg() and info.issparse():
                refusal = "it is a file with holes"
            yield info.name, refusal, partial(_untarred, archive, info)


def _untarred(archive: tarfile.TarFile, info: tarfile.TarInfo, most: int) -> bytes:
    member = archive.extractfile(info)
    return member.read(most) if member is not None else b""


def _gunzipped(raw: bytes) -> bytes:
    """Raises `DocumentTooLarge` for what is larger than all members may be, or unpacks to too many times its size."""
    unpacker = zlib.decompressobj(wbits=31)
    parts, size, rest = [], 0, raw
    while rest and not unpacker.eof:
        part = unpacker.decompress(rest, _BLOCK)
        size += len(part)
        parts.append(part)
        rest = unpacker.unconsumed_tail
        most = min(2 * MOST_BYTES, max(_RATIO_MATTERS, _RATIO * len(raw)))
        if size > most:
            raise errors.DocumentTooLarge("it unpacks to more than an archive may")
    return b"".join(parts)


def answer(raw: bytes, told: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """The head of the child's answer, and the members' bytes one after the other."""
    found = unpack(raw, told["kind"])
    sizes = [[name, len(member)] for name, member in found.members]
    return {"members": sizes, "refused": found.refused}, b"".join(member for _, member in found.members)
