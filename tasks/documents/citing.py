"""Which passages an answer's sentences rest on: found in the texts, whatever the model says of its sources.

A sentence rests on a passage of which one sentence, or one row of a table, has all its numbers and codes and nearly all
of its other words, those of the question all; what the passage stands under counts too. What is quoted must stand there
to the letter, but for white space and the kind of marks. What is compared is bounded, and all else in time proportional
to the texts.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, NotRequired, TypedDict, cast

from tasks.documents import sentences, terms
from tasks.documents.questions import Passage
from tasks.documents.sentences import Span
from tasks.documents.terms import Terms

# Of so many words of a sentence one may be missing in what it rests on, and one more where two codes are there.
_WORDS_A_MISSING = 4
_CODES_FOR_A_MISSING = 2
_MOST_SENTENCES = 400  # of an answer, and parts of its passages, that are compared
_MOST_PARTS = 1000
_CLAUSE = re.compile(r"[,;:]\s|\s(?:and|but|while|whereas|und|aber|et|mais|y|pero|e)\s")
_MOST_QUOTES = 100  # of an answer that are looked for
_PLAIN = str.maketrans(
    {**dict.fromkeys("“”„«»「」『』", '"'), **dict.fromkeys("‘’‚", "'"), **dict.fromkeys("‐‑‒–—−", "-")}
)
_SHOWN = ("document_id", "filename", "title", "chunk", "page", "path", "begins", "ends")


class Quote(TypedDict):
    """Words of the answer that stand in the document so."""

    text: str
    begins: Annotated[int | None, "Where it begins in the document's text; null where the chunk's place isn't known."]
    ends: Annotated[int | None, "Where it ends: the number of the character after its last."]


class Source(TypedDict, total=False):
    """A passage that a sentence rests on."""

    passage: Annotated[int, "Its number among the result's passages, from 1."]
    document_id: str
    filename: str | None
    title: str | None
    chunk: int
    page: int | None
    path: list[str]
    begins: Annotated[int | None, "Where the chunk begins in the document's text."]
    ends: int | None
    quotes: NotRequired[list[Quote]]


class Citation(TypedDict):
    """A sentence of an answer, and what it rests on."""

    begins: Annotated[int, "Where the sentence begins in the answer's text."]
    ends: Annotated[int, "Where it ends: the number of the character after its last."]
    passages: Annotated[list[Source], "Empty where no passage supports it."]
    quote_found: NotRequired[Annotated[bool, "Of a sentence that quotes: whether all of it stands in the passages."]]


@dataclass(slots=True)
class _Read:
    """A passage as sentences are compared with it, part by part; each part's terms, with what it stands under.

    What quotes are looked for in is made when there is one.
    """

    passage: Passage
    parts: list[Terms]
    _plain: tuple[str, list[int]] | None = field(default=None)

    def find(self, quote: str) -> Span | None:
        """Where the quote, made plain, stands in the passage's text."""
        if self._plain is None:
            self._plain = _plain(self.passage["text"])
        text, places = self._plain
        at = text.find(quote)
        return None if at < 0 else Span(places[at], places[at + len(quote) - 1] + 1)


def cite(answer: str, passages: Sequence[Passage], question: str = "") -> list[Citation]:
    """What each sentence of the answer rests on, in order. Between passages that say it equally the question's words
    decide."""
    read = [_Read(passage, list(_parts(passage, _MOST_PARTS // len(passages)))) for passage in passages]
    asked, left, cited = terms.of(question), _MOST_QUOTES, []
    for number, span in enumerate(sentences.split(answer)):
        sentence = span.of(answer)
        quotes = [_Sought(each.of(sentence)) for each in sentences.quotes(sentence)][:left]
        left -= len(quotes)
        cited.append(_cited(span, sentence, quotes, read if number < _MOST_SENTENCES else [], asked))
    return cited


@dataclass(slots=True)
class _Sought:
    """A quote, and where it was found: by a passage's place among all."""

    text: str
    found: dict[int, Span] = field(default_factory=dict)

    def seek(self, read: Sequence[_Read]) -> None:
        """Looks for it as it stands; where it is nowhere, without the sign at its end, which may be the sentence's."""
        plain = _plain(self.text)[0].strip()
        for wanted in dict.fromkeys((plain, plain.rstrip(".,;:!?…"))):
            self.found = {place: at for place, each in enumerate(read) if (at := each.find(wanted))} if wanted else {}
            if self.found:
                return


def _cited(span: Span, sentence: str, quotes: list[_Sought], read: Sequence[_Read], asked: Terms) -> Citation:
    for quote in quotes:
        quote.seek(read)
    quoted = list(dict.fromkeys(place for quote in quotes for place in quote.found))
    places = quoted + [place for place in _supporting(sentence, read, asked) if place not in quoted]
    citation: Citation = {
        "begins": span.begins,
        "ends": span.ends,
        "passages": [_source(place, read[place].passage, quotes) for place in places],
    }
    if quotes:
        citation["quote_found"] = all(quote.found for quote in quotes)
    return citation


def _supporting(sentence: str, read: Sequence[_Read], asked: Terms) -> list[int]:
    """The places of the passages that support the sentence: those that it names, then those that have most of it.

    Where none has enough, its clauses may rest on one each.
    """
    bare = sentences.without_marks(sentence)
    if places := _best(terms.of(bare), read, asked, sentences.marks(sentence)):
        return places
    clauses = list(_clauses(bare))
    found = [_best(clause, read, asked, ()) for clause in clauses] if len(clauses) > 1 else [[]]
    return sorted({place for places in found for place in places}) if all(found) else []


def _best(said: Terms, read: Sequence[_Read], asked: Terms, marks: Iterable[int]) -> list[int]:
    """The places of those that support what is said: that are marked, or do so as well as any."""
    if not len(said):
        return []
    points = {place: found for place, each in enumerate(read) if (found := _points(said, each.parts, asked))}
    named = [number - 1 for number in marks if number - 1 in points]
    best = max(points.values(), default=None)
    return list(dict.fromkeys([*named, *(place for place, found in points.items() if found == best)]))


def _points(said: Terms, parts: Iterable[Terms], asked: Terms) -> tuple[float, int] | None:
    """How well the best of a passage's parts supports what is said, the more the better; None where none does.

    What is asked for must be there: a model takes the question's words into its answer, whatever it has found.
    """
    allowed = len(said.words) // _WORDS_A_MISSING + (len(said.codes) >= _CODES_FOR_A_MISSING)
    found = []
    for part in parts:
        missing = _weight(said.words - part.words)
        is_asked = not asked.words.isdisjoint(said.words - part.words)
        if not is_asked and missing <= allowed and missing < len(said) and said.codes <= part.codes:
            found.append((-missing, len(asked.words & part.words) + len(asked.codes & part.codes)))
    return max(found, default=None)


def _weight(missing: Collection[str]) -> float:
    """How much is missing. Pairs of letters from texts without spaces count half: a particle between changes two."""
    return len(missing) - sum(len(word) == 2 and not word.isascii() for word in missing) / 2


def _clauses(sentence: str) -> Iterator[Terms]:
    """What each of the sentence's clauses says; one that says next to nothing goes with those that follow."""
    said = ""
    for part in _CLAUSE.split(sentence):
        said += f" {part}"
        if len(found := terms.of(said)) > 1:
            yield found
            said = ""
    if len(found := terms.of(said)):
        yield found


def _parts(passage: Passage, most: int) -> Iterator[Terms]:
    """The terms of the passage's sentences and rows, the first so many, each with those of all that stands above it."""
    about = (passage.get("title"), passage.get("filename"), *(passage.get("path") or ()), passage.get("header"))
    above = terms.of("\n".join(filter(None, about)), parts=True)
    text, before = passage["text"], Terms()
    for span in sentences.split(text)[:most]:
        part = terms.of(span.of(text), parts=True)
        # What begins with `it` says something of what the sentence before it is about.
        before = part.joined(before) if sentences.goes_on(span.of(text)) else part
        yield before.joined(above)


def _source(place: int, passage: Passage, quotes: Iterable[_Sought]) -> Source:
    shown: dict[str, Any] = {"passage": place + 1, **{name: passage[name] for name in _SHOWN if name in passage}}
    found = [_quote(passage, quote.text, quote.found[place]) for quote in quotes if place in quote.found]
    if found:
        shown["quotes"] = found
    return cast(Source, shown)


def _quote(passage: Passage, text: str, at: Span) -> Quote:
    begins = passage.get("begins")
    if begins is None:
        return {"text": text, "begins": None, "ends": None}
    return {"text": text, "begins": begins + at.begins, "ends": begins + at.ends}


def _plain(text: str) -> tuple[str, list[int]]:
    """The text with one space for each white space and one kind of marks, and where each of its characters was."""
    characters: list[str] = []
    places: list[int] = []
    for place, character in enumerate(text.translate(_PLAIN)):
        if not character.isspace():
            characters.append(character)
            places.append(place)
        elif not characters or characters[-1] != " ":
            characters.append(" ")
            places.append(place)
    return "".join(characters), places
