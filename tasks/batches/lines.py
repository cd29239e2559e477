"""A file's lines, one by one: never more of it in memory than a line may have, and a piece of the file."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

MAX_LINE_BYTES = 4 * 1024 * 1024  # as much as the body of a request may have
MAX_LINES = 50_000
MAX_LINES_OF_FILE = 2 * MAX_LINES  # with those that are blank
MAX_COPIED_BYTES = 200 * 1024 * 1024  # of what was said before lines, and is copied into each: as a file may have
_MARK = b"\xef\xbb\xbf"  # with which some programs begin a file of UTF-8


@dataclass(frozen=True, slots=True)
class FileLine:
    """A line: its number in the file from 1, where in the file the next one begins, and its bytes; None for a line that
    has too many."""

    number: int
    next_at: int
    raw: bytes | None


def of(pieces: Iterable[bytes], at: int = 0, number: int = 0) -> Iterator[FileLine]:
    """The lines of these pieces of a file, the first of which begins at byte `at`, after `number` lines. The mark that
    may stand before all of them is none of the first one's."""
    begun = _Begun(mark=_MARK if at == 0 else b"")
    for piece in pieces:
        *ends, rest = piece.split(b"\n")
        for end in ends:
            begun.add(end)
            number, at = number + 1, at + begun.size + 1
            yield FileLine(number, at, begun.raw)
            begun = _Begun()
        begun.add(rest)
    if begun.size:
        yield FileLine(number + 1, at + begun.size, begun.raw)


class _Begun:
    """A line as it comes; of one that gets too long nothing is kept but its size."""

    def __init__(self, mark: bytes = b"") -> None:
        self.size = 0
        self._mark = mark
        self._parts: list[bytes] = []

    def add(self, part: bytes) -> None:
        self.size += len(part)
        if self.size <= MAX_LINE_BYTES:
            self._parts.append(part)
        else:
            self._parts.clear()

    @property
    def raw(self) -> bytes | None:
        return b"".join(self._parts).removeprefix(self._mark) if self.size <= MAX_LINE_BYTES else None
