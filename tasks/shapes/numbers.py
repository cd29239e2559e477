"""Numbers between bounds, as grammars of their digits."""

import math
from dataclasses import dataclass

from tasks.shapes.grammar import (
    NEVER,
    Node,
    characters,
    choice,
    literal,
    optional,
    repeat,
    sequence,
)
from tasks.shapes.json_text import INTEGER, NUMBER

LARGEST = 10**18  # of the bounds that are followed

_DIGITS = 18  # of an integer without a bound
_FRACTION_DIGITS = 24
_FLOAT_DIGITS = 15  # which a float tells apart


def integers(least: int | None, most: int | None) -> Node:
    """The integers from `least` to `most`, both included; None is no bound, and then they have 18 digits at most."""
    if least is None and most is None:
        return INTEGER
    if least is not None and most is not None and least > most:
        return NEVER
    arms = []
    if most is None or most >= 0:
        arms.append(_natural(max(least or 0, 0), most))
    if least is None or least < 0:
        smallest = 1 if most is None else max(1, -most)
        arms.append(sequence(literal("-"), _natural(smallest, None if least is None else -least)))
    return choice(*(arm for arm in arms if arm != NEVER))


def _natural(least: int, most: int | None) -> Node:
    """The integers from `least`, which isn't negative, to `most`."""
    longest = max(_DIGITS, len(str(least)) + 1) if most is None else len(str(most))
    arms = []
    for size in range(len(str(least)), longest + 1):
        first = max(least, 10 ** (size - 1) if size > 1 else 0)
        last = 10**size - 1 if most is None else min(most, 10**size - 1)
        if first <= last:
            arms.append(_span(str(first), str(last)))
    return choice(*arms)


def _span(first: str, last: str) -> Node:
    """The digits from `first` to `last`, which are equally long."""
    if not first:
        return literal("")
    more = len(first) - 1
    if set(first[1:]) <= {"0"} and set(last[1:]) <= {"9"}:
        return sequence(_digit(first[0], last[0]), repeat(_digit("0", "9"), more, more))
    if first[0] == last[0]:
        return sequence(literal(first[0]), _span(first[1:], last[1:]))
    low, high = first[0], last[0]
    arms = [sequence(literal(low), _span(first[1:], "9" * more)), sequence(literal(high), _span("0" * more, last[1:]))]
    if ord(high) - ord(low) > 1:
        between = _digit(chr(ord(low) + 1), chr(ord(high) - 1))
        arms.append(sequence(between, repeat(_digit("0", "9"), more, more)))
    return choice(*arms)


def _digit(first: str, last: str) -> Node:
    return characters((ord(first), ord(last)))


@dataclass(frozen=True, slots=True)
class Bound:
    """An end of a range of numbers; `excluded` when it is itself outside."""

    at: float
    excluded: bool = False


def numbers(least: Bound | None, most: Bound | None) -> tuple[Node, bool]:
    """The numbers between the bounds, without exponents; and whether none of them is outside.

    Bounds that aren't integers let some through that are outside by less than one.
    """
    if least is None and most is None:
        return NUMBER, True
    if least and most and (least.at > most.at or (least.at == most.at and (least.excluded or most.excluded))):
        return NEVER, True
    bounds = [bound for bound in (least, most) if bound]
    room = _FLOAT_DIGITS - max(len(str(math.floor(abs(bound.at)))) for bound in bounds)
    # Near an excluded bound more digits than a float has would be rounded to the bound.
    digits = max(1, room) if any(bound.excluded for bound in bounds) else _FRACTION_DIGITS
    arms = []
    if most is None or most.at >= 0:
        arms.append(_positive(least if least and least.at >= 0 else Bound(0), most, digits))
    if least is None or least.at < 0:
        nearest = _mirrored(most) if most and most.at <= 0 else Bound(0)
        arms.append(sequence(literal("-"), _positive(nearest, least and _mirrored(least), digits)))
    whole = all(bound.at == int(bound.at) for bound in bounds) and (room > 0 or digits == _FRACTION_DIGITS)
    return choice(*(arm for arm in arms if arm != NEVER)), whole


def _mirrored(bound: Bound) -> Bound:
    return Bound(-bound.at, bound.excluded)


def _positive(least: Bound, most: Bound | None, digits: int) -> Node:
    """Those from `least`, not negative, to `most`: integers with fractions, and the bounds where they are integers."""
    arms: list[Node] = []
    first = math.floor(least.at)
    fraction = optional(sequence(literal("."), repeat(_digit("0", "9"), 1, digits)))
    if least.excluded and first == least.at:
        if most is None or first < most.at:
            arms.append(sequence(literal(f"{first}."), _not_zero(digits)))
        first += 1
    if most is None:
        return choice(*arms, sequence(integers(first, None), fraction))
    last = math.floor(most.at)
    whole = last == most.at
    full = last - 1 if whole else last
    if first <= full:
        arms.append(sequence(integers(first, full), fraction))
    if whole and not most.excluded and first <= last:
        arms.append(sequence(literal(str(last)), optional(sequence(literal("."), repeat(literal("0"), 1, digits)))))
    return choice(*arms)


def _not_zero(digits: int) -> Node:
    """At most so many digits, one of which isn't 0."""
    arms = [
        sequence(literal("0" * at), _digit("1", "9"), repeat(_digit("0", "9"), 0, digits - at - 1))
        for at in range(digits)
    ]
    return choice(*arms)


def least(minimum: float | None, exclusive: float | None) -> Bound | None:
    """The lower end that the two keywords say."""
    ends = [Bound(minimum)] if minimum is not None else []
    ends += [Bound(exclusive, excluded=True)] if exclusive is not None else []
    return max(ends, key=lambda bound: (bound.at, bound.excluded), default=None)


def most(maximum: float | None, exclusive: float | None) -> Bound | None:
    """The upper end that the two keywords say."""
    ends = [Bound(maximum)] if maximum is not None else []
    ends += [Bound(exclusive, excluded=True)] if exclusive is not None else []
    return min(ends, key=lambda bound: (bound.at, not bound.excluded), default=None)


def whole(least: Bound | None, most: Bound | None) -> Node:
    """The integers between the bounds."""
    first = None if least is None else math.floor(least.at) + 1 if least.excluded else math.ceil(least.at)
    last = None if most is None else math.ceil(most.at) - 1 if most.excluded else math.floor(most.at)
    return integers(first, last)
