"""A document's text as its reader finds it, block by block, and the marks of what is where in it."""

from collections.abc import Sequence
from typing import Self

from tasks import errors
from tasks.documents import tidying
from tasks.documents.marks import Extracted, Grid, Heading, Marks
from tasks.documents.outline import HEADER_CHARACTERS, MOST_MARKS, TITLE_CHARACTERS

_MOST_WARNINGS = 20
_WARNING_CHARACTERS = 300


class Writer:
    """Puts blocks one below the other, each tidy, so that a place that is marked stays where it is.

    Headings are written as Markdown has them, and a table's rows as its lines of cells. Every method that adds text
    raises `DocumentTooLarge` when it is more than `limit` characters.
    """

    def __init__(self, limit: int) -> None:
        self.title: str | None = None
        self.charset: str | None = None
        self.warnings: list[str] = []
        self._limit, self._length = limit, 0
        self._said: list[str] = []
        self._headings: list[Heading] = []
        self._pages: list[int] = []
        self._tables: list[Grid] = []
        self._of_text: Marks | None = None
        self._line_fits = False  # the last block is a line that another may follow right below
        self._page_opens = False

    @property
    def length(self) -> int:
        return self._length

    def heading(self, level: int, title: str) -> None:
        """A heading of level 1, the highest, to 6; what is too long for one is a paragraph."""
        title = " ".join(tidying.tidied(title).split())
        if not title:
            return
        if len(title) > TITLE_CHARACTERS:
            self.block(title)
            return
        at = self._put(f"{'#' * level} {title}", "\n\n")
        if len(self._headings) < MOST_MARKS:
            self._headings.append(Heading(at, level, title))

    def block(self, text: str) -> None:
        """A paragraph, or text as it was written: its lines stay."""
        text = tidying.tidied(text).strip("\n")
        if text.strip():
            self._put(text if self._said else text.lstrip(), "\n\n")

    def line(self, text: str) -> None:
        """A line that stands right below the one before it: an item of a list."""
        text = tidying.tidied(text).strip()
        if text:
            self._put(text, "\n" if self._line_fits else "\n\n")
            self._line_fits = True

    def table(self) -> "Table":
        """A table, to which rows are added until something else is."""
        self._line_fits = False
        return Table(self)

    def page(self) -> None:
        """A new page: it begins with what is added next."""
        if self._page_opens:
            self._pages.append(self._length)
        self._page_opens = True
        self._line_fits = False

    def take(self, text: str, marks: Marks) -> None:
        """A whole text, tidy already, with marks of its own; it must be the only one."""
        self._put(text, "")
        self._of_text = marks

    def warn(self, sentence: str) -> None:
        """Something that whoever brought the document should know of its text."""
        sentence = " ".join(tidying.tidied(sentence).split())[:_WARNING_CHARACTERS]
        if sentence not in self.warnings and len(self.warnings) < _MOST_WARNINGS:
            self.warnings.append(sentence)

    def named(self, title: str | None) -> Self:
        """Says what the document calls itself, if nothing has said it before."""
        title = " ".join(tidying.tidied(title or "").split())[:512]
        self.title = self.title or title or None
        return self

    def written(self) -> Extracted:
        """The document. Raises `UnreadableDocument` when there is no text in it."""
        text = "".join(self._said)
        if not text.strip():
            if self.title is None:
                raise errors.UnreadableDocument("it holds no text")
            text = self.title
        if self._page_opens:
            self.page()
        pages = [min(at, len(text)) for at in self._pages]
        marks = self._of_text or Marks(tuple(self._headings), tuple(pages), tuple(self._tables))
        return Extracted(text, marks, self.charset, self.title, tuple(self.warnings))

    def _put(self, text: str, gap: str) -> int:
        """Adds text after the gap; where it begins."""
        gap = gap if self._said else ""
        at = self._length + len(gap)
        if self._page_opens:
            self._pages.append(at if self._pages else 0)
            self._page_opens = False
        self._said.append(gap + text)
        self._length = at + len(text)
        if self._length > self._limit:
            raise errors.DocumentTooLarge(f"it has more than {self._limit} characters of text")
        self._line_fits = False
        return at


class Table:
    """The rows of one table, as they come. With a `header` the first row is what the others are under."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._grid: Grid | None = None
        self._header, self._place = "", -1

    def row(self, cells: Sequence[str], *, header: bool = False) -> None:
        """A row, unless all its cells are empty. Only the first can be the header."""
        row = [" ".join(tidying.tidied(cell).split()).replace("|", "\\|") for cell in cells]
        if not any(row):
            return
        line = f"| {' | '.join(row)} |"
        first = self._grid is None and not self._header
        at = self._writer._put(line, "\n\n" if first else "\n")
        if first and header:
            self._header = line[:HEADER_CHARACTERS]
            return
        self._mark(at, at + len(line))

    def _mark(self, begins: int, ends: int) -> None:
        tables = self._writer._tables
        if self._grid is None:
            self._place = len(tables)
            self._grid = Grid(begins, ends, self._header)
            if len(tables) < MOST_MARKS:
                tables.append(self._grid)
            return
        self._grid = Grid(self._grid.begins, ends, self._header)
        if self._place < MOST_MARKS:
            tables[self._place] = self._grid
