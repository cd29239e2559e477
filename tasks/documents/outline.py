"""Where headings and tables are in a text that somebody wrote: plain, in Markdown or in reStructuredText.

Whatever is in the text, this takes a time in proportion to its length.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from tasks.documents.marks import Grid, Heading, Marks

TITLE_CHARACTERS = 200  # a heading is no longer; what is, is a paragraph
HEADER_CHARACTERS = 1_000  # of a table's header are repeated
MOST_MARKS = 10_000  # of each sort; what follows is text without marks

_TITLE_LINES = 3
_SHORTEST_RULE = 3

# The lines by which Markdown says what stands there; all others are looked at only beside these.
_MARKDOWN = re.compile(
    r"""^[ ]{0,3}(?:
        (?P<atx>\#{1,6})(?=[ \t]|$)
      | (?P<fence>`{3,}|~{3,})
      | (?P<under>=+|-+)(?=[ \t]*$)
      | (?P<rule>[|:-])(?=[|: \t-]*$)
    ).*$""",
    re.MULTILINE | re.VERBOSE,
)
_OTHER_BLOCK = re.compile(r"[ ]{0,3}(?:>|\||#|[-*+][ \t]|\d{1,9}[.)][ \t]|<)|[ ]{4}|\t")
_ROW_CELL = re.compile(r"(?<!\\)\|")
_RULE_CELL = re.compile(r"[ \t]*:?-+:?[ \t]*")

# A line of nothing but signs and spaces: in reStructuredText it rules off a title or a table.
_RST = re.compile(r"^[!-/:-@\[-`{-~][ !-/:-@\[-`{-~]*$", re.MULTILINE)


def outline(text: str, kind: str) -> Marks:
    """The headings and tables of a text of the kind `rst`, `markdown` or, read like Markdown, `text`.

    A table's rows begin after its header, and after the line that rules it off.
    """
    found = _Found(text)
    if kind == "rst":
        _read_rst(found)
    else:
        _read_markdown(found, plain=kind == "text")
    return Marks(tuple(found.headings), (), tuple(found.tables))


@dataclass(slots=True)
class _Found:
    """What is found so far; nothing before `floor` can be part of anything that is found later."""

    text: str
    floor: int = 0
    headings: list[Heading] = field(default_factory=list)
    tables: list[Grid] = field(default_factory=list)

    def head(self, at: int, level: int, title: str, end: int) -> None:
        title = " ".join(title.split())
        if title and len(title) <= TITLE_CHARACTERS and len(self.headings) < MOST_MARKS:
            self.headings.append(Heading(at, level, title))
        self.floor = end

    def table(self, begins: int, ends: int, header: str) -> None:
        if begins < ends and len(self.tables) < MOST_MARKS:
            self.tables.append(Grid(begins, ends, header[:HEADER_CHARACTERS]))
        self.floor = ends

    def before(self, at: int) -> tuple[int, str] | None:
        """Where the line before the one at `at` begins, and that line; None when there is none above the floor."""
        if at <= self.floor:
            return None
        begin = self.text.rfind("\n", self.floor, at - 1) + 1 or self.floor
        return begin, self.text[begin : at - 1]

    def after(self, end: int) -> Iterator[tuple[int, int, str]]:
        """Begin, end and content of each line after the one that ends at `end`."""
        while end < len(self.text):
            begin = end + 1
            end = self.text.find("\n", begin)
            end = len(self.text) if end < 0 else end
            yield begin, end, self.text[begin:end]


def _read_markdown(found: _Found, *, plain: bool) -> None:
    fence = ""
    found.floor = _front_matter(found.text)
    for line in _MARKDOWN.finditer(found.text, found.floor):
        if line.start() < found.floor:
            continue
        if fence or line["fence"]:
            fence = _fenced(fence, line)
            found.floor = line.end()
        elif line["atx"]:
            _add_atx(found, line, plain=plain)
        elif "|" in line[0]:
            _add_pipes(found, line)
        elif line["under"] and len(line["under"]) >= _SHORTEST_RULE:
            _add_underlined(found, line)


def _front_matter(text: str) -> int:
    """Where the text begins after what some programs put above it, between two lines of dashes."""
    if not text.startswith("---\n"):
        return 0
    end = text.find("\n---\n", 3, 4_096)
    return end + 5 if end >= 0 else 0


def _fenced(fence: str, line: re.Match[str]) -> str:
    """The fence of the code that is open after the line; empty when none is."""
    mark = line["fence"]
    if not fence:
        return mark if mark[0] == "~" or "`" not in line[0].strip().lstrip("`") else ""
    closes = mark and mark.startswith(fence) and not line[0].strip().strip(mark[0])
    return "" if closes else fence


def _add_atx(found: _Found, line: re.Match[str], *, plain: bool) -> None:
    """In a plain text, a # right under other text more often begins a program's comment."""
    if plain and line.start() > 0 and not found.text.endswith("\n\n", 0, line.start()):
        return
    title = _unclosed(line[0].lstrip()[len(line["atx"]) :])
    found.head(line.start(), len(line["atx"]), title, line.end())


def _unclosed(title: str) -> str:
    """The title without the signs that close it, which stand apart."""
    bare = title.rstrip(" \t").rstrip("#")
    return bare if not bare or bare[-1] in " \t" else title


def _add_underlined(found: _Found, line: re.Match[str]) -> None:
    """A paragraph of a few lines is a heading if it is underlined."""
    title: list[str] = []
    at = line.start()
    while (above := found.before(at)) is not None and above[1].strip():
        at = above[0]
        title.insert(0, above[1])
        if len(title) > _TITLE_LINES:
            return
    if title and not _OTHER_BLOCK.match(title[0]) and not _MARKDOWN.fullmatch(title[-1]):
        found.head(at, 1 if line["under"][0] == "=" else 2, " ".join(title), line.end())


def _add_pipes(found: _Found, line: re.Match[str]) -> None:
    """A table is a line of cells, a line that rules them off, and lines of cells."""
    above = found.before(line.start())
    rules = _cells(line[0])
    if above is None or "|" not in above[1] or len(_cells(above[1])) != len(rules):
        return
    if not all(_RULE_CELL.fullmatch(cell) for cell in rules):
        return
    begins = ends = min(line.end() + 1, len(found.text))
    for _, end, row in found.after(line.end()):
        if "|" not in row:
            break
        ends = min(end + 1, len(found.text))
    found.table(begins, ends, above[1].strip())


def _cells(row: str) -> list[str]:
    return _ROW_CELL.split(row.strip().removeprefix("|").removesuffix("|"))


def _read_rst(found: _Found) -> None:
    styles: list[str] = []  # of underlining, the first one seen being that of the highest level
    borders: list[re.Match[str]] = []  # of the simple table that is open
    for line in _RST.finditer(found.text):
        if line.start() < found.floor:
            continue
        signs = line[0].rstrip()
        if signs.startswith("+") and signs.endswith("+") and "-" in signs and not signs.strip("+-="):
            _add_grid(found, line)
        elif signs.startswith("=") and " " in signs and not signs.strip("= "):
            borders = _add_simple(found, [*borders, line])
        elif not borders and len(signs) >= _SHORTEST_RULE and not signs.strip(signs[0]):
            _add_section(found, line, signs, styles)


def _add_section(found: _Found, line: re.Match[str], under: str, styles: list[str]) -> None:
    """A section's title is underlined, and may have a line above it too."""
    title = found.before(line.start())
    if title is None or not title[1].strip() or _RST.fullmatch(title[1]):
        return
    at, style = title[0], under[0]
    above = found.before(at)
    if above is not None and above[1].strip():
        if above[1].rstrip() != under:
            return
        at, style = above[0], style * 2
    elif title[1][0].isspace() or len(under) < min(len(title[1]), 4):
        return
    if style not in styles:
        styles.append(style)
    found.head(at, min(styles.index(style) + 1, 6), title[1], line.end())


def _add_grid(found: _Found, line: re.Match[str]) -> None:
    """Each line of a grid table begins with + or |; a line of = ends its header."""
    ends = begins = min(line.end() + 1, len(found.text))
    header = ""
    for _, end, row in found.after(line.end()):
        if not row.startswith(("+", "|")):
            break
        if row.startswith("+=") and not header:
            header = found.text[begins:ends].strip("\n")
            begins = min(end + 1, len(found.text))
        ends = min(end + 1, len(found.text))
    found.table(begins, ends, header)


def _add_simple(found: _Found, borders: list[re.Match[str]]) -> list[re.Match[str]]:
    """Takes the table whose borders these are if the last one ends it: three, or two and nothing below.

    Gives the borders of the table that is still open.
    """
    last = borders[-1]
    ended = len(found.text) <= last.end() + 1 or found.text[last.end() + 1] == "\n"
    if len(borders) == 1 or (len(borders) == 2 and not ended):
        return borders
    header = found.text[borders[0].end() + 1 : borders[1].start()].strip("\n") if len(borders) == 3 else ""
    found.table(borders[-2].end() + 1, last.start(), header)
    found.floor = last.end()
    return []
