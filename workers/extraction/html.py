"""What an HTML page says. Runs in the process of `workers.extraction.child` only."""

import re
from enum import IntEnum

from selectolax.lexbor import LexborHTMLParser, LexborNode, SelectolaxError

from tasks.documents import charsets
from workers.extraction import mainpart, plaintext, tree
from workers.extraction.writing import Table, Writer

LIBRARIES = ("chardet", "selectolax.lexbor")

_UNSEEN = frozenset(
    re.findall(
        r"\w+",
        """script style template noscript svg iframe object embed canvas audio video datalist select textarea
        annotation""",
    )
)
_BLOCKS = frozenset(
    re.findall(
        r"\w+",
        """address article aside blockquote body caption center dd details dialog dir div dl dt fieldset figcaption
        figure footer form h1 h2 h3 h4 h5 h6 head header hgroup hr html legend li listing main menu nav ol optgroup p
        plaintext pre search section summary table tbody td tfoot th thead title tr ul xmp""",
    )
)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_AS_WRITTEN = frozenset({"pre", "listing", "xmp", "plaintext"})
_CELLS = frozenset({"td", "th"})
_NOT_DISPLAYED = re.compile(r"display\s{0,9}:\s{0,9}none", re.IGNORECASE)
_LONGEST_CELL = 2_000  # characters; whatever is longer is a page's layout
# What stands before an element of a formula that comes second or third in such a one.
_FORMULA = {"msup": "^^", "mover": "^^", "msub": "__", "munder": "__", "msubsup": "_^", "mfrac": "//"}

_DECLARED = re.compile(rb"""<meta[^>]{0,200}charset\s{0,9}=\s{0,9}["']?\s{0,9}([\w:.-]{1,40})""", re.IGNORECASE)
_DECLARED_WITHIN = 1_024  # WHATWG HTML, section 4.2.5.4


def prepare() -> None:
    plaintext.prepare()


def read(raw: bytes, told: dict[str, object], writer: Writer) -> None:
    """A page's text, in the charset that its bytes are, else that it declares."""
    charset = told["charset"]
    found = plaintext.decode(raw, str(charset) if charset else _declared(raw))
    writer.charset = found.charset
    for sentence in plaintext.doubts(found):
        writer.warn(sentence)
    write(found.text, writer)


def _declared(raw: bytes) -> str | None:
    """What the page says its charset is; None where its bytes say otherwise."""
    said = _DECLARED.search(raw, 0, _DECLARED_WITHIN)
    charset = charsets.known(said[1].decode("ascii", "replace")) if said else None
    if charset is None or charset.startswith("utf"):  # UTF-8 is told by the bytes, and no other could say so in ASCII
        return None
    return charset if raw.isascii() or not _is_utf8(raw) else None


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def write(page: str, writer: Writer, *, whole: bool = False) -> None:
    """Writes a page's main part, or the `whole` of what can be seen, into the document; its title is the document's."""
    try:
        parsed = LexborHTMLParser(page)
    except SelectolaxError as error:  # to its parser every page is a page: all it can lack is memory
        raise MemoryError from error
    if parsed.root is None:
        return
    words = _Words(writer, frozenset() if whole else mainpart.left_out(parsed.root))
    for node, entered in tree.walk(parsed.root, words.enter):
        if not entered:
            words.leave(node)
    words.flush()


class _Gap(IntEnum):
    """What stands between two words of a paragraph, the larger where several meet."""

    NONE = 0
    SPACE = 1
    LINE = 2


_WRITTEN = {_Gap.NONE: "", _Gap.SPACE: " ", _Gap.LINE: "\n"}


class _Rows:
    """A table that is open, and its row so far."""

    def __init__(self, writer: Writer, *, layout: bool) -> None:
        self.layout = layout  # it isn't a table of facts: its cells hold parts of the page
        self._writer = writer
        self._table: Table | None = None
        self._row: list[str] = []
        self._heads = 0
        self.in_cell = False

    def open_cell(self, *, head: bool) -> None:
        self.in_cell = True
        self._row.append("")
        self._heads += head

    def add(self, text: str) -> None:
        self._row[-1] = f"{self._row[-1]} {text}" if self._row[-1] else text
        if len(self._row[-1]) > _LONGEST_CELL:
            self.dissolve()

    def end_row(self) -> None:
        row, heads = self._row, self._heads
        self._row, self._heads = [], 0
        if len(row) > 1:
            self._table = self._table or self._writer.table()
            self._table.row(row, header=heads == len(row))
        elif row:
            self._table = None
            self._writer.block(row[0])

    def dissolve(self) -> None:
        """What is in the cells is written as it comes, from here on."""
        for cell in self._row:
            self._writer.block(cell)
        self._row, self._table, self.layout = [], None, True


class _Words:
    """The paragraph so far, and what it is part of."""

    def __init__(self, writer: Writer, left_out: frozenset[int]) -> None:
        self._writer, self._left_out = writer, left_out
        self._said: list[str] = []
        self._gap = _Gap.NONE
        self._as_written = 0  # how many elements deep white space counts
        self._heading = 0
        self._item = self._titled = False
        self._tables: list[_Rows] = []

    def enter(self, node: LexborNode) -> bool:
        """Takes what the node says; whether its children are to be seen."""
        if node.is_text_node:
            if node.mem_id not in self._left_out:
                self._add(node.text_content or "")
            return False
        if not node.is_element_node:
            return node.is_document_node
        tag, attributes = node.tag or "", node.attributes
        if tag in _UNSEEN or node.mem_id in self._left_out or _is_hidden(attributes):
            self._separate(tag)
            return False
        if tag in _BLOCKS:
            self.flush()
            self._open(tag, attributes)
        elif tag == "br":
            self._gap = _Gap.LINE
        elif tag == "math" or (tag == "img" and "math" in (attributes.get("class") or "")):
            return self._formula(node, attributes.get("alttext") or attributes.get("alt"))
        elif (parent := node.parent) is not None and (signs := _FORMULA.get(parent.tag or "")):
            self._add(_sign(node, signs))
        return True

    def leave(self, node: LexborNode) -> None:
        """Ends an element that was entered, or that wasn't to be seen."""
        tag = node.tag or ""
        if not node.is_element_node or tag not in _BLOCKS or node.mem_id in self._left_out:
            return
        if _is_hidden(node.attributes):
            return
        self.flush()
        self._as_written -= tag in _AS_WRITTEN
        if tag in _HEADINGS:
            self._heading = 0
        elif tag == "title":
            self._titled = False
        elif tag == "li":
            self._item = False
        elif self._tables:
            self._close_of_table(tag)

    def flush(self) -> None:
        """Writes the paragraph as what it is."""
        text, self._said, self._gap = "".join(self._said), [], _Gap.NONE
        if not text:
            return
        rows = self._tables[-1] if self._tables else None
        if self._titled:
            self._writer.named(text)
        elif rows is not None and rows.in_cell and not rows.layout:
            rows.add(text)
        elif self._heading:
            self._writer.heading(self._heading, text)
        elif self._item:
            self._writer.line(text)
        else:
            self._writer.block(text)

    def _open(self, tag: str, attributes: dict[str, str | None]) -> None:
        self._as_written += tag in _AS_WRITTEN
        if tag in _HEADINGS:
            self._heading = _HEADINGS[tag]
            self._dissolve_cell()
        elif tag == "title":
            self._titled = True
        elif tag == "li":
            self._item = True
        elif tag == "table":
            self._dissolve_cell()
            layout = attributes.get("role") in ("presentation", "none")
            self._tables.append(_Rows(self._writer, layout=layout))
        elif tag in _CELLS and self._tables and not self._tables[-1].layout:
            self._tables[-1].open_cell(head=tag == "th")

    def _close_of_table(self, tag: str) -> None:
        rows = self._tables[-1]
        if tag in _CELLS:
            rows.in_cell = False
        elif tag == "tr":
            rows.end_row()
        elif tag == "table":
            rows.end_row()
            self._tables.pop()

    def _dissolve_cell(self) -> None:
        if self._tables and self._tables[-1].in_cell:
            self._tables[-1].dissolve()

    def _separate(self, tag: str) -> None:
        if tag in _BLOCKS:
            self.flush()

    def _formula(self, node: LexborNode, words: str | None) -> bool:
        """Takes a formula as it says that it is written; whether what it is made of is to be seen instead."""
        source = words or tree.text_of_first(node, "annotation")
        self._add(source)
        return not source

    def _add(self, text: str) -> None:
        words = text if self._as_written else " ".join(text.split())
        if text[:1].isspace() and not self._as_written:
            self._gap = max(self._gap, _Gap.SPACE)
        if not words:
            return
        self._said.append((_WRITTEN[self._gap] if self._said else "") + words)
        self._gap = _Gap.SPACE if text[-1].isspace() and not self._as_written else _Gap.NONE


def _sign(node: LexborNode, signs: str) -> str:
    """What stands before this part of a formula: nothing before the first."""
    place, before = 0, node.prev
    while before is not None and place <= len(signs):
        place += before.is_element_node
        before = before.prev
    return signs[place - 1] if 1 <= place <= len(signs) else ""


def _is_hidden(attributes: dict[str, str | None]) -> bool:
    return "hidden" in attributes or _NOT_DISPLAYED.search(attributes.get("style") or "") is not None
