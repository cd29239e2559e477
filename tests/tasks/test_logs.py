"""Log lines: one form for all; and on a full disk they are lost, and nobody notices."""

import errno
import io
import logging
import os
import subprocess
import sys

import pytest
import structlog
from sqlalchemy import DateTime, literal, select, text
from sqlalchemy.exc import IntegrityError, StatementError

from db.session import Sessions
from tasks import logs

FULL = "/dev/full"
TELLING = """
import logging, structlog, sys
from tasks import logs
logs.configure()
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


LINES = r"""
import logging, structlog
from tasks import logs
logging.getLogger("theirs").addHandler(logging.StreamHandler())
logging.getLogger("theirs").propagate = False
logs.configure(quiet=["chatty"], adopted=["theirs"])
log = structlog.get_logger()
with structlog.contextvars.bound_contextvars(job_id="job_1", queue="alpha"):
    log.info("claimed", attempt=2, again=True)
    logging.getLogger("library").warning("it is %s", "late")
    try:
        raise ValueError("a = b")
    except ValueError:
        log.exception("broken", of="one\ntwo\x1b[2J")
log.info("over")
log.debug("unheard")
logging.getLogger("chatty").info("unheard")
logging.getLogger("theirs").error("heard")
"""


def test_lines_of_ours_and_of_libraries_have_one_form() -> None:
    """A line an event whatever is in it; the job's id right behind its name; nothing bound stays bound."""
    done = subprocess.run([sys.executable, "-c", LINES], capture_output=True, text=True, check=True)
    lines = [line.partition(" ")[2] for line in done.stderr.splitlines()]
    assert lines[0] == "level=info event=claimed job_id=job_1 attempt=2 again=true queue=alpha"
    assert lines[1] == 'level=warning event="it is late" job_id=job_1 logger=library queue=alpha'
    assert lines[2].startswith(
        'level=error event=broken job_id=job_1 of=one\\ntwo\\x1b[2J queue=alpha exception="Traceback'
    )
    assert lines[3:] == ["level=info event=over", "level=error event=heard logger=theirs"]
    assert all(line.startswith("timestamp=20") for line in done.stderr.splitlines())


def test_error_of_a_database_is_told_without_the_rows_that_it_quotes(sessions: Sessions) -> None:
    """Where it came from and what PostgreSQL calls it: all that is needed, and nothing of what a tenant said."""

    def insert() -> None:
        with sessions.begin() as session:
            session.execute(text("INSERT INTO tenants (id, name) VALUES (NULL, 'a secret')"))

    try:
        try:
            insert()
        except IntegrityError as error:
            raise ValueError("an end that\nis refused") from error
    except ValueError as refused:
        shown = logs.trace((ValueError, refused, refused.__traceback__))
    assert "secret" not in shown.replace("VALUES (NULL, 'a secret')", "")  # a line of this test
    assert "ValueError: an end that is refused\nraised by\n" in shown
    assert "in insert" in shown
    assert "IntegrityError: NotNullViolation 23502" in shown


def traced(error: BaseException) -> str:
    return logs.trace((type(error), error, error.__traceback__))


def test_errors_that_raised_each_other_are_told_once() -> None:
    first, second = ValueError("one"), KeyError("two")
    first.__cause__, second.__cause__ = second, first
    assert traced(first).count("raised by") == 1


def test_value_that_no_statement_takes_is_not_told(sessions: Sessions) -> None:
    """The driver's error under SQLAlchemy's may have it in its text."""
    with pytest.raises(StatementError) as refused, sessions() as session:
        session.execute(select(literal("a secret", type_=DateTime())))
    assert "secret" not in "".join(line for line in traced(refused.value).splitlines() if "literal(" not in line)


def test_errors_of_a_group_and_notes_are_told() -> None:
    error = ValueError("one")
    error.add_note("of the second part")
    shown = traced(ExceptionGroup("both", [error, KeyError("two")]))
    assert "ValueError: one; of the second part" in shown
    assert "KeyError: 'two'" in shown


def test_lines_of_a_process_trace_errors_so(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.StringIO()
    monkeypatch.setattr(sys, "stderr", file)
    logs.configure()
    try:
        raise KeyError("gone")
    except KeyError:
        structlog.get_logger().exception("failed")
        logging.getLogger("x").exception("failed")
    ours, theirs = file.getvalue().splitlines()
    assert ours.count("KeyError: 'gone'") == theirs.count("KeyError: 'gone'") == 1
    assert "in test_lines_of_a_process_trace_errors_so" in ours
    assert "in test_lines_of_a_process_trace_errors_so" in theirs
