"""Walking the tree of an HTML page without recursion: it may be nested a hundred thousand deep."""

from collections.abc import Callable, Iterator

from selectolax.lexbor import LexborNode


def walk(root: LexborNode, enter: Callable[[LexborNode], bool]) -> Iterator[tuple[LexborNode, bool]]:
    """Calls `enter` for each node in order; its children follow if that says so. Gives each node when it is entered
    (True) and when it is left (False)."""
    node, depth = root, 0
    while True:
        yield node, True
        if enter(node) and (child := node.first_child) is not None:
            node, depth = child, depth + 1
            continue
        yield node, False
        while depth and node.next is None:
            parent = node.parent
            if parent is None:
                return
            node, depth = parent, depth - 1
            yield node, False
        if not depth or node.next is None:
            return
        node = node.next


def text_of_first(node: LexborNode, tag: str) -> str:
    """The text of the first element of that name in the node; empty where there is none."""
    found = ""
    within: list[str] = []

    def enter(inner: LexborNode) -> bool:
        nonlocal found
        if within and inner.is_text_node:
            found += inner.text_content or ""
        if inner.tag == tag:
            within.append(tag)
        return True

    for inner, entered in walk(node, enter):
        if not entered and inner.tag == tag:
            break
    return " ".join(found.split())
