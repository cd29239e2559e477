"""What may still follow once a text has been said (Brzozowski's derivative, by Antimirov's partial ones).

What may follow is a set of stacks: of each, the top comes next, then what lies below. Equal stacks are one object, so
that the set stays as small as the grammar is unambiguous, and a character costs the same in the middle of a long text.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tasks.shapes import charsets
from tasks.shapes.grammar import (
    EMPTY,
    Characters,
    Choice,
    Grammar,
    Literal,
    Node,
    Reference,
    Repeat,
    Sequence,
    choice,
    literal,
    repeat,
    sequence,
    walk,
)


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """A node of which `done` is behind us (characters of a text, parts, repetitions), and what comes after it."""

    node: Node
    done: int
    below: "Stack | None"


State = dict["Stack | None", None]  # an ordered set; None is the empty stack: the text may end


class Follower:
    """Follows texts through one grammar. Not for two threads at once."""

    def __init__(self, grammar: Grammar) -> None:
        self._rules = grammar.rules
        self._stacks: dict[tuple[int, int, int], Stack] = {}
        self._tops: dict[Stack, tuple[Stack | None, ...]] = {}
        self.start: State = {self._push(grammar.root, None): None}

    def step(self, state: State, character: str) -> State:
        """What follows after one more character; an empty set when it isn't allowed there."""
        after: State = {}
        for top in self.tops(state):
            if top is None:
                continue
            node = top.node
            if isinstance(node, Literal):
                if node.text[top.done] == character:
                    after[self._advanced(top)] = None
            elif isinstance(node, Characters) and charsets.has(node.ranges, ord(character)):
                after[top.below] = None
        return after

    def ends(self, state: State) -> bool:
        """Whether the text may end here."""
        return None in self.tops(state)

    def tops(self, state: State) -> State:
        """The stacks with a text or a set of characters on top, or none, that these stand for."""
        found: State = {}
        for stack in state:
            found.update(dict.fromkeys((None,) if stack is None else self._tops_of(stack)))
        return found

    def _tops_of(self, stack: Stack) -> tuple[Stack | None, ...]:
        known = self._tops.get(stack)
        if known is not None:
            return known
        found: State = {}
        seen: State = {stack: None}
        waiting: list[Stack | None] = [stack]
        while waiting:
            here = waiting.pop()
            if here is None or isinstance(here.node, Literal | Characters):
                found[here] = None
                continue
            alone = here.below is None or isinstance(here.node, Repeat)
            for inner in self._opened(here) if alone else self._opened_once(here):
                if inner not in seen:
                    seen[inner] = None
                    waiting.append(inner)
        self._tops[stack] = tuple(found)
        return self._tops[stack]

    def _opened_once(self, stack: Stack) -> Iterable[Stack | None]:
        """As `_opened`, all the way: by what the top alone stands for, which is the same wherever it stands."""
        alone = self._push(stack.node, None, stack.done)
        assert alone is not None
        return [self._put_on(top, stack.below) for top in self._tops_of(alone)]

    def _put_on(self, stack: Stack | None, below: Stack | None) -> Stack | None:
        frames = []
        while stack is not None:
            frames.append(stack)
            stack = stack.below
        for frame in reversed(frames):
            below = self._push(frame.node, below, frame.done)
        return below

    def _opened(self, stack: Stack) -> Iterable[Stack | None]:
        """The stacks that a stack with something else on top stands for."""
        node, done, below = stack.node, stack.done, stack.below
        match node:
            case Sequence(parts):
                rest = self._push(node, below, done + 1) if done + 1 < len(parts) else below
                return [self._push(parts[done], rest)] if parts else [below]
            case Choice(arms):
                return [self._push(arm, below) for arm in arms]
            case Reference(rule):
                return [self._push(self._rules[rule], below)]
            case Repeat(inner, least, most):
                if most is None:
                    done = min(done, least)
                again = [] if done == most else [self._push(inner, self._push(node, below, done + 1))]
                return again if done < least else [*again, below]
        raise TypeError(node)

    def _advanced(self, stack: Stack) -> Stack | None:
        assert isinstance(stack.node, Literal)
        done = stack.done + 1
        return stack.below if done == len(stack.node.text) else self._push(stack.node, stack.below, done)

    def _push(self, node: Node, below: Stack | None, done: int = 0) -> Stack | None:
        if isinstance(node, Literal) and not node.text:
            return below
        if isinstance(node, Repeat) and node.most is None:
            done = min(done, node.least)
        key = id(node), done, id(below)
        made = self._stacks.get(key)
        if made is None:
            made = self._stacks[key] = Stack(node, done, below)
        return made


def rest(grammar: Grammar, text: str) -> Grammar | None:
    """The grammar of what may follow `text`; None when no allowed text begins with it.

    The grammar must be one whose every choice can be brought to an end, as compiled ones are.
    """
    follower = Follower(grammar)
    state = follower.start
    for character in text:
        state = follower.step(state, character)
        if not state:
            return None
    return _grammar(grammar, state)


def complete(grammar: Grammar) -> bool:
    """Whether the empty text is allowed: of a rest, whether the answer may end here."""
    follower = Follower(grammar)
    return follower.ends(follower.start)


def accepts(grammar: Grammar, text: str) -> bool:
    """Whether it allows exactly this text."""
    follower = Follower(grammar)
    state = follower.start
    for character in text:
        state = follower.step(state, character)
    return follower.ends(state)


def _grammar(grammar: Grammar, state: State) -> Grammar:
    """The grammar of those stacks: what lies below several of them becomes a rule of its own."""
    times: dict[Stack, int] = {}
    for stack in state:
        while stack is not None:
            times[stack] = times.get(stack, 0) + 1
            if times[stack] > 1:
                break
            stack = stack.below
    shared = [stack for stack, count in times.items() if count > 1]
    unused = (name for name in _names() if name not in grammar.rules)
    names = {stack: next(unused) for stack in shared}
    made = {name: _spelled(stack, names) for stack, name in names.items()}
    root = choice(*(_rooted(stack, names) for stack in state))
    return Grammar(root, _reached(root, {**grammar.rules, **made}))


def _rooted(stack: Stack | None, names: dict[Stack, str]) -> Node:
    if stack is None:
        return EMPTY
    return Reference(names[stack]) if stack in names else _spelled(stack, names)


def _spelled(stack: Stack, names: dict[Stack, str]) -> Node:
    """What the stack says, down to the first below it that has a name."""
    nodes = [_left(stack)]
    below = stack.below
    while below is not None:
        if below in names:
            nodes.append(Reference(names[below]))
            break
        nodes.append(_left(below))
        below = below.below
    return sequence(*nodes)


def _left(stack: Stack) -> Node:
    """The node without what of it is behind us."""
    match stack.node:
        case Literal(text):
            return literal(text[stack.done :])
        case Sequence(parts):
            return sequence(*parts[stack.done :])
        case Repeat(inner, least, most):
            return repeat(inner, max(0, least - stack.done), None if most is None else most - stack.done)
    return stack.node


def _names() -> Iterator[str]:
    number = 0
    while True:
        yield f"rest-{number}"
        number += 1


def _reached(root: Node, rules: dict[str, Node]) -> dict[str, Node]:
    """The rules that the root needs."""
    found: dict[str, Node] = {}
    waiting = [root]
    while waiting:
        for node in walk(waiting.pop()):
            if isinstance(node, Reference) and node.rule not in found:
                found[node.rule] = rules[node.rule]
                waiting.append(rules[node.rule])
    return found
