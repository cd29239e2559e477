"""The visible text of an HTML page. Runs in the process of `workers.extraction.child` only."""

import re
from enum import IntEnum

from selectolax.lexbor import LexborHTMLParser, LexborNode, SelectolaxError

from tasks import errors

_UNSEEN = frozenset(
    re.findall(
        r"\w+",
        """script style template noscript svg math iframe object embed canvas audio video datalist select textarea""",
    )
)
_BLOCKS = frozenset(
    re.findall(
        r"\w+",
        """address article aside blockquote body caption center dd details dialog dir div dl dt fieldset figcaption
        figure footer form h1 h2 h3 h4 h5 h6 head header hgroup hr html legend listing main menu nav ol optgroup p
        plaintext pre search section summary table tbody tfoot thead title ul xmp""",
    )
)
_AS_WRITTEN = frozenset({"pre", "listing", "xmp", "plaintext"})
_NOT_DISPLAYED = re.compile(r"display\s{0,9}:\s{0,9}none", re.IGNORECASE)


class _Gap(IntEnum):
    """What stands between two words, the larger where several meet."""

    NONE = 0
    SPACE = 1
    CELL = 2
    LINE = 3
    BLOCK = 4


_WRITTEN = {_Gap.NONE: "", _Gap.SPACE: " ", _Gap.CELL: " | ", _Gap.LINE: "\n", _Gap.BLOCK: "\n\n"}
_GAPS = {"td": _Gap.CELL, "th": _Gap.CELL, "tr": _Gap.LINE, "li": _Gap.LINE, **dict.fromkeys(_BLOCKS, _Gap.BLOCK)}


def from_text(page: str, limit: int) -> str:
    """The title and the visible text of a page: blocks apart by a blank line, list items and table rows by a newline.

    Raises `DocumentTooLarge` for more characters than the limit.
    """
    return _visible(_parsed(page, declared=False), limit)


def from_declared(page: bytes, limit: int) -> str:
    """A page's text, read in the charset that the page declares."""
    return _visible(_parsed(page, declared=True), limit)


def _parsed(page: str | bytes, *, declared: bool) -> LexborHTMLParser:
    try:
        return LexborHTMLParser(page, encoding=declared)
    except SelectolaxError as error:  # to its parser every page is a page: all it can lack is memory
        raise MemoryError from error


def _visible(page: LexborHTMLParser, limit: int) -> str:
    """Walks the tree without recursion: a page may be nested a hundred thousand deep."""
    words = _Words(limit)
    node, depth = page.root, 0
    while node is not None:
        if _enter(node, words) and (child := node.first_child) is not None:
            node, depth = child, depth + 1
            continue
        _leave(node, words)
        while depth and node is not None and node.next is None:
            node, depth = node.parent, depth - 1
            if node is not None:
                _leave(node, words)
        node = node.next if depth and node is not None else None
    return words.text()


def _enter(node: LexborNode, words: "_Words") -> bool:
    """Takes what the node says; whether its children are to be seen."""
    if node.is_text_node:
        words.add(node.text_content or "")
        return False
    if not node.is_element_node:
        return False
    tag = node.tag or ""
    words.part(_GAPS.get(tag, _Gap.NONE))
    words.as_written += tag in _AS_WRITTEN
    if tag == "br":
        words.break_line()
    return tag not in _UNSEEN and not _is_hidden(node)


def _leave(node: LexborNode, words: "_Words") -> None:
    if node.is_element_node:
        words.part(_GAPS.get(node.tag or "", _Gap.NONE))
        words.as_written -= (node.tag or "") in _AS_WRITTEN


def _is_hidden(node: LexborNode) -> bool:
    attributes = node.attributes
    return "hidden" in attributes or _NOT_DISPLAYED.search(attributes.get("style") or "") is not None


class _Words:
    """The text so far, and the gap before what comes next."""

    def __init__(self, limit: int) -> None:
        self.as_written = 0  # how many elements deep white space counts
        self._limit, self._length = limit, 0
        self._said: list[str] = []
        self._gap = _Gap.NONE

    def text(self) -> str:
        return "".join(self._said)

    def part(self, gap: _Gap) -> None:
        self._gap = max(self._gap, gap)

    def break_line(self) -> None:
        self._gap = _Gap.BLOCK if self._gap >= _Gap.LINE else _Gap.LINE

    def add(self, text: str) -> None:
        words = text if self.as_written else " ".join(text.split())
        if text[:1].isspace() and not self.as_written:
            self.part(_Gap.SPACE)
        if not words:
            return
        gap = _WRITTEN[self._gap] if self._said else ""
        self._said.append(gap + words)
        self._length += len(gap) + len(words)
        if self._length > self._limit:
            raise errors.DocumentTooLarge(f"it has more than {self._limit} characters of text")
        self._gap = _Gap.SPACE if text[-1].isspace() and not self.as_written else _Gap.NONE
