"""Tables that come as rows of values: which of them is the header, and where one table ends."""

import re
from collections.abc import Iterable

from workers.extraction.writing import Table, Writer

_NUMBER = re.compile(r"[-+]?[.,' ]*\d[\d.,' ]*%?")


def write(rows: Iterable[list[str]], writer: Writer, title: str = "") -> None:
    """Writes rows as a table, below its title if it has one.

    Its header is the first row that has more than one value, unless that has a number; rows of one value above it are
    lines. Rows without any value are left out.
    """
    table: Table | None = None
    for row in rows:
        while row and not row[-1].strip():
            row.pop()
        filled = sum(1 for value in row if value.strip())
        if filled and title:
            writer.heading(2, title)
            title = ""
        if table is None and filled == 1:
            writer.line(next(value for value in row if value.strip()))
        elif filled:
            header = table is None and not any(_NUMBER.fullmatch(value.strip()) for value in row)
            table = table or writer.table()
            table.row(row, header=header)
