"""What is known of a text beside its characters: where headings, pages and tables are in it.

Places are character offsets into the text, from 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading that begins `at`; of level 1, the highest, to 6."""

    at: int
    level: int
    title: str


@dataclass(frozen=True, slots=True)
class Grid:
    """A table's rows, from `begins` up to but not including `ends`, and its header as it is to be repeated."""

    begins: int
    ends: int
    header: str


@dataclass(frozen=True, slots=True)
class Marks:
    """Headings, where each page begins (the first at 0; none where there are no pages), and tables; all in order."""

    headings: Sequence[Heading] = ()
    pages: Sequence[int] = ()
    tables: Sequence[Grid] = ()

    def within(self, begins: int, ends: int) -> "Marks":
        """Those that begin in this part of the text; in a table's case its rows."""
        return Marks(
            tuple(mark for mark in self.headings if begins <= mark.at < ends),
            tuple(page for page in self.pages if begins <= page < ends),
            tuple(mark for mark in self.tables if begins <= mark.begins < ends),
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "headings": [[mark.at, mark.level, mark.title] for mark in self.headings],
            "pages": list(self.pages),
            "tables": [[mark.begins, mark.ends, mark.header] for mark in self.tables],
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """What `to_json` gave."""
        return cls(
            headings=tuple(Heading(*mark) for mark in stored["headings"]),
            pages=tuple(stored["pages"]),
            tables=tuple(Grid(*mark) for mark in stored["tables"]),
        )


@dataclass(frozen=True, slots=True)
class Extracted:
    """What was read in a file: its text, tidy and never empty, and what is known of it.

    `charset` is the one that it was read in, None where the format has its own. `title` is the document's own.
    `warnings` are sentences for who brought the file, of what may be missing or wrong in the text.
    """

    text: str
    marks: Marks = Marks()
    charset: str | None = None
    title: str | None = None
    warnings: Sequence[str] = ()
