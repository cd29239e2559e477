"""Texts cut into pieces that an embedding model can take: by tokens, at the borders a reader would choose."""

import bisect
import hashlib
import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

from tasks.documents.costs import PART, Costs, Count
from tasks.documents.marks import Marks
from tasks.documents.outline import outline
from tasks.documents.sections import Contexts, Sections

# What a collection's documents are cut into where it says nothing else.
TOKENS = 128
OVERLAP = 16

_SENTENCE_END = re.compile(r"""(?:[.!?…]["'”’»)\]]*|[。！？])$""")
# Texts whose headings and tables are looked for where nobody has marked them.
_OUTLINED = ("text", "markdown", "rst")
_LIST_MARK = re.compile(r"[-*+|#>•]|\d+[.)]\s")
_HEADING = re.compile(r"#{1,6}\s")
_HEADING_CHARACTERS = 80
_CONTEXT_SHARE = 3  # of a piece's tokens, a third at most are its context


_NO_MARKS = Marks()


@dataclass(frozen=True, slots=True)
class About:
    """What is known of a text beside its words: what it is called, of which kind it is, and its marks."""

    title: str | None = None
    kind: str | None = None
    marks: Marks = _NO_MARKS

    def outlined(self, text: str) -> "About":
        """With the marks that show in the text, where it has none and is of a kind that may."""
        if self.kind not in _OUTLINED or self.marks != _NO_MARKS:
            return self
        return replace(self, marks=outline(text, self.kind))


_NOTHING = About()


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
        return embedded(self.context, self.text)

    @property
    def digest(self) -> bytes:
        """The SHA-256 of what is embedded: where it is equal, so is the vector that a model makes."""
        return hashlib.sha256(self.embedded.encode()).digest()


def embedded(context: str, text: str) -> str:
    """What a vector and words are made of, of a piece of this text in this context."""
    return f"{context}\n{text}" if context else text


@dataclass(frozen=True, slots=True)
class _Span:
    """Parts `first` up to but not including `end`, of which those from `new` on aren't in the span before.

    `bare`: without their context, which left no room for them.
    """

    first: int
    end: int
    new: int
    bare: bool = False


class _Border(IntEnum):
    """What stands after a part: the higher, the better a place to cut."""

    INSIDE = 0
    WORD = 1  # also after a heading and a table's header, which belong to what follows
    LINE = 2
    SENTENCE = 3
    PARAGRAPH = 4


def cut(text: str, count: Count, size: int, overlap: int, about: About = _NOTHING) -> list[Piece]:
    """The text as pieces of at most `size` tokens, none when it holds no word. Deterministic, in linear time.

    A heading begins a piece. Pieces end at a paragraph's end where that leaves them half full, else at a sentence's, a
    line's, a word's; only words longer than `size` are cut inside. A piece that doesn't begin with a heading begins
    with about `overlap` tokens that ended the one before: whole sentences, or words where a sentence is too long or too
    short. What the text is called is in every piece's context.

    `count` tells the tokens of each of many texts; it is called three times, unless the tokens of a text are more
    than those of its words. Raises `ValueError` unless `0 <= overlap <= size / 2`, and when a single character has
    more than `size` tokens.
    """
    if not 0 <= overlap <= size / 2:
        raise ValueError(f"an overlap of {overlap} tokens doesn't go with pieces of {size}")
    parts = _Parts(text, Sections(text, about.outlined(text).marks, about.title), count, size)
    found: list[_Span | Piece] = [span for whole in parts.sections() for span in parts.plan(whole, size, overlap)]
    while spans := [item for item in found if isinstance(item, _Span)]:
        tokens = dict(zip(spans, count([parts.piece(span, 0).embedded for span in spans]), strict=True))
        found = [
            fitted
            for item in found
            for fitted in (parts.fit(item, tokens[item], overlap) if isinstance(item, _Span) else [item])
        ]
    return [item for item in found if isinstance(item, Piece)]


class _Parts:
    """A text's parts, what each costs in tokens with the white space before it, and the border after each."""

    def __init__(self, text: str, sections: Sections, count: Count, size: int) -> None:
        self._text, self._sections, self._size = text, sections, size
        self._starts, self._ends = array("q"), array("q")
        self._borders = bytearray()
        self._totals = array("q", [0])  # what the parts before the i-th cost together
        costs = Costs((text, *sections.said()), count, size)
        self._room = size - costs.overhead
        self._contexts = Contexts(sections, costs, self._room // _CONTEXT_SHARE)
        end = 0
        for match in PART.finditer(text):
            if self._starts:
                self._borders.append(_border(text, end, match.start(), sections))
            for start, stop, cost in costs.units(text, end, match):
                self._starts.append(start)
                self._ends.append(stop)
                self._totals.append(self._totals[-1] + cost)
            self._borders.extend([_Border.INSIDE] * (len(self._starts) - 1 - len(self._borders)))
            end = match.end()
        self._borders.append(_Border.PARAGRAPH)

    def sections(self) -> Iterator[_Span]:
        """The text's sections, which together cover it."""
        first = 0
        for place in (*self._sections.begins, len(self._text)):
            end = bisect.bisect_left(self._starts, place)
            if end > first:
                yield _Span(first, end, first)
            first = end

    def piece(self, span: _Span, tokens: int) -> Piece:
        begins, ends = self._starts[span.first], self._ends[span.end - 1]
        return Piece(
            self._text[begins:ends],
            tokens,
            begins,
            ends,
            self._sections.page(begins),
            self._sections.path(ends - 1),
            self._sections.header(begins),
            "" if span.bare else self._contexts.at(begins)[0],
        )

    def plan(self, whole: _Span, most: int, overlap: int) -> Iterator[_Span]:
        """Spans that together cover the whole, each with its context within the size, as far as the costs are right.

        `most` bounds what each costs without its context.
        """
        first, done = whole.first, whole.new
        while done < whole.end:
            budget = min(most, self._budget(first))
            limit = bisect.bisect_right(self._totals, self._totals[first] + budget, done, whole.end + 1) - 1
            limit = max(limit, done + 1)
            end = whole.end if limit == whole.end else self._best_end(first, done, limit, budget)
            yield _Span(first, end, done)
            first, done = self._next_first(first + 1, end, whole.end, budget, overlap), end

    def fit(self, span: _Span, tokens: int, overlap: int) -> Sequence[_Span | Piece]:
        """The span as a piece if it has few enough tokens, else cut again by what its parts really cost."""
        if tokens <= self._size:
            return [self.piece(span, tokens)]
        if span.end - span.first == 1:
            if span.bare:
                text = self.piece(span, tokens).text
                raise ValueError(f"{text!r} was counted once as {tokens} tokens and once as fewer")
            return [replace(span, bare=True)]
        cost, budget = self._cost(span.first, span.end), self._budget(span.first)
        over = tokens - self._size
        most = max(1, min(cost * budget * 9 // (10 * (budget + over)), cost - 1))
        overlap = min(overlap, most // 2)
        first = self._next_first(span.first, span.new, span.end, most, overlap) if span.first < span.new else span.first
        return list(self.plan(_Span(first, span.end, span.new), most, overlap))

    def _budget(self, first: int) -> int:
        """What the parts of a span that begins there may cost."""
        return self._room - self._contexts.at(self._starts[first])[1]

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

    def _next_first(self, least: int, done: int, end: int, budget: int, overlap: int) -> int:
        """Where the span for what comes after `done` begins: as early as the overlap, and room for that, allow.

        Not before `least`.
        """
        if done == end:
            return done
        room = min(overlap, budget - self._next_cost(done, end, budget))
        earliest = bisect.bisect_left(self._totals, self._totals[done] - room, least, done)
        for border, cheapest in ((_Border.SENTENCE, room // 2), (_Border.WORD, 0)):
            for first in range(earliest, done):
                if self._cost(first, done) < cheapest:
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


def _border(text: str, end: int, start: int, sections: Sections) -> _Border:
    """What stands between a part that ends there and the next one."""
    space = text[end:start]
    ends_sentence = _SENTENCE_END.search(text, max(0, end - 8), end) is not None
    if not space:
        return _Border.SENTENCE if text[end - 1] in "。！？" else _Border.INSIDE
    if "\n" not in space:
        return _Border.SENTENCE if ends_sentence and not text[start].islower() else _Border.WORD
    if text.find("\n", end) in sections.glued or _is_heading(text, end, blank_after=space.count("\n") > 1):
        return _Border.WORD
    if space.count("\n") > 1:
        return _Border.PARAGRAPH
    if ends_sentence or _LIST_MARK.match(text, start) or sections.table(end) is not None:
        return _Border.SENTENCE
    return _Border.LINE


def _is_heading(text: str, end: int, *, blank_after: bool) -> bool:
    """Whether the line that ends there is a heading: marked as one, or short, alone and without a full stop."""
    begin = text.rfind("\n", 0, end) + 1
    if _HEADING.match(text, begin):
        return True
    alone = blank_after and text[max(0, begin - 2) : begin].strip() == ""
    short = end - begin <= _HEADING_CHARACTERS
    return alone and short and text[end - 1] not in ".!?。！？" and not _LIST_MARK.match(text, begin)
