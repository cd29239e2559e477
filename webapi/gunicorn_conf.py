"""How gunicorn serves the API: `gunicorn -c webapi/gunicorn_conf.py 'webapi.app:create_app()'`.

Threads, since a stream is a thread that mostly sleeps; two processes where there are cores for them, since whatever
computes for one client, as reading a large body does, holds up the others of its process.
"""

import ctypes
import gc
import logging
import resource
import signal
import socket
import struct
import sys
from types import FrameType
from typing import Any

from tasks import logs, stopping
from webapi import serving, settings

_read = settings.read_serving()


class worker_class(serving.Threads):
    """With the times that were set."""

    head_s = _read.head_s


workers = _read.processes
threads = _read.threads
preload_app = True  # its code is in memory once; what must not be shared by a fork is made at its first use
# More than threads, unfinished heads and idle connections together, each of which is bounded: it never stops accepting.
worker_connections = threads + serving.UNFINISHED + serving.IDLE + 200
keepalive = 30
forwarder_headers = ""  # no proxy tells us where the application begins
graceful_timeout = stopping.API_GRACE_S
limit_request_line = 8190
# Nobody speaks to it, and two of us on one machine would fight over its one path in the home folder.
control_socket_disable = True
accesslog = None
errorlog = "-"
loglevel = "warning"

_M_ARENA_MAX = -8  # of malloc.h
_SWITCH_S = 0.001  # a thread that computes lets the others have the interpreter so often; Python's own is 5 ms


def when_ready(server: Any) -> None:
    """A client that stops reading, or stops in the middle of a request, must not hold a thread for ever.

    Accepted sockets inherit both limits.
    """
    for listener in server.LISTENERS:
        whole, rest = divmod(_read.silent_s, 1)
        limit = struct.pack("@ll", int(whole), int(1_000_000 * rest))  # struct timeval
        listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        if hasattr(socket, "TCP_USER_TIMEOUT") and listener.sock.family in (socket.AF_INET, socket.AF_INET6):
            listener.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(1000 * _read.unread_s))


def pre_fork(server: Any, worker: Any) -> None:  # noqa: ARG001 - gunicorn's signature
    """What is here is left alone by the collector: it would write to each object, and every process keep its own."""
    gc.freeze()


def post_fork(server: Any, worker: Any) -> None:  # noqa: ARG001 - gunicorn's signature
    """One line an event on stderr; of gunicorn's own, nothing that a client sent."""
    sys.setswitchinterval(_SWITCH_S)
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):  # glibc: else each of many threads keeps what it has freed to itself
        libc.mallopt(_M_ARENA_MAX, 2)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a connection is an open file
    logging.getLogger("gunicorn.error").addFilter(serving.Unquoted())
    logs.configure(adopted=["gunicorn.error"])


def post_worker_init(worker: Any) -> None:
    """Open streams end as soon as the process is asked to stop; their clients resume elsewhere."""
    own = worker.wsgi.extensions["forebay"]
    own.begin()

    def on_term(number: int, frame: FrameType | None) -> None:
        worker.handle_exit(number, frame)
        own.stop()

    signal.signal(signal.SIGTERM, on_term)
