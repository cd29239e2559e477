"""A worker's sign of life for whoever watches its process: a file's age, and systemd's watchdog.

The sign says that the heartbeat's thread goes round. It doesn't say that PostgreSQL is well: waiting for PostgreSQL and
an error of it are signs of life too, since a restart would lose what is being generated and mend nothing. A process
that stands still, and a heartbeat that hangs or fails anywhere else, give no sign.
"""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from tasks import errors


@dataclass(slots=True)
class Heart:
    """`file` is touched at each sign; `watchdog` is the address of systemd's socket, as NOTIFY_SOCKET has it."""

    file: Path | None = None
    watchdog: str | None = None
    _went_round: threading.Event = field(default_factory=threading.Event)
    _asking: bool = False

    @property
    def watched(self) -> bool:
        """Whether anybody looks for signs."""
        return bool(self.file or self.watchdog)

    def open(self) -> None:
        """Takes away the file of a worker before: until the model is loaded there is none. Raises `SettingsError`."""
        with _as_settings():
            self._touch()
            if self.file is not None:
                self.file.unlink()

    def begin(self) -> None:
        """The worker serves: the first sign, and `READY=1` to systemd. Raises `SettingsError`."""
        with _as_settings():
            self._touch()
            self._tell("READY=1")

    @contextmanager
    def round(self) -> Iterator[None]:
        """Around one heartbeat. One that raises counts if it was PostgreSQL's error, or one of the way there."""
        try:
            yield
        except DBAPIError:
            self._went_round.set()
            raise
        self._went_round.set()

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Around what waits for PostgreSQL within a heartbeat, however long that takes."""
        self._asking = True
        try:
            yield
        finally:
            self._asking = False

    def beat(self) -> None:
        """A sign, if the heartbeat has gone round since the last call or waits for PostgreSQL. Raises `OSError`."""
        if self._asking or self._went_round.is_set():
            self._went_round.clear()
            self._tell("WATCHDOG=1")
            self._touch()

    def _touch(self) -> None:
        if self.file is not None:
            self.file.touch()

    def _tell(self, what: str) -> None:
        """One datagram, as sd_notify(3) has it; an address that begins with `@` is an abstract one."""
        if self.watchdog:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)
                sender.sendto(what.encode(), re.sub("^@", "\0", self.watchdog))


@contextmanager
def _as_settings() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise errors.SettingsError(f"no sign of life can be given: {error}") from error
