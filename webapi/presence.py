"""Whether the client of a request that takes long is still there."""

import select
import socket

from flask import request

_GONE = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR | select.POLLNVAL  # macOS has POLLHUP alone


def has_left() -> bool:
    """True when the client of this request has closed its connection: nobody will read the answer.

    Always false where the server shows no socket, as in tests without one.
    """
    connection = request.environ.get("gunicorn.socket")
    if not isinstance(connection, socket.socket):
        return False
    poll = select.poll()
    poll.register(connection, getattr(select, "POLLRDHUP", 0))
    return any(event & _GONE for _, event in poll.poll(0))
