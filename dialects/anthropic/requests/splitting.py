"""A body of many requests, taken apart as it comes: never more of it in memory than one of them, and a piece."""

import enum
import re
from collections.abc import Iterator

from dialects.plainjson import MAX_DEPTH
from tasks.errors import Malformed

_HEAD = re.compile(rb'[ \t\n\r]*\{[ \t\n\r]*"requests"[ \t\n\r]*:[ \t\n\r]*\[')
_HEAD_BYTES = 1024
_SPACE = re.compile(rb"[ \t\n\r]*")
_MARK = re.compile(rb'["\[\]{}]')
_IN_STRING = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)


class _At(enum.Enum):
    """What comes next."""

    HEAD = "the beginning, up to the list"
    FIRST = "the first request, or the list's end"
    NEXT = "another request"
    WITHIN = "the rest of a request"
    AFTER = "a comma, or the list's end"
    TAIL = "the body's end"
    OVER = "nothing"


class Splitter:
    """Takes the pieces of a body `{"requests": […]}` in their order, and gives the objects of the list, each as its
    bytes. Each is JSON or isn't: only its end is found here. Raises `Malformed`."""

    def __init__(self, most_bytes: int) -> None:
        """Of a request `most_bytes` at most."""
        self._most_bytes = most_bytes
        self._at = _At.HEAD
        self._head = b""
        self._parts: list[bytes] = []
        self._size = self._depth = 0
        self._in_string = self._escaped = False
        self.count = 0  # of those that were begun

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """The requests that end in this piece."""
        if self._at is _At.HEAD:
            piece = self._begun(piece)
        at = 0
        while at < len(piece):
            if self._at is _At.WITHIN:
                end, over = self._rest(piece, at)
                self._keep(piece[at:end])
                at = end
                if over:
                    yield b"".join(self._parts)
                    self._parts, self._size, self._at = [], 0, _At.AFTER
                continue
            space = _SPACE.match(piece, at)
            at = space.end() if space else at
            if at < len(piece):
                at += self._step(piece[at : at + 1])

    def finish(self) -> None:
        """To be called after the last piece."""
        if self._at is not _At.OVER:
            raise _malformed(f"the body isn't JSON: it ends where there should be {self._at.value}")

    def _begun(self, piece: bytes) -> bytes:
        """What follows the list's beginning, once that has come."""
        self._head += piece
        head = _HEAD.match(self._head)
        if head is None:
            if len(self._head) > _HEAD_BYTES:
                raise _malformed('the body must be an object with "requests", a list, and nothing else')
            return b""
        self._at = _At.FIRST
        return self._head[head.end() :]

    def _step(self, mark: bytes) -> int:
        """What a mark between requests means; how many bytes of it were taken."""
        if mark == b"{" and self._at in (_At.FIRST, _At.NEXT):
            self._at, self.count = _At.WITHIN, self.count + 1
            return 0
        if mark == b"," and self._at is _At.AFTER:
            self._at = _At.NEXT
        elif mark == b"]" and self._at in (_At.FIRST, _At.AFTER):
            self._at = _At.TAIL
        elif mark == b"}" and self._at is _At.TAIL:
            self._at = _At.OVER
        elif self._at in (_At.FIRST, _At.NEXT):
            raise Malformed(f"requests.{self.count}", "must be an object")
        else:
            raise _malformed(f"the body isn't JSON: there should be {self._at.value} after request {self.count - 1}")
        return 1

    def _rest(self, piece: bytes, at: int) -> tuple[int, bool]:
        """Where in the piece the request ends, or the piece does; whether it was the request."""
        while at < len(piece):
            if self._in_string:
                at = self._string(piece, at)
                continue
            mark = _MARK.search(piece, at)
            if mark is None:
                return len(piece), False
            at = mark.end()
            if mark[0] == b'"':
                self._in_string = True
            elif mark[0] in b"[{":
                self._depth += 1
                if self._depth > MAX_DEPTH:
                    raise Malformed(f"requests.{self.count - 1}", f"is nested deeper than {MAX_DEPTH} levels")
            else:
                self._depth -= 1
                if self._depth == 0:
                    return at, True
        return at, False

    def _string(self, piece: bytes, at: int) -> int:
        """Where in the piece the string ends, or the piece does."""
        if self._escaped:
            at, self._escaped = at + 1, False
        rest = _IN_STRING.match(piece, at)
        at = rest.end() if rest else at
        if at < len(piece):
            self._in_string = piece[at : at + 1] != b'"'
            self._escaped = self._in_string  # a backslash, and nothing after it yet
            at += 1
        return at

    def _keep(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > self._most_bytes:
            raise Malformed(f"requests.{self.count - 1}", f"has more than {self._most_bytes} bytes")
        self._parts.append(part)


def _malformed(message: str) -> Malformed:
    return Malformed(None, message)
