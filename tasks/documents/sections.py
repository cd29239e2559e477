"""What is around a place in a text: its section, headings, page and table, and how that is said in few words."""

import bisect
import re
from collections.abc import Iterator, Sequence

from tasks.documents.costs import Costs
from tasks.documents.marks import Grid, Heading, Marks
from tasks.documents.outline import HEADER_CHARACTERS, MOST_MARKS, TITLE_CHARACTERS

_WORD = re.compile(r"\S")
_BETWEEN = " > "
_HEADING_LINES = 8  # a heading goes over so many at most, those above and under it included
_RULE_CHARACTERS = 4_000  # the line between a table's header and its rows is looked for in so many


class Sections:
    """A text's marks, asked by place. `title` is what the whole text is called.

    `begins` are the places where sections begin, but the first. `glued` are the ends of lines that belong to what
    follows: those of headings, and of tables' headers.
    """

    def __init__(self, text: str, marks: Marks, title: str | None) -> None:
        self.title = _shortened(title, TITLE_CHARACTERS) if title else None
        self._headings, self._tables, self._pages = marks.headings[:MOST_MARKS], marks.tables[:MOST_MARKS], marks.pages
        self._places = [_first_word(text, heading.at) for heading in self._headings]
        self._rows = [table.begins for table in self._tables]
        self._above = list(_above(self._headings))
        self._names = [_shortened(heading.title, TITLE_CHARACTERS) for heading in self._headings]
        ends = [_heading_end(text, place, heading) for place, heading in zip(self._places, self._headings, strict=True)]
        between = zip((0, *ends), self._places, strict=False)
        # Headings that follow each other begin a section together: none sits alone at the end of one.
        self.begins = [place for end, place in between if text[end:place].strip()]
        self.glued = frozenset(
            (
                *(at for place, end in zip(self._places, ends, strict=True) for at in _line_ends(text, place, end + 1)),
                *(at for table in self._tables for at in _line_ends(text, _header_begin(text, table), table.begins)),
            )
        )

    def path(self, place: int) -> tuple[str, ...]:
        """The headings, the highest first, that the place is under; one that begins there is among them."""
        found = bisect.bisect_right(self._places, place) - 1
        return (*self._above[found], self._names[found]) if found >= 0 else ()

    def path_before(self, place: int) -> tuple[str, ...]:
        """The headings that the place is under and that stand before it."""
        found = bisect.bisect_left(self._places, place)
        if found < len(self._places) and self._places[found] == place:
            return self._above[found]
        return self.path(place)

    def page(self, place: int) -> int | None:
        return bisect.bisect_right(self._pages, place) or None

    def header(self, place: int) -> str | None:
        """The header of the table among whose rows the place is."""
        table = self.table(place)
        return table.header[:HEADER_CHARACTERS] or None if table is not None else None

    def table(self, place: int) -> Grid | None:
        """The table among whose rows the place is."""
        found = bisect.bisect_right(self._rows, place) - 1
        return self._tables[found] if found >= 0 and place < self._tables[found].ends else None

    def said(self) -> Iterator[str]:
        """All that contexts are made of."""
        yield from (self.title or "", *self._names)
        yield _BETWEEN if self._names else ""
        yield from (table.header[:HEADER_CHARACTERS] for table in self._tables)


class Contexts:
    """What stands before the text of a piece where it is embedded, of at most `most` tokens as far as costs are right.

    That is what the text is called and the headings above it, and in a second line the header of its table. Where it
    is too much, the highest headings go first, then the text's title, then the ends of what is left.
    """

    def __init__(self, sections: Sections, costs: Costs, most: int) -> None:
        self._sections, self._costs, self._most = sections, costs, most
        self._known: dict[tuple[tuple[str, ...], str | None], tuple[str, int]] = {}

    def at(self, place: int) -> tuple[str, int]:
        """The context of a piece that begins at the place, and what it costs."""
        path, header = self._sections.path_before(place), self._sections.header(place)
        if (path, header) not in self._known:
            self._known[path, header] = self._made(path, header)
        return self._known[path, header]

    def _made(self, path: tuple[str, ...], header: str | None) -> tuple[str, int]:
        title = self._sections.title
        names = [title, *path] if title and title not in path else list(path)
        while len(names) > 1 and self._line(names) + self._cost(header or "") > self._most:
            # The title goes when but one heading is left.
            del names[1 if len(names) > 2 and names[0] == title else 0]
        first = self._begin(_BETWEEN.join(names), self._most // 2 if header else self._most)
        second = self._begin(header or "", self._most - self._cost(first))
        context = "\n".join(line for line in (first, second) if line)
        return context, self._cost(context)

    def _line(self, names: list[str]) -> int:
        return self._cost(_BETWEEN.join(names))

    def _begin(self, text: str, room: int) -> str:
        """As much of the text as fits."""
        end = 0
        for stop, total in self._costs.ends(text):
            if total > room:
                return text[:end]
            end = stop
        return text

    def _cost(self, text: str) -> int:
        return max((total for _, total in self._costs.ends(text)), default=0)


def _above(headings: Sequence[Heading]) -> Iterator[tuple[str, ...]]:
    """Of each heading those that it is under, the highest first."""
    open: list[tuple[int, str]] = []
    for heading in headings:
        while open and open[-1][0] >= heading.level:
            open.pop()
        yield tuple(title for _, title in open)
        open.append((heading.level, _shortened(heading.title, TITLE_CHARACTERS)))


def _heading_end(text: str, place: int, heading: Heading) -> int:
    """Where the last line of the heading that begins there ends, a line of marks under it included."""
    wanted = len("".join(heading.title.split()))
    end = place
    for _ in range(_HEADING_LINES):
        begin, end = end, _line_end(text, end)
        if (line := text[begin:end].strip()) and _is_rule(line) and wanted > 0:
            end += 1  # the line above a title
            continue
        wanted -= len("".join(line.split()))
        if wanted <= 0:
            break
        end += 1
    end = min(end, len(text))
    under = _line_end(text, end + 1)
    return under if _is_rule(text[end + 1 : under].strip()) else end


def _is_rule(line: str) -> bool:
    return len(line) > 2 and line == line[0] * len(line) and not line[0].isalnum()


def _header_begin(text: str, table: Grid) -> int:
    """Where the table's header begins, which stands above its rows; where those begin if it stands nowhere."""
    first, _, _ = table.header.partition("\n")
    earliest = max(0, table.begins - len(table.header) - _RULE_CHARACTERS)
    found = text.rfind(first, earliest, table.begins) if first else -1
    return found if found >= 0 else table.begins


def _line_ends(text: str, begin: int, end: int) -> Iterator[int]:
    while (begin := text.find("\n", begin, end)) >= 0:
        yield begin
        begin += 1


def _line_end(text: str, place: int) -> int:
    found = text.find("\n", place)
    return found if found >= 0 else len(text)


def _first_word(text: str, place: int) -> int:
    """The place, or the first behind it that isn't white space."""
    found = _WORD.search(text, place)
    return found.start() if found else place


def _shortened(text: str, most: int) -> str:
    """The text in one line of at most so many characters."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1].rstrip()}…"
