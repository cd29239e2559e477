"""The store that is a folder, which every process must see: of one machine, or a network's.

Its names are made of ids alone: <folder>/<tenant>/<part>/<number>.
"""

import errno
import os
import shutil
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tasks import errors


@dataclass(frozen=True, slots=True)
class FolderStore:
    folder: Path
    name: str

    def put(self, tenant_id: uuid.UUID, part_id: uuid.UUID, number: int, piece: bytes) -> None:
        room = self._room(tenant_id, part_id)
        half = room / f"{number}.half"
        try:
            if not number:
                self._make(room)
            with half.open("wb") as file:
                file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            half.rename(room / str(number))
            _sync(room)
        except OSError as error:
            raise _unavailable(error) from error

    def get(self, tenant_id: uuid.UUID, part_id: uuid.UUID, number: int, start: int, end: int) -> bytes:
        try:
            with (self._room(tenant_id, part_id) / str(number)).open("rb") as file:
                file.seek(start)
                return file.read(end - start)
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise _unavailable(error) from error

    def discard(self, tenant_id: uuid.UUID, part_id: uuid.UUID) -> None:
        room = self._room(tenant_id, part_id)
        try:
            self._refuse_unmounted()
            while _is_there(room):
                with suppress(FileNotFoundError):  # another process erases it too
                    shutil.rmtree(room)
                _sync(room.parent)
        except OSError as error:
            raise _unavailable(error) from error

    def _room(self, tenant_id: uuid.UUID, part_id: uuid.UUID) -> Path:
        return self.folder / tenant_id.hex / part_id.hex

    def _refuse_unmounted(self) -> None:
        """Raises `OSError` where the folder isn't there or is empty, which it never is again once it was written to."""
        with os.scandir(self.folder) as there:
            if next(there, None) is None:
                raise FileNotFoundError(errno.ENOENT, "it is empty, as where a disk isn't mounted")

    def _make(self, room: Path) -> None:
        """The folder itself isn't made: of a disk that isn't mounted nothing may be kept beside it."""
        for made in (room.parent, room):
            made.mkdir(exist_ok=True, mode=0o700)
            _sync(made.parent)


def _is_there(room: Path) -> bool:
    try:
        room.lstat()
    except FileNotFoundError:
        return False
    return True


def _sync(folder: Path) -> None:
    """Has the names in the folder be on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _unavailable(error: OSError) -> errors.Unavailable:
    return errors.Unavailable(f"the folder of files can't be used: {error.strerror}")
