"""Logging on a full disk: lines are lost, and nobody notices."""

import errno
import io
import logging
import os
import subprocess
import sys

import pytest
import structlog

from tasks import logs

FULL = "/dev/full"
TELLING = """
import logging, structlog, sys
from tasks import logs
structlog.configure(logger_factory=structlog.PrintLoggerFactory(logs.keep_on()))
structlog.get_logger().info("told", number=1)
logging.getLogger("x").error("told")
print("still here")
"""

on_linux = pytest.mark.skipif(not os.path.exists(FULL), reason=f"there is no {FULL}")


@on_linux
def test_process_whose_stderr_has_no_room_goes_on() -> None:
    """By structlog and by the standard library's logging."""
    with open(FULL, "w") as full:
        done = subprocess.run([sys.executable, "-c", TELLING], stdout=subprocess.PIPE, stderr=full, text=True)
    assert (done.returncode, done.stdout) == (0, "still here\n")


class Filling(io.StringIO):
    """A file on a disk that is full until there is room."""

    full = True

    def write(self, text: str) -> int:
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(text)


def test_lines_come_again_when_there_is_room() -> None:
    """What was written meanwhile is lost."""
    disk = Filling()
    log = structlog.PrintLogger(logs.Unfailing(disk))  # type: ignore[arg-type]
    log.info("lost")
    disk.full = False
    log.info("there")
    assert disk.getvalue() == "there\n"


def test_standard_error_is_replaced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often it is asked for; everything else about it is as it was."""
    monkeypatch.setattr(sys, "stderr", sys.__stderr__)
    monkeypatch.setattr(logging, "raiseExceptions", True)
    first = logs.keep_on()
    assert logs.keep_on() is first
    assert first.fileno() == 2
