"""Strings as JSON writes them, from grammars of their characters that have no rules.

A grammar that leaves a choice open for long costs the sampler one stack for each possibility. So what isn't decided by
the next character is made a finite automaton, of which each state is a rule.
"""

from collections.abc import Iterable
from collections.abc import Sequence as Listed
from functools import lru_cache

from tasks.shapes import charsets
from tasks.shapes.following import Follower, State
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
    characters,
    characters_in,
    choice,
    literal,
    repeat,
    sequence,
)

MAX_STATES = 3_000
MAX_WORK = 100_000

_SHORT = {'"': '"', "\\": "\\", "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t"}
_PLAIN = charsets.without(charsets.ALL, charsets.of((0, 0x1F), '"\\'))


class TooManyStates(Exception):
    """The automaton would be too large."""


def in_json(node: Node) -> Node:
    """What the strings are in JSON: escaped where they must be. NUL, which PostgreSQL has no place for, is left out."""
    match node:
        case Literal(text):
            return sequence(
                *(_character(charsets.of(one)) if one in _SHORT or one < " " else literal(one) for one in text)
            )
        case Characters(ranges):
            return _character(ranges)
        case Sequence(parts):
            return sequence(*map(in_json, parts))
        case Choice(arms):
            return choice(*map(in_json, arms))
        case Repeat(inner, least, most):
            return repeat(in_json(inner), least, most)
    return node


@lru_cache(2_000)
def _character(ranges: charsets.Ranges) -> Node:
    """One character of the set: as itself, by its short escape, or by its code."""
    plain = characters_in(charsets.both(ranges, _PLAIN))
    short = "".join(letter for one, letter in _SHORT.items() if charsets.has(ranges, ord(one)))
    codes = [code for code in range(1, 0x20) if charsets.has(ranges, code) and chr(code) not in _SHORT]
    by_code = [
        sequence(literal(f"u00{high}"), characters("".join(f"{code % 16:x}" for code in codes if code // 16 == high)))
        for high in (0, 1)
    ]
    escaped = choice(*(arm for arm in (characters(short), *by_code) if arm != NEVER))
    return choice(*(arm for arm in (plain, sequence(literal("\\"), escaped)) if arm != NEVER))


def lengths(node: Node) -> tuple[int, int | None]:
    """How many characters its shortest and its longest string have; None when there is no longest."""
    match node:
        case Literal(text):
            return len(text), len(text)
        case Characters():
            return 1, 1
        case Sequence(parts):
            ends = [lengths(part) for part in parts]
            return sum(end[0] for end in ends), _sum(end[1] for end in ends)
        case Choice(arms):
            ends = [lengths(arm) for arm in arms]
            most = None if any(end[1] is None for end in ends) else max((end[1] or 0 for end in ends), default=0)
            return min((end[0] for end in ends), default=0), most
        case Repeat(inner, least, most):
            shortest, longest = lengths(inner)
            unbounded = longest is None or (most is None and longest > 0)
            return shortest * least, None if unbounded else (longest or 0) * (most or 0)
    raise TypeError(node)


def _sum(ends: Iterable[int | None]) -> int | None:
    total = 0
    for end in ends:
        if end is None:
            return None
        total += end
    return total


def decided(node: Node, after: charsets.Ranges = charsets.NONE) -> bool:
    """Whether the next character always says how to go on, when those of `after` may follow the whole."""
    match node:
        case Sequence(parts):
            for part in reversed(parts):
                if not decided(part, after):
                    return False
                first, empty = _first(part)
                after = charsets.union((*first, *after)) if empty else first
            return True
        case Choice(arms):
            seen: charsets.Ranges = charsets.NONE
            for arm in arms:
                first, empty = _first(arm)
                first = charsets.union((*first, *after)) if empty else first
                if charsets.both(first, seen) or not decided(arm, after):
                    return False
                seen = charsets.union((*seen, *first))
            return sum(_first(arm)[1] for arm in arms) <= 1
        case Repeat(inner, least, most):
            first, empty = _first(inner)
            open_ended = least != most and bool(charsets.both(first, after))
            return not empty and not open_ended and decided(inner, charsets.union((*first, *after)))
    return True


def _first(node: Node) -> tuple[charsets.Ranges, bool]:
    """The characters that its strings may begin with, and whether it may be empty."""
    match node:
        case Literal(text):
            return charsets.of(text[:1]), not text
        case Characters(ranges):
            return ranges, False
        case Sequence(parts):
            found: charsets.Ranges = charsets.NONE
            for part in parts:
                first, empty = _first(part)
                found = charsets.union((*found, *first))
                if not empty:
                    return found, False
            return found, True
        case Choice(arms):
            firsts = [_first(arm) for arm in arms]
            return charsets.union(pair for first, _ in firsts for pair in first), any(empty for _, empty in firsts)
        case Repeat(inner, least, _):
            first, empty = _first(inner)
            return first, empty or least == 0
    raise TypeError(node)


def intersection(nodes: Listed[Node], name: str, most: int = MAX_STATES) -> Grammar:
    """What all of them allow, in JSON, as an automaton: a rule for each state, their names beginning with `name`.

    Raises `TooManyStates` when there would be more than `most`.
    """
    followers = [Follower(Grammar(node)) for node in nodes]
    start = tuple(follower.tops(follower.start) for follower in followers)
    numbers: dict[tuple[frozenset[object], ...], int] = {_key(start): 0}
    waiting, rules, work = [start], dict[str, Node](), 0
    for number, states in enumerate(waiting):
        arms: dict[int, charsets.Ranges] = {}
        for part in _parts(states):
            after = tuple(
                follower.tops(follower.step(state, chr(part[0][0])))
                for follower, state in zip(followers, states, strict=True)
            )
            work += 1 + sum(map(len, after))
            if all(after):
                target = numbers.setdefault(_key(after), len(numbers))
                if target == len(waiting):
                    waiting.append(after)
                arms[target] = charsets.union((*arms.get(target, ()), *part))
        if len(waiting) > most or work > MAX_WORK:
            raise TooManyStates
        ends = [EMPTY] if all(None in state for state in states) else []
        made = [sequence(_character(ranges), Reference(f"{name}-{target}")) for target, ranges in arms.items()]
        rules[f"{name}-{number}"] = choice(*made, *ends)
    return Grammar(Reference(f"{name}-0"), rules)


def _key(states: tuple[State, ...]) -> tuple[frozenset[object], ...]:
    return tuple(frozenset(state) for state in states)


def _parts(states: tuple[State, ...]) -> list[charsets.Ranges]:
    """The sets of characters that no state tells apart."""
    sets: dict[charsets.Ranges, None] = {}
    for state in states:
        for top in state:
            if top is not None:
                node = top.node
                sets[charsets.of(node.text[top.done]) if isinstance(node, Literal) else _ranges(node)] = None
    return charsets.parts(sets)


def _ranges(node: Node) -> charsets.Ranges:
    assert isinstance(node, Characters)
    return node.ranges
