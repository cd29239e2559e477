"""Grammars without what can't be brought to an end, where a model would be stuck, and without what isn't reached."""

from collections.abc import Callable, Iterator, Mapping

from tasks.shapes.grammar import (
    EMPTY,
    NEVER,
    Characters,
    Choice,
    Grammar,
    Literal,
    Node,
    Reference,
    Repeat,
    Sequence,
    children,
    choice,
    repeat,
    sequence,
    walk,
)


def pruned(grammar: Grammar) -> Grammar:
    """The same texts, by rules of which each can be brought to an end; the root is `NEVER` when there is no text."""
    ending = _ending(grammar.rules)
    root = _kept(grammar.root, ending)
    rules: dict[str, Node] = {}
    waiting = [root]
    while waiting:
        for node in walk(waiting.pop()):
            if isinstance(node, Reference) and node.rule not in rules:
                rules[node.rule] = _kept(grammar.rules[node.rule], ending)
                waiting.append(rules[node.rule])
    return Grammar(root, rules)


def _ending(rules: Mapping[str, Node]) -> set[str]:
    """The rules of which some text is finite."""
    return _all_that(rules, _ends)


def _all_that(rules: Mapping[str, Node], holds: Callable[[Node, set[str]], bool]) -> set[str]:
    """The rules for which it holds, given those for which it is known to; fewest passes where rules come in order."""
    found: set[str] = set()
    left = list(rules.items())
    while True:
        still = []
        for name, node in reversed(left):  # and the next time the other way round
            if holds(node, found):
                found.add(name)
            else:
                still.append((name, node))
        if len(still) == len(left):
            return found
        left = still


def _ends(node: Node, ending: set[str]) -> bool:
    match node:
        case Sequence(parts):
            return all(_ends(part, ending) for part in parts)
        case Choice(arms):
            return any(_ends(arm, ending) for arm in arms)
        case Repeat(inner, least, _):
            return not least or _ends(inner, ending)
        case Reference(rule):
            return rule in ending
    return True


def _kept(node: Node, ending: set[str]) -> Node:
    match node:
        case Sequence(parts):
            return sequence(*(_kept(part, ending) for part in parts))
        case Choice(arms):
            return choice(*(arm for arm in (_kept(arm, ending) for arm in arms) if arm != NEVER))
        case Repeat(inner, least, most):
            return repeat(_kept(inner, ending), least, most)
        case Reference(rule):
            return node if rule in ending else NEVER
    return node


def circular(grammar: Grammar) -> str | None:
    """A rule that can begin with itself before any character has been said; None when there is none."""
    empty = _all_that(grammar.rules, _may_be_empty)
    first = {name: set(_first(node, empty)) for name, node in grammar.rules.items()}
    done: set[str] = set()
    for start in first:
        path, waiting = dict.fromkeys([start]), [iter(first[start])]
        while waiting and start not in done:
            name = next(waiting[-1], None)
            if name is None:
                waiting.pop()
                done.add(path.popitem()[0])
            elif name in path:
                return name
            elif name not in done:
                path[name] = None
                waiting.append(iter(first[name]))
    return None


def _may_be_empty(node: Node, empty: set[str]) -> bool:
    match node:
        case Literal():
            return node == EMPTY
        case Characters():
            return False
        case Sequence(parts):
            return all(_may_be_empty(part, empty) for part in parts)
        case Choice(arms):
            return any(_may_be_empty(arm, empty) for arm in arms)
        case Repeat(inner, least, _):
            return not least or _may_be_empty(inner, empty)
        case Reference(rule):
            return rule in empty


def _first(node: Node, empty: set[str]) -> Iterator[str]:
    """The rules with which it can begin."""
    if isinstance(node, Reference):
        yield node.rule
    for inner in children(node):
        yield from _first(inner, empty)
        if isinstance(node, Sequence) and not _may_be_empty(inner, empty):
            return


def size(grammar: Grammar) -> tuple[int, int]:
    """How many nodes it has, and how many of them stand inside each other at most."""
    nodes = deepest = 0
    waiting = [(node, 1) for node in (grammar.root, *grammar.rules.values())]
    while waiting:
        node, depth = waiting.pop()
        nodes, deepest = nodes + 1, max(deepest, depth)
        waiting += [(inner, depth + 1) for inner in children(node)]
    return nodes, deepest
