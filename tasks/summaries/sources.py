"""Where a summary's sentences come from: the parts of the text that share their words, and the place in it; and whose
they are, the text's own or a model's."""

import bisect
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tasks.documents import sentences, terms
from tasks.documents.sentences import Span
from tasks.summaries import telling

_MOST = 3  # parts named for a sentence
_NEAR = 0.6  # of the best part's share, another that is named beside it has at least so much
_WORD = re.compile(r"[^\W_]+")
_LEAST = 0.25  # of a sentence's words, weighted, in a part that it can come from
_LEAST_TERMS = 2  # that it shares with that part


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a text, by its number: what stands from `begins` up to but not including `ends`."""

    number: int
    begins: int
    ends: int


@dataclass(frozen=True, slots=True)
class Source:
    """The parts that a sentence comes from, the likeliest first, and the place of the likeliest sentence in it."""

    parts: tuple[int, ...]
    begins: int | None = None
    ends: int | None = None


def of(said: Sequence[str], text: str, parts: Sequence[Part]) -> list[Source]:
    """Where in the text each of these sentences comes from; nowhere, where too few of its words are in any part."""
    known = [terms.of(_of(part, text)).all for part in parts]
    rare = _weights(known)
    return [_source(sentence, text, parts, known, rare) for sentence in said]


def shown(said: Sequence[str], text: str, parts: Sequence[Part], pages: Sequence[int]) -> list[dict[str, Any]]:
    """The sentences as a result has them; `pages` is where each page of the text begins."""
    return [
        {
            "text": sentence,
            "by": "text" if is_own else "model",
            "chunks": list(source.parts),
            "begins": source.begins,
            "ends": source.ends,
            "page": None if source.begins is None or not pages else bisect.bisect_right(pages, source.begins),
        }
        for sentence, source, is_own in zip(said, of(said, text, parts), own(said, text), strict=True)
    ]


def own(said: Sequence[str], text: str) -> list[bool]:
    """Which of these sentences stand in the text word for word, whoever said them."""
    whole = [f" {words(each)} " for each in (text, telling.prose(text))]
    return [any(f" {words(sentence)} " in each for each in whole) for sentence in said]


def words(text: str) -> str:
    """The text's words in small letters, with nothing else between them than a space."""
    return " ".join(_WORD.findall(text.casefold()))


def _source(
    sentence: str, text: str, parts: Sequence[Part], known: Sequence[frozenset[str]], rare: dict[str, float]
) -> Source:
    wanted = terms.of(sentence).all
    whole = sum(rare.get(term, 0.0) for term in wanted) + sum(term not in rare for term in wanted) * _missing(parts)
    if not whole:
        return Source(())
    shares = [sum(rare[term] for term in wanted if term in has) / whole for has in known]
    for at, has in enumerate(known):
        if shares[at] and len(wanted & has) < _LEAST_TERMS and not own([sentence], _of(parts[at], text))[0]:
            shares[at] = 0.0
    best = max(shares, default=0.0)
    if best < _LEAST:
        return Source(())
    order = sorted(range(len(parts)), key=lambda at: -shares[at])
    named = [at for at in order if shares[at] >= max(_LEAST, _NEAR * best)][:_MOST]
    begins, ends = _likeliest(wanted, text, parts[named[0]], rare)
    return Source(tuple(parts[at].number for at in named), begins, ends)


def _likeliest(wanted: frozenset[str], text: str, part: Part, rare: dict[str, float]) -> tuple[int, int]:
    """The place of the part's sentence that shares most with what is wanted, for its length."""
    inside = _of(part, text)

    def shared(span: Span) -> float:
        has = terms.of(span.of(inside)).all
        return sum(rare.get(term, 0.0) for term in has & wanted) / math.sqrt(len(has) + 4)

    best = max(sentences.split(inside), key=shared, default=Span(0, len(inside)))
    return part.begins + best.begins, part.begins + best.ends


def _of(part: Part, text: str) -> str:
    return text[part.begins : part.ends]


def _weights(known: Sequence[frozenset[str]]) -> dict[str, float]:
    """What each term tells: the more, the fewer parts have it. A text of one part has only its own words to tell."""
    found = Counter(term for part in known for term in part)
    return {term: math.log(1 + len(known) / number) for term, number in found.items()}


def _missing(parts: Sequence[Part]) -> float:
    """What a term weighs that the text doesn't have."""
    return math.log(1 + len(parts))
