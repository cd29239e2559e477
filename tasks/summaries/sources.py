"""Where a summary's sentences come from: the parts of the text that share their words, and the place in it."""

import bisect
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tasks.summaries import sentences

_WORD = re.compile(r"\w+")
_STEM = 6  # characters: what is after them is mostly an ending
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_MOST = 3  # parts named for a sentence
_NEAR = 0.6  # of the best part's share, another that is named beside it has at least so much
_LEAST = 0.2  # of a sentence's words, weighted, in a part that it can come from


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
    known = [Counter(terms(text[part.begins : part.ends])) for part in parts]
    rare = _weights(known)
    return [_source(set(terms(sentence)), text, parts, known, rare) for sentence in said]


def shown(said: Sequence[str], text: str, parts: Sequence[Part], pages: Sequence[int]) -> list[dict[str, Any]]:
    """The sentences as a result has them; `pages` is where each page of the text begins."""
    return [
        {
            "text": sentence,
            "chunks": list(source.parts),
            "begins": source.begins,
            "ends": source.ends,
            "page": None if source.begins is None or not pages else bisect.bisect_right(pages, source.begins),
        }
        for sentence, source in zip(said, of(said, text, parts), strict=True)
    ]


def _source(
    wanted: set[str], text: str, parts: Sequence[Part], known: Sequence[Counter[str]], rare: dict[str, float]
) -> Source:
    whole = sum(rare.get(term, 0.0) for term in wanted) + sum(term not in rare for term in wanted) * _missing(parts)
    if not whole:
        return Source(())
    shares = [sum(rare[term] for term in wanted if term in terms) / whole for terms in known]
    best = max(shares, default=0.0)
    if best < _LEAST:
        return Source(())
    order = sorted(range(len(parts)), key=lambda at: -shares[at])
    named = [at for at in order if shares[at] >= max(_LEAST, _NEAR * best)][:_MOST]
    begins, ends = _likeliest(wanted, text, parts[named[0]], rare)
    return Source(tuple(parts[at].number for at in named), begins, ends)


def _likeliest(wanted: set[str], text: str, part: Part, rare: dict[str, float]) -> tuple[int, int]:
    """The place of the part's sentence that shares most with what is wanted, for its length."""
    inside = text[part.begins : part.ends]

    def shared(span: tuple[int, int]) -> float:
        has = set(terms(inside[span[0] : span[1]]))
        return sum(rare.get(term, 0.0) for term in has & wanted) / math.sqrt(len(has) + 4)

    begins, ends = max(sentences.spans(inside), key=shared, default=(0, len(inside)))
    return part.begins + begins, part.begins + ends


def _weights(known: Sequence[Counter[str]]) -> dict[str, float]:
    """What each term tells: the more, the fewer parts have it. A text of one part has only its own words to tell."""
    found = Counter(term for terms in known for term in terms)
    return {term: math.log(1 + len(known) / number) for term, number in found.items()}


def _missing(parts: Sequence[Part]) -> float:
    """What a term weighs that the text doesn't have."""
    return math.log(1 + len(parts))


def terms(text: str) -> Iterator[str]:
    """What texts are compared by: stems of words, without the most common; of scripts that put no spaces between words,
    pairs of characters."""
    for match in _WORD.finditer(text.lower()):
        word = match.group()
        if _UNSPACED.search(word):
            yield from (word[at : at + 2] for at in range(max(1, len(word) - 1)))
        elif (len(word) > 2 or word.isdigit()) and word not in _common():
            yield word[:_STEM]


@cache
def _common() -> frozenset[str]:
    """Words that tell nothing of a text, in some languages."""
    return frozenset((Path(__file__).parent / "common.txt").read_text(encoding="utf-8").split())
