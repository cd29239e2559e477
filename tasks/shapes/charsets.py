"""Sets of characters, as sorted ranges of code points that neither overlap nor touch. Surrogates are no characters."""

from collections.abc import Iterable

Ranges = tuple[tuple[int, int], ...]

LAST = 0x10FFFF
ALL: Ranges = ((0, 0xD7FF), (0xE000, LAST))
NONE: Ranges = ()


def of(*parts: str | tuple[int, int]) -> Ranges:
    """The set of the characters of the strings and of the ranges, which include both their ends."""
    found: list[tuple[int, int]] = []
    for part in parts:
        found += [(ord(one), ord(one)) for one in part] if isinstance(part, str) else [part]
    return union(found)


def union(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """The ranges, sorted and joined."""
    joined: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return tuple(joined)


def both(one: Ranges, other: Ranges) -> Ranges:
    """What is in both."""
    found, here, there = [], 0, 0
    while here < len(one) and there < len(other):
        first, last = max(one[here][0], other[there][0]), min(one[here][1], other[there][1])
        if first <= last:
            found.append((first, last))
        if one[here][1] < other[there][1]:
            here += 1
        else:
            there += 1
    return tuple(found)


def without(one: Ranges, other: Ranges) -> Ranges:
    """What is in the first and not in the second."""
    left, start = [], 0
    for first, last in (*other, (LAST + 1, LAST + 1)):
        if start < first:
            left.append((start, first - 1))
        start = last + 1
    return both(one, tuple(left))


def has(ranges: Ranges, code: int) -> bool:
    """Whether the character with that code is in the set."""
    return any(first <= code <= last for first, last in ranges)


def parts(sets: Iterable[Ranges]) -> list[Ranges]:
    """The coarsest cut of their union into sets of which each is inside or outside every one of them."""
    cut: list[Ranges] = []
    for ranges in sets:
        kept: list[Ranges] = []
        for part in cut:
            kept += [piece for piece in (both(part, ranges), without(part, ranges)) if piece]
            ranges = without(ranges, part)
        cut = [*kept, ranges] if ranges else kept
    return cut
