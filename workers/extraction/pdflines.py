"""Headings and paragraphs of pages that are only lines at places: told by the contents, by sizes and by distances."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from operator import itemgetter
from typing import Protocol

from tasks.documents.outline import TITLE_CHARACTERS
from workers.extraction.writing import Writer

_HYPHEN = "\ufffe"  # PDFium's mark of one that ends a line, which it then joins with the next
_APART = 1.45  # times the usual distance between lines begins a paragraph
_LARGER = 1.12  # times the usual size is a heading's
_LEVEL = 0.1  # times its size, at most, is a line higher than another that it goes on with
_HEADING_LINES = 3
_LEVELS = 4
_SIGNS = re.compile(r"[\W\d_]+")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a page; the size of its first letter, how high it stands, and how far to the right it begins."""

    text: str
    size: float
    y: float
    x: float = 0.0


class _Bookmark(Protocol):
    @property
    def title(self) -> str: ...
    @property
    def page(self) -> int: ...
    @property
    def depth(self) -> int: ...


def write(pages: Sequence[Sequence[Line]], bookmarks: Iterable[_Bookmark], writer: Writer) -> None:
    """Writes the pages into the document, with a heading where the contents name one, or where letters are larger."""
    named = {(mark.page, _key(mark.title)): min(mark.depth + 1, 6) for mark in bookmarks}
    named.pop((0, ""), None)
    levels = {} if _match(pages, named) else _levels(pages)
    for number, lines in enumerate(pages):
        writer.page()
        told = ((_level(line, number, named, levels), line) for line in lines)
        for level, part in groupby(told, itemgetter(0)):
            _write_part(level, [line for _, line in part], writer)


def rows(lines: Iterable[Line]) -> list[Line]:
    """The lines, with those that only go on after a gap, as a table's cells do, in one."""
    found: list[Line] = []
    for line in lines:
        last = found[-1] if found else None
        if last is not None and abs(line.y - last.y) < _LEVEL * line.size and line.x > last.x and line.y:
            found[-1] = Line(f"{last.text.rstrip()} {line.text.strip()}", last.size, last.y, line.x)
        else:
            found.append(line)
    return found


def _key(title: str) -> str:
    """What of a title the contents and the page write alike."""
    return _SIGNS.sub("", title).casefold()


def _match(pages: Sequence[Sequence[Line]], named: dict[tuple[int, str], int]) -> bool:
    """Whether the contents name lines of the pages."""
    return any((number, _key(line.text)) in named for number, lines in enumerate(pages) for line in lines)


def _levels(pages: Sequence[Sequence[Line]]) -> dict[float, int]:
    """The level of each size of letters that is a heading's: the larger, the higher."""
    written: Counter[float] = Counter()
    for lines in pages:
        for line in lines:
            written[line.size] += len(line.text)
    usual = written.most_common(1)[0][0]
    larger = sorted((size for size in written if size > _LARGER * usual), reverse=True)
    rare = [size for size in larger if written[size] < written[usual] / 4]
    return {size: min(place + 1, _LEVELS) for place, size in enumerate(rare)} if usual > 0 else {}


def _level(line: Line, page: int, named: dict[tuple[int, str], int], levels: dict[float, int]) -> int:
    """The level of the heading that the line is, or is part of; 0 where it is none."""
    if levels:
        return levels.get(line.size, 0)
    key = _key(line.text)
    return named.get((page, key), 0) if key else 0


def _write_part(level: int, lines: list[Line], writer: Writer) -> None:
    text = " ".join(line.text for line in lines)
    is_title = len(lines) <= _HEADING_LINES and len(text) <= TITLE_CHARACTERS and re.search(r"[^\W\d_]{2}", text)
    if level and is_title:
        writer.heading(level, joined(text))
        return
    for paragraph in _paragraphs(lines):
        writer.block(joined("\n".join(line.text.strip() for line in paragraph)))


def _paragraphs(lines: list[Line]) -> list[list[Line]]:
    """The lines in groups that stand farther apart than the lines of a page mostly do."""
    steps = [above.y - below.y for above, below in pairwise(lines)]
    usual = Counter(round(step, 1) for step in steps if step > 0).most_common(1)
    groups = [lines[:1]]
    for step, line in zip(steps, lines[1:], strict=False):
        if usual and (step > _APART * usual[0][0] or step < -_APART * usual[0][0]):
            groups.append([])
        groups[-1].append(line)
    return groups


def joined(text: str) -> str:
    """The text with the words whole that were parted at the ends of lines."""
    parts = text.split(_HYPHEN)
    said = [parts[0]]
    for part in parts[1:]:
        word = re.search(r"[^\s-]*(-?)[^\s-]*$", said[-1][-100:])
        compound = part[:1].islower() is False or (word is not None and "-" in word[0])
        said.append(f"-{part}" if compound else part)
    return "".join(said)
