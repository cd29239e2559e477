"""How every process logs: one logfmt line an event, on stderr, `timestamp= level= event= job_id=` and the rest.

stderr may end on a disk that is full. Then lines are lost, and nothing else.
"""

import contextlib
import logging
import sys
import traceback
from collections.abc import Iterable
from typing import Any, TextIO, cast

import structlog
from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

_FIRST = ["timestamp", "level", "event", "job_id"]
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), 127)}
_logfmt = structlog.processors.LogfmtRenderer(key_order=_FIRST, drop_missing=True, bool_as_flag=False)


def trace(exc_info: ExcInfo) -> str:
    """Where an error was raised, and what raised it, from the last to the first.

    Of a database's error it has what may be told: the text of one quotes rows, and rows hold prompts.
    """
    from sqlalchemy.exc import StatementError

    from db.session import told  # only here: not every process that logs has a database

    found: list[str] = []
    seen: set[int] = set()  # what raised what may go in a circle
    error: BaseException | None = exc_info[1]
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        calls = "".join(traceback.format_tb(error.__traceback__))
        said = [told(error), *getattr(error, "__notes__", ())]
        found.append(f"Traceback (most recent call last):\n{calls}{type(error).__name__}: {'; '.join(said)}")
        if isinstance(error, BaseExceptionGroup):
            found += (trace((type(part), part, part.__traceback__)) for part in error.exceptions)
        if isinstance(error, StatementError):  # what raised it has the whole text
            break
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\nraised by\n".join(found)


_PROCESSORS: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.ExceptionRenderer(trace),
]


def configure(*, quiet: Iterable[str] = (), adopted: Iterable[str] = ()) -> None:
    """Sets structlog and the standard library's logging up, so that libraries' lines look like ours. Idempotent.

    Of the loggers named in `quiet` only warnings are told; those in `adopted` have handlers of their own, which go.
    """
    file = keep_on()
    structlog.configure(
        processors=[*_PROCESSORS, rendered],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(file),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(file)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *_PROCESSORS],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, rendered],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    for name in quiet:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in adopted:
        logging.getLogger(name).handlers = []
        logging.getLogger(name).propagate = True


def rendered(logger: WrappedLogger, method: str, event: EventDict) -> str:
    """The event as one line in which nothing moves a terminal's cursor: control characters are written out."""
    return str(_logfmt(logger, method, event)).translate(_CONTROLS)


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
