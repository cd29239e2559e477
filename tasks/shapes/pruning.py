"""Grammars without what can't be brought to an end, where a model would be stuck, and without what isn't reached."""

from collections.abc import Mapping

from tasks.shapes.grammar import (
    NEVER,
    Choice,
    Grammar,
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
    """The rules of which some text is finite: in few passes, as rules mostly come in order, one way or the other."""
    found: set[str] = set()
    left = list(rules.items())
    while True:
        still = []
        for name, node in reversed(left):
            if _ends(node, found):
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


def size(grammar: Grammar) -> tuple[int, int]:
    """How many nodes it has, and how many of them stand inside each other at most."""
    nodes = deepest = 0
    waiting = [(node, 1) for node in (grammar.root, *grammar.rules.values())]
    while waiting:
        node, depth = waiting.pop()
        nodes, deepest = nodes + 1, max(deepest, depth)
        waiting += [(inner, depth + 1) for inner in children(node)]
    return nodes, deepest
