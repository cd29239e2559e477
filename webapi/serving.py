"""gunicorn's threaded worker, so that no client can hold up the thread that accepts the others; and what it may log."""

import logging
import re
from typing import Any

from gunicorn.workers.gthread import ThreadWorker


class Threads(ThreadWorker):  # type: ignore[misc]
    """`gthread` closes a finished connection on the accepting thread and waits there, up to two seconds each, for the
    client to close too: a few that don't would stop the whole process. Here each waits on its request's own thread.
    """

    def handle(self, conn: Any) -> Any:
        kept = super().handle(conn)
        if not kept:
            conn.close(graceful=True)
            conn.close = lambda graceful=False: None  # noqa: ARG005 - gunicorn's signature
        return kept


class Unquoted(logging.Filter):
    """gunicorn quotes the line that it couldn't read. Where a client announced too short a body, that is its prompt;
    where it forgot a colon, its key. Only the kind of damage is left. And it names the address of a request that failed
    with us, which may end with a ticket: only its path is left.
    """

    _QUOTING = re.compile(r"(Invalid request from ip=\S*: [\w ]*).*", re.DOTALL)
    _QUERY = re.compile(r"\?.*", re.DOTALL)

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = self._QUOTING.sub(r"\1", str(record.msg))
        if isinstance(record.args, tuple):
            record.args = tuple(self._QUERY.sub("", arg) if isinstance(arg, str) else arg for arg in record.args)
        return True
