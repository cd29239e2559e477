"""Which parts of an HTML page aren't what it is about: menus, footers, related links.

Only what a page itself says is believed: its elements, their roles, and what it calls them. Where that would leave
nearly nothing, the page has no part that could be told from the others.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from selectolax.lexbor import LexborNode

from workers.extraction import tree

_NEVER = frozenset({"nav", "footer"})
_ROLES_NEVER = frozenset({"navigation", "contentinfo", "search", "banner", "menu", "menubar"})
_MAY_BE_LINKS = frozenset({"aside", "menu", "div", "section", "ul", "ol", "table", "header", "form", "p"})
_CALLED = re.compile(
    r"""(?:^|[\s_-])(?:nav|navbar|navigation|navbox|menu|topbar|sidebar|breadcrumbs?|related|sharing|social|pagination|
    pager|newsletter|skip-?links?|see-?also|read-?more)(?:$|[\s_-])""",
    re.IGNORECASE | re.VERBOSE,
)
_CALLED_NEVER = re.compile(
    r"(?:^|[\s_-])(?:footer|cookies?|cookie-?(?:banner|notice|consent))(?:$|[\s_-])", re.IGNORECASE
)
_LINKED = 0.4  # of the text of a menu, at least, stands in links
_LEFT = 0.2  # of a page's text, at least, is its main part, unless that has so many characters
_LEFT_CHARACTERS = 200
_NO_TEXT = frozenset({"head", "script", "style", "template", "noscript"})


def left_out(root: LexborNode) -> frozenset[int]:
    """The nodes, by `mem_id`, that are to be left out of a page with all that is in them."""
    survey = _Survey()
    for node, entered in tree.walk(root, survey.enter):
        if not entered:
            survey.leave(node)
    page = survey.page
    main = max(survey.mains, key=lambda part: part.kept, default=None)
    if main is None and len(survey.articles) == 1:
        main = survey.articles[0]
    if main is not None and _is_enough(main.kept, page.text):
        return frozenset((*survey.left_out, *_around(main.node)))
    return frozenset(survey.left_out) if _is_enough(page.kept, page.text) else frozenset()


def _is_enough(kept: int, of: int) -> bool:
    return kept > 0 and (kept >= _LEFT_CHARACTERS or kept >= _LEFT * of)


def _around(node: LexborNode) -> Iterator[int]:
    """Whatever is beside the node or an element that it is in, but for the page's head."""
    inner: LexborNode | None = node
    while inner is not None and (outer := inner.parent) is not None:
        beside = outer.first_child
        while beside is not None:
            if beside.mem_id != inner.mem_id and beside.tag != "head":
                yield beside.mem_id
            beside = beside.next
        inner = outer


@dataclass(slots=True)
class _Part:
    """An element; how many characters are in it, how many of them are kept, and how many are in links."""

    node: LexborNode
    tag: str
    text: int = 0
    kept: int = 0
    linked: int = 0
    has_h1: bool = False


class _Survey:
    """Counts the text of each element that matters, in one walk."""

    def __init__(self) -> None:
        self.left_out: list[int] = []
        self.mains: list[_Part] = []
        self.articles: list[_Part] = []
        self.page: _Part
        self._open: list[_Part] = []
        self._links = self._contents = 0  # how many links, and parts with contents of their own, we are in

    def enter(self, node: LexborNode) -> bool:
        if not self._open:
            self.page = _Part(node, "")
            self._open.append(self.page)
        part, tag = self._open[-1], node.tag or ""
        if node.is_text_node:
            length = len((node.text_content or "").strip())
            part.text += length
            part.kept += length
            part.linked += length if self._links else 0
            return False
        if tag in _NO_TEXT:
            return False
        self._links += tag == "a"
        part.has_h1 |= tag == "h1"
        if _matters(node, tag):
            self._open.append(_Part(node, tag))
            self._contents += tag in ("main", "article")
        return True

    def leave(self, node: LexborNode) -> None:
        self._links -= node.tag == "a"
        part = self._open[-1]
        if part is self.page or part.node.mem_id != node.mem_id:
            return
        self._open.pop()
        self._contents -= part.tag in ("main", "article")
        if self._is_left_out(part):
            self.left_out.append(node.mem_id)
            part.kept = 0
        elif part.tag == "main" or node.attributes.get("role") == "main":
            self.mains.append(part)
        elif part.tag == "article" and not self._contents:
            self.articles.append(part)
        outer = self._open[-1]
        outer.text += part.text
        outer.kept += part.kept
        outer.linked += part.linked
        outer.has_h1 |= part.has_h1

    def _is_left_out(self, part: _Part) -> bool:
        attributes = part.node.attributes
        called = f"{attributes.get('class') or ''} {attributes.get('id') or ''}"[:500]
        if part.has_h1 or part.tag in ("main", "article", "body", "html"):
            return False
        if part.tag in _NEVER or attributes.get("role") in _ROLES_NEVER or _CALLED_NEVER.search(called):
            return True
        if part.tag == "header":
            return not self._contents
        is_linked = part.linked >= _LINKED * part.text
        return is_linked and (part.tag in ("aside", "menu") or _CALLED.search(called) is not None)


def _matters(node: LexborNode, tag: str) -> bool:
    return tag in _NEVER or tag in _MAY_BE_LINKS or tag in ("main", "article") or "role" in node.attributes
