"""Where log lines go: to stderr, which may end on a disk that is full. Then lines are lost, and nothing else."""

import contextlib
import logging
import sys
from typing import Any, TextIO, cast


class Unfailing:
    """A text file to which writing never fails; in all else the file that it stands for."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):  # a full disk; a file that is closed already
            return self._file.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._file.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def keep_on() -> TextIO:
    """Makes this process's stderr one to which writing never fails, and gives it. Idempotent."""
    logging.raiseExceptions = False
    standing: Any = sys.stderr
    if not isinstance(standing, Unfailing):
        standing = sys.stderr = Unfailing(sys.stderr)
    return cast(TextIO, standing)
