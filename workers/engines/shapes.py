"""Which tokens may come next so that an answer stays within a grammar.

What may follow is a set of stacks, as in llama.cpp's grammar sampler: of each, the top is a set of bytes that comes
next, and what lies below comes after it. Equal stacks are one object and equal sets one state. A state's row in a table
says where each byte leads, so that all tokens are followed at once; which of them it allows is remembered with it.
"""

import collections
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks import errors
from workers.engines import gbnf
from workers.engines.gbnf import Rules, Symbol

_KEPT_GRAMMARS = 4
_MOST_STACKS, _MOST_STATES = 200_000, 50_000
_DEAD = -1

Allowed = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class _Place:
    """A symbol in a rule, and what follows it there."""

    symbol: Symbol
    rest: "_Place | None"


@dataclass(frozen=True, slots=True, eq=False)
class _Stack:
    place: _Place
    below: "_Stack | None"


_State = frozenset["_Stack | None"]  # each with bytes on top; the empty stack is None: the answer may end there


class _Automaton:
    """A grammar's states, numbered as they are come to; the first is 0."""

    def __init__(self, rules: Rules) -> None:
        self._starts = {name: [_places(one) for one in alternatives] for name, alternatives in rules.items()}
        self._stacks: dict[tuple[_Place, _Stack | None], _Stack] = {}
        self.full = False  # it has met its limits: what follows the grammar next begins with another
        self._numbers: dict[_State, int] = {}
        self._states: list[_State] = []
        self._table = np.empty((16, 256), np.int32)
        self._known = np.zeros(16, np.bool_)
        self.allowed: dict[int, Allowed] = {}  # by state; packed, a bit a token
        self._number(self._opened(self._stack(_Place("root", None), None)))

    def ends(self, state: int) -> bool:
        """Whether the answer may end there."""
        return None in self._states[state]

    def moves(self, states: NDArray[np.int32], bytes: NDArray[np.uint8]) -> NDArray[np.int32]:
        """Where each state leads by its byte; less than 0 where it isn't allowed."""
        for state in np.unique(states):
            if not self._known[state]:
                self._learn(int(state))
        found: NDArray[np.int32] = self._table[states, bytes]
        return found

    def move(self, state: int, byte: int) -> int:
        """Where one state leads; less than 0 where it isn't allowed."""
        if not self._known[state]:
            self._learn(state)
        return int(self._table[state, byte])

    def _learn(self, state: int) -> None:
        """Fills in the state's row. Bytes that the same stacks take lead to the same state."""
        takers = collections.defaultdict[int, list[_Stack]](list)
        for top in self._states[state]:
            if top is not None:
                assert isinstance(top.place.symbol, frozenset)
                for byte in top.place.symbol:
                    takers[byte].append(top)
        led: dict[tuple[int, ...], int] = {}
        row = np.full(256, _DEAD, np.int32)
        for byte, tops in takers.items():
            key = tuple(map(id, tops))
            if key not in led:
                led[key] = self._number(set().union(*(self._opened(self._after(top)) for top in tops)))
            row[byte] = led[key]
        self._table[state], self._known[state] = row, True

    def _number(self, tops: Iterable["_Stack | None"]) -> int:
        state = frozenset(tops)
        if state not in self._numbers:
            number = len(self._states)
            if number >= _MOST_STATES:
                self.full = True
                raise errors.EngineRefused("the grammar has too many states")
            self._numbers[state] = number
            self._states.append(state)
            if number >= len(self._known):
                self._table = np.concatenate([self._table, np.empty_like(self._table)])
                self._known = np.concatenate([self._known, np.zeros_like(self._known)])
        return self._numbers[state]

    def _opened(self, stack: _Stack | None) -> set[_Stack | None]:
        """The stacks with bytes on top, or the empty one, that a stack stands for.

        Raises `EngineRefused` for a rule that begins with itself.
        """
        found: set[_Stack | None] = set()
        seen, waiting = {stack}, [stack]
        while waiting:
            here = waiting.pop()
            if here is None or isinstance(here.place.symbol, frozenset):
                found.add(here)
                continue
            below = self._after(here)
            for start in self._starts[here.place.symbol]:
                inner = below if start is None else self._stack(start, below)
                if inner not in seen:
                    seen.add(inner)
                    waiting.append(inner)
        return found

    def _after(self, stack: _Stack) -> _Stack | None:
        rest = stack.place.rest
        return stack.below if rest is None else self._stack(rest, stack.below)

    def _stack(self, place: _Place, below: _Stack | None) -> _Stack:
        made = self._stacks.get((place, below))
        if made is None:
            if len(self._stacks) >= _MOST_STACKS:
                self.full = True
                raise errors.EngineRefused("the grammar is too ambiguous, or a rule in it begins with itself")
            made = self._stacks[place, below] = _Stack(place, below)
        return made


def _places(symbols: Sequence[Symbol]) -> _Place | None:
    place: _Place | None = None
    for symbol in reversed(symbols):
        place = _Place(symbol, place)
    return place


class Shapes:
    """A vocabulary's tokens by what they write. `pieces` has each one's bytes; those in `ends` end an answer."""

    def __init__(self, pieces: Sequence[bytes], ends: Iterable[int]) -> None:
        self._size, self._ends = len(pieces), sorted(ends)
        tokens = [token for token, piece in enumerate(pieces) if piece and token not in self._ends]
        tokens.sort(key=lambda token: -len(pieces[token]))
        self._tokens = np.array(tokens, np.int64)
        # The tokens' bytes at each place. The longest come first, so that those which go on make the beginning.
        self._columns: list[NDArray[np.uint8]] = []
        while tokens:
            place = len(self._columns)
            self._columns.append(np.array([pieces[token][place] for token in tokens], np.uint8))
            while tokens and len(pieces[tokens[-1]]) == place + 1:
                tokens.pop()
        self._automata: collections.OrderedDict[str, _Automaton] = collections.OrderedDict()

    def follow(self, grammar: str) -> "Shape":
        """An answer's way through a grammar, from its beginning. Raises `EngineRefused` for what is none."""
        automaton = self._automata.pop(grammar, None)
        if automaton is None or automaton.full:
            automaton = _Automaton(gbnf.parse(grammar))
        self._automata[grammar] = automaton
        while len(self._automata) > _KEPT_GRAMMARS:
            self._automata.popitem(last=False)
        return Shape(self, automaton)

    def allowed(self, automaton: _Automaton, state: int) -> Allowed:
        """For each token whether it may come."""
        if state not in automaton.allowed:
            mask = np.zeros(self._size, np.bool_)
            mask[self._fitting(automaton, state)] = True
            mask[self._ends] = automaton.ends(state)
            automaton.allowed[state] = np.packbits(mask).view(np.bool_)
        return np.unpackbits(automaton.allowed[state].view(np.uint8), count=self._size).view(np.bool_)

    def _fitting(self, automaton: _Automaton, start: int) -> NDArray[np.int64]:
        """The tokens of which every byte is allowed."""
        left = np.arange(len(self._tokens))
        states = np.full(len(left), start, np.int32)
        fitting = [self._tokens[:0]]
        for column in self._columns:
            ended = np.searchsorted(left, len(column))
            fitting.append(self._tokens[left[ended:]])
            left = left[:ended]
            states = automaton.moves(states[:ended], column[left])
            left, states = left[states >= 0], states[states >= 0]
        return np.concatenate([*fitting, self._tokens[left]])


class Shape:
    """Where an answer is in its grammar."""

    def __init__(self, shapes: Shapes, automaton: _Automaton) -> None:
        self._shapes, self._automaton, self._state = shapes, automaton, 0

    def allowed(self) -> Allowed:
        """For each token whether it may come next. Raises `EngineRefused` when none may."""
        mask = self._shapes.allowed(self._automaton, self._state)
        if not mask.any():
            raise errors.EngineRefused("the grammar asks for what the model's vocabulary can't write")
        return mask

    def take(self, piece: bytes) -> None:
        """Goes on with an allowed token, which writes that."""
        for byte in piece:
            self._state = self._automaton.move(self._state, byte)
