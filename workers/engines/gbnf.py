"""Grammars in llama.cpp's notation, GBNF, read into rules over bytes (llama.cpp, grammars/README.md).

Tokens are bytes, which may end within a character: so a set of characters becomes the sequences of bytes that UTF-8
has for them.
"""

import re
from collections.abc import Iterable, Iterator

from tasks import errors

Bytes = frozenset[int]
Symbol = Bytes | str  # one of these bytes, or what the rule of that name allows
Rules = dict[str, list[tuple[Symbol, ...]]]  # the alternatives of each rule
Ranges = list[tuple[int, int]]  # code points, both ends included

_LARGEST = 200_000  # symbols
_LAST = 0x10FFFF
# The code points that have as many bytes in UTF-8; those of surrogates have none.
_LENGTHS = ((0, 0x7F), (0x80, 0x7FF), (0x800, 0xD7FF), (0xE000, 0xFFFF), (0x10000, _LAST))
_FOLLOWING = frozenset(range(0x80, 0xC0))
_NAMED = {"n": "\n", "r": "\r", "t": "\t"}
_CODED = {"x": 2, "u": 4, "U": 8}
_BLANK, _BLANKS = re.compile(r"(?:[ \t]|#[^\r\n]*)*"), re.compile(r"(?:\s|#[^\r\n]*)*")
_NAME, _HEX = re.compile(r"[A-Za-z0-9_-]+"), re.compile(r"[0-9A-Fa-f]+")
_TIMES = re.compile(r"\{\s*(\d*)\s*(,?)\s*(\d*)\s*\}")


def parse(text: str) -> Rules:
    """The rules, `root` among them. Raises `EngineRefused` for what is no grammar, or too large a one."""
    return _Reader(text).rules()


class _Reader:
    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0
        self._rules: Rules = {}
        self._sets: dict[tuple[tuple[int, int], ...], Symbol] = {}
        self._room = _LARGEST

    def rules(self) -> Rules:
        self._skip(_BLANKS)
        while self._at < len(self._text):
            name = self._match(_NAME, "a rule's name")
            self._skip(_BLANK)
            self._expect("::=")
            self._skip(_BLANKS)
            self._rules[name] = self._alternatives(nested=False)
            self._skip(_BLANKS)
        named = {symbol for rule in self._rules.values() for one in rule for symbol in one if isinstance(symbol, str)}
        for name in ("root", *named):
            if name not in self._rules:
                raise errors.EngineRefused(f"the grammar has no rule {name!r}")
        return self._rules

    def _alternatives(self, *, nested: bool) -> list[tuple[Symbol, ...]]:
        found = [self._sequence(nested)]
        while self._peek() == "|":
            self._at += 1
            self._skip(_BLANKS)
            found.append(self._sequence(nested))
        return found

    def _sequence(self, nested: bool) -> tuple[Symbol, ...]:
        """What stands up to the next `|`, or the end of the rule or the group."""
        found: list[Symbol] = []
        blanks = _BLANKS if nested else _BLANK
        while self._peek() not in ("", "|", ")", "\n", "\r"):
            item = self._item()
            self._skip(blanks)
            found += self._repeated(item, blanks)
        return tuple(found)

    def _item(self) -> tuple[Symbol, ...]:
        match self._peek():
            case '"':
                return self._literal()
            case "[":
                return (self._set(self._ranges()),)
            case ".":
                self._at += 1
                return (self._set([(0, _LAST)]),)
            case "(":
                self._at += 1
                self._skip(_BLANKS)
                inner = self._alternatives(nested=True)
                self._expect(")")
                return (self._rule(inner),)
        return (self._match(_NAME, "a text, a set of characters, a group or a rule's name"),)

    def _literal(self) -> tuple[Symbol, ...]:
        self._at += 1
        characters = ""
        while self._peek() != '"':
            characters += self._character()
        self._at += 1
        try:
            return tuple(frozenset({byte}) for byte in characters.encode())
        except UnicodeEncodeError as error:
            raise self._wrong("characters that are none") from error

    def _ranges(self) -> Ranges:
        self._at += 1
        negated = self._peek() == "^"
        self._at += negated
        found: Ranges = []
        while self._peek() != "]":
            first = last = ord(self._character())
            if self._peek() == "-" and self._text[self._at + 1 : self._at + 2] != "]":
                self._at += 1
                last = ord(self._character())
            found.append((first, last))
        self._at += 1
        return _others(found) if negated else found

    def _character(self) -> str:
        """One character, or what a backslash stands for."""
        one = self._peek()
        if not one:
            raise self._wrong("an end of what was begun")
        self._at += 1
        if one != "\\":
            return one
        kind = self._peek()
        self._at += 1
        digits = _HEX.match(self._text, self._at, self._at + _CODED.get(kind, 0)) if kind in _CODED else None
        if digits is None:
            if kind in _NAMED or (kind in '"[]\\^-' and kind):
                return _NAMED.get(kind, kind)
            raise self._wrong("an escape")
        if len(digits[0]) != _CODED[kind] or int(digits[0], 16) > _LAST:
            raise self._wrong("a code point")
        self._at = digits.end()
        return chr(int(digits[0], 16))

    def _repeated(self, item: tuple[Symbol, ...], blanks: re.Pattern[str]) -> tuple[Symbol, ...]:
        """The item as often as the sign after it says; one that is repeated again is repeated as a whole."""
        while times := self._times():
            item = self._as_often(item, *times)
            self._skip(blanks)
        return item

    def _times(self) -> tuple[int, int | None] | None:
        sign = self._peek()
        known: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
        if sign in known:
            self._at += 1
            return known[sign]
        if sign != "{":
            return None
        found = _TIMES.match(self._text, self._at)
        if found is None or not (found[1] or found[3]):
            raise self._wrong("a number of repetitions")
        self._at = found.end()
        least = int(found[1] or 0)
        most = (int(found[3]) if found[3] else None) if found[2] else least
        if most is not None and most < least:
            raise self._wrong("a number of repetitions")
        return least, most

    def _as_often(self, item: tuple[Symbol, ...], least: int, most: int | None) -> tuple[Symbol, ...]:
        self._take((least + (0 if most is None else 2 * (most - least))) * max(len(item), 1))
        one: Symbol = item[0] if len(item) == 1 else self._rule([item])
        rest: tuple[Symbol, ...] = ()
        if most is None:
            name = self._rule([])
            self._rules[name] = [(one, name), ()]
            rest = (name,)
        for _ in range(0 if most is None else most - least):
            rest = (self._rule([(one, *rest), ()]),)
        return (*(one,) * least, *rest)

    def _set(self, ranges: Ranges) -> Symbol:
        """One of the characters, as a set of bytes where each of them is one, else as a rule."""
        key = tuple(sorted(ranges))
        if key not in self._sets:
            sequences = [found for first, last in key for found in _encoded(first, last)]
            single = frozenset().union(*(found[0] for found in sequences if len(found) == 1))
            longer: list[tuple[Symbol, ...]] = [found for found in sequences if len(found) > 1]
            self._sets[key] = self._rule([*([(single,)] if single else []), *longer]) if longer else single
        return self._sets[key]

    def _rule(self, alternatives: list[tuple[Symbol, ...]]) -> str:
        """A rule without a name of the client's."""
        name = f"#{len(self._rules)}"
        self._take(1 + sum(map(len, alternatives)))
        self._rules[name] = alternatives
        return name

    def _take(self, symbols: int) -> None:
        self._room -= symbols
        if self._room < 0:
            raise errors.EngineRefused(f"the grammar has more than {_LARGEST} symbols")

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _skip(self, blanks: re.Pattern[str]) -> None:
        found = blanks.match(self._text, self._at)
        assert found
        self._at = found.end()

    def _match(self, pattern: re.Pattern[str], what: str) -> str:
        found = pattern.match(self._text, self._at)
        if found is None:
            raise self._wrong(what)
        self._at = found.end()
        return found[0]

    def _expect(self, sign: str) -> None:
        if not self._text.startswith(sign, self._at):
            raise self._wrong(sign)
        self._at += len(sign)

    def _wrong(self, expected: str) -> errors.EngineRefused:
        line = self._text.count("\n", 0, self._at) + 1
        found = self._text[self._at : self._at + 20]
        return errors.EngineRefused(f"the grammar can't be read: expected {expected} in line {line} before {found!r}")


def _others(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """The code points that are in none of them."""
    found, start = [], 0
    for first, last in [*sorted(ranges), (_LAST + 1, _LAST + 1)]:
        if start < first:
            found.append((start, first - 1))
        start = max(start, last + 1)
    return found


def _encoded(first: int, last: int) -> Iterator[tuple[Bytes, ...]]:
    """Sequences of sets of bytes that are the UTF-8 of these code points and of no others."""
    for low, high in _LENGTHS:
        start, end = max(first, low), min(last, high)
        if start <= end:
            yield from _between(chr(start).encode(), chr(end).encode())


def _between(first: bytes, last: bytes) -> Iterator[tuple[Bytes, ...]]:
    """Both of one length."""
    if len(first) == 1:
        yield (frozenset(range(first[0], last[0] + 1)),)
        return
    least, most = b"\x80" * (len(first) - 1), b"\xbf" * (len(first) - 1)
    start, end = first[0], last[0]
    if start == end:
        yield from _after(start, first[1:], last[1:])
        return
    if first[1:] != least:
        yield from _after(start, first[1:], most)
        start += 1
    if last[1:] != most:
        yield from _after(end, least, last[1:])
        end -= 1
    if start <= end:
        yield (frozenset(range(start, end + 1)), *(_FOLLOWING,) * len(least))


def _after(byte: int, first: bytes, last: bytes) -> Iterator[tuple[Bytes, ...]]:
    for rest in _between(first, last):
        yield (frozenset({byte}), *rest)
