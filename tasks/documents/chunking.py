"""Texts cut into pieces that an embedding model can take: by tokens, at the borders a reader would choose."""

import bisect
import hashlib
import itertools
import re
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

Count = Callable[[Sequence[str]], Sequence[int]]

# The smallest parts: words, or parts of very long ones. Sentences of Chinese and Japanese end without a space.
_PART = re.compile(r"[^\s。！？]{0,32}[。！？]{1,32}|[^\s。！？]{1,32}")
_SENTENCE_END = re.compile(r"""(?:[.!?…]["'”’»)\]]*|[。！？])$""")
_LIST_MARK = re.compile(r"[-*+|#>•]|\d+[.)]\s")
_HEADING = re.compile(r"#{1,6}\s")
_HEADING_CHARACTERS = 80
_SPACE_CHARACTERS_A_TOKEN = 8


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a text as it stands there, from `begins` up to but not including `ends`, without white space around it.

    It is on `page`, under the headings of `path`, the highest first, and a continued table's `header` belongs to it.
    `context` says so in few words before the text where it is embedded; `tokens` are of both, as `count` counts them.
    """

    text: str
    tokens: int
    begins: int = 0
    ends: int = 0
    page: int | None = None
    path: tuple[str, ...] = ()
    header: str | None = None
    context: str = ""

    @property
    def embedded(self) -> str:
        """What a vector and words are made of."""
        return f"{self.context}\n{self.text}" if self.context else self.text

    @property
    def digest(self) -> bytes:
        """The SHA-256 of what is embedded: where it is equal, so is the vector that a model makes."""
        return hashlib.sha256(self.embedded.encode()).digest()


@dataclass(frozen=True, slots=True)
class _Span:
    """Parts `first` up to but not including `end`."""

    first: int
    end: int


class _Border(IntEnum):
    """What stands after a part: the higher, the better a place to cut."""

    INSIDE = 0
    WORD = 1  # also after a heading, which belongs to what follows
    LINE = 2
    SENTENCE = 3
    PARAGRAPH = 4


def cut(text: str, count: Count, size: int, overlap: int) -> list[Piece]:
    """The text as pieces of at most `size` tokens, none when it holds no word. Deterministic, in linear time.

    Pieces end at a paragraph's end where that leaves them half full, else at a sentence's, a line's, a word's; only
    words longer than `size` are cut inside. A piece begins with about `overlap` tokens that ended the one before:
    whole sentences, or words where a sentence is too long or too short.

    `count` tells the tokens of each of many texts; it is called three times, unless the tokens of a text are more
    than those of its words. Raises `ValueError` unless `0 <= overlap <= size / 2`, and when a single character has
    more than `size` tokens.
    """
    if not 0 <= overlap <= size / 2:
        raise ValueError(f"an overlap of {overlap} tokens doesn't go with pieces of {size}")
    parts = _Parts(text, count, size)
    found: list[_Span | Piece] = list(parts.plan(_Span(0, len(parts)), parts.budget, overlap))
    while spans := [item for item in found if isinstance(item, _Span)]:
        tokens = dict(zip(spans, count([parts.text(span) for span in spans]), strict=True))
        found = [
            fitted
            for item in found
            for fitted in (parts.fit(item, tokens[item], overlap) if isinstance(item, _Span) else [item])
        ]
    return [item for item in found if isinstance(item, Piece)]


class _Parts:
    """A text's parts, what each costs in tokens with the white space before it, and the border after each.

    The costs only plan: a tokenizer may take fewer tokens for a text than for its parts, or (rarely) more.
    """

    def __init__(self, text: str, count: Count, size: int) -> None:
        self._text, self._size = text, size
        self._starts, self._ends = array("q"), array("q")
        self._borders = bytearray()
        self._totals = array("q", [0])  # what the parts before the i-th cost together
        costs = _Costs(text, count, size)
        self.overhead, self.budget = costs.overhead, size - costs.overhead
        end = 0
        for match in _PART.finditer(text):
            if self._starts:
                self._borders.append(_border(text, end, match.start()))
            for start, stop, cost in costs.units(end, match):
                self._starts.append(start)
                self._ends.append(stop)
                self._totals.append(self._totals[-1] + cost)
            self._borders.extend([_Border.INSIDE] * (len(self._starts) - 1 - len(self._borders)))
            end = match.end()
        self._borders.append(_Border.PARAGRAPH)

    def __len__(self) -> int:
        return len(self._starts)

    def text(self, span: _Span) -> str:
        return self._text[self._starts[span.first] : self._ends[span.end - 1]]

    def plan(self, whole: _Span, budget: int, overlap: int) -> Iterator[_Span]:
        """Spans that together cover the whole, each within the budget as far as the costs are right."""
        first, done = whole.first, whole.first
        while done < whole.end:
            limit = bisect.bisect_right(self._totals, self._totals[first] + budget, done, whole.end + 1) - 1
            limit = max(limit, done + 1)
            end = whole.end if limit == whole.end else self._best_end(first, done, limit, budget)
            yield _Span(first, end)
            first, done = self._next_first(_Span(first, end), whole.end, budget, overlap), end

    def fit(self, span: _Span, tokens: int, overlap: int) -> Sequence[_Span | Piece]:
        """The span as a piece if it has few enough tokens, else cut again by what its parts really cost."""
        if tokens <= self._size:
            return [Piece(self.text(span), tokens, self._starts[span.first], self._ends[span.end - 1])]
        if span.end - span.first == 1:
            raise ValueError(f"{self.text(span)!r} was counted once as {tokens} tokens and once as fewer")
        cost = self._cost(span.first, span.end)
        budget = min(cost * self.budget * 9 // (10 * (tokens - self.overhead)), cost - 1)
        return list(self.plan(span, max(1, budget), min(overlap, budget // 2)))

    def _cost(self, first: int, end: int) -> int:
        return self._totals[end] - self._totals[first]

    def _best_end(self, first: int, done: int, limit: int, budget: int) -> int:
        for border, least in (
            (_Border.PARAGRAPH, budget // 2),
            (_Border.SENTENCE, budget // 4),
            (_Border.LINE, budget // 4),
            (_Border.WORD, 0),
        ):
            for end in range(limit, done, -1):
                if self._cost(first, end) < least:
                    break
                if self._borders[end - 1] >= border:
                    return end
        return limit

    def _next_first(self, span: _Span, end: int, budget: int, overlap: int) -> int:
        """Where the span after this one begins: as early as the overlap, and room for what comes next, allow."""
        done = span.end
        if done == end:
            return done
        room = min(overlap, budget - self._next_cost(done, end, budget))
        earliest = bisect.bisect_left(self._totals, self._totals[done] - room, span.first + 1, done)
        for border, least in ((_Border.SENTENCE, room // 2), (_Border.WORD, 0)):
            for first in range(earliest, done):
                if self._cost(first, done) < least:
                    break
                if self._borders[first - 1] >= border:
                    return first
        return earliest

    def _next_cost(self, done: int, end: int, budget: int) -> int:
        """What the next word costs, or its first part if the whole word is over the budget anyway."""
        after = done + 1
        while after < end and self._borders[after - 1] == _Border.INSIDE:
            after += 1
            if self._cost(done, after) > budget:
                return min(self._cost(done, done + 1), budget)
        return min(self._cost(done, after), budget)


class _Costs:
    """What each distinct word and each unusual white space of a text costs in tokens."""

    def __init__(self, text: str, count: Count, size: int) -> None:
        self._text = text
        # Whatever a model puts around each text is counted with each word, but comes once in a piece.
        self.overhead = count([""])[0]
        if size <= self.overhead:
            raise ValueError(f"pieces of {size} tokens have no room beside the {self.overhead} around each text")
        words, spaces = set(), set()
        end = 0
        for match in _PART.finditer(text):
            words.add(match.group())
            spaces.add(text[end : match.start()])
            end = match.end()
        spaces -= {"", " "}
        texts = sorted(words | spaces)
        self._known = dict(zip(texts, self._counted(count, texts), strict=True))
        self._break_up([word for word in words if self._known[word] > size - self.overhead], count, size)

    def units(self, end: int, match: "re.Match[str]") -> Iterator[tuple[int, int, int]]:
        """The part as (start, end, cost), or its characters if it is too long; `end` is where the last one ended."""
        space = self._text[end : match.start()]
        before = max(self._known.get(space, 0), len(space) // _SPACE_CHARACTERS_A_TOKEN)
        if match.group() in self._known:
            yield match.start(), match.end(), max(1, before + self._known[match.group()])
            return
        for place, character in enumerate(match.group(), match.start()):
            yield place, place + 1, max(1, before + self._known[character])
            before = 0

    def _counted(self, count: Count, texts: Sequence[str]) -> Iterator[int]:
        return (max(0, tokens - self.overhead) for tokens in count(texts))

    def _break_up(self, long: Sequence[str], count: Count, size: int) -> None:
        """Knows the characters of the words that no piece can hold instead of the words."""
        for word in long:
            del self._known[word]
        characters = sorted(set(itertools.chain.from_iterable(long)))
        for character, tokens in zip(characters, self._counted(count, characters) if characters else (), strict=True):
            if tokens > size - self.overhead:
                raise ValueError(f"{character!r} alone has more than {size} tokens")
            self._known.setdefault(character, tokens)


def _border(text: str, end: int, start: int) -> _Border:
    """What stands between a part that ends there and the next one."""
    space = text[end:start]
    ends_sentence = _SENTENCE_END.search(text, max(0, end - 8), end) is not None
    if not space:
        return _Border.SENTENCE if text[end - 1] in "。！？" else _Border.INSIDE
    if "\n" not in space:
        return _Border.SENTENCE if ends_sentence and not text[start].islower() else _Border.WORD
    if _is_heading(text, end, blank_after=space.count("\n") > 1):
        return _Border.WORD
    if space.count("\n") > 1:
        return _Border.PARAGRAPH
    return _Border.SENTENCE if ends_sentence or _LIST_MARK.match(text, start) else _Border.LINE


def _is_heading(text: str, end: int, *, blank_after: bool) -> bool:
    """Whether the line that ends there is a heading: marked as one, or short, alone and without a full stop."""
    begin = text.rfind("\n", 0, end) + 1
    if _HEADING.match(text, begin):
        return True
    alone = blank_after and text[max(0, begin - 2) : begin].strip() == ""
    short = end - begin <= _HEADING_CHARACTERS
    return alone and short and text[end - 1] not in ".!?。！？" and not _LIST_MARK.match(text, begin)
