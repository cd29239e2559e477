"""Zip files in memory, read within bounds: those that documents are, and those that hold documents."""

import io
import zipfile
import zlib

from tasks import errors

MOST_BYTES = 256 << 20  # of all that is in a document that is a zip
MOST_MEMBERS = 10_000


class Zip:
    """A document that is a zip. Raises `UnreadableDocument`, and `DocumentTooLarge` when its members are too much."""

    def __init__(self, raw: bytes) -> None:
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(raw))
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise errors.UnreadableDocument("it is damaged, or isn't what its name says") from error
        members = self._zip.infolist()
        if len(members) > MOST_MEMBERS:
            raise errors.DocumentTooLarge(f"it has {len(members)} parts, more than {MOST_MEMBERS}")
        # What a member says of its size is a bound: no more of it is unpacked.
        if sum(member.file_size for member in members) > MOST_BYTES:
            raise errors.DocumentTooLarge(f"it unpacks to more than {MOST_BYTES >> 20} MiB")
        if any(member.flag_bits & 1 for member in members):
            raise errors.UnreadableDocument("it is encrypted")

    def has(self, name: str) -> bool:
        return name in self._zip.NameToInfo

    def read(self, name: str) -> bytes:
        """A member. Raises `UnreadableDocument` when there is none of this name, or it is damaged."""
        try:
            return self._zip.read(name)
        except KeyError as error:
            raise errors.UnreadableDocument(f"it has no part {name[:100]}") from error
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError) as error:
            raise errors.UnreadableDocument(f"its part {name[:100]} is damaged") from error
