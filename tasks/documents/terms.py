"""What a text says, as terms that can be looked for in another: the stems of its words, its numbers and its codes."""

import re
import unicodedata
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import snowballstemmer

from tasks.documents import wording

_FOLDER = Path(__file__).parent / "templates"

_TOKEN = re.compile(r"[^\W_]+(?:[.,:/_'+-][^\W_]+)*")
_SEPARATORS = re.compile(r"[:/_'+-]")
_WITH_UNIT = re.compile(r"(\d[\d.,]*)([^\W\d_]+)")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_DECIMAL = re.compile(r"(\d+)[.,](\d{1,2})")
_PLAIN = str.maketrans(dict.fromkeys("‐‑‒–—−", "-") | {"’": "'"})
_LONGEST_WORD = 40  # characters of a word that has an ending to be taken off


@dataclass(frozen=True, slots=True)
class Terms:
    """`words` are stems, `codes` whatever has a digit in it."""

    words: frozenset[str] = frozenset()
    codes: frozenset[str] = frozenset()

    @property
    def all(self) -> frozenset[str]:
        return self.words | self.codes

    def joined(self, other: "Terms") -> "Terms":
        return Terms(self.words | other.words, self.codes | other.codes)

    def __len__(self) -> int:
        return len(self.words) + len(self.codes)


def of(text: str, *, parts: bool = False) -> Terms:
    """The text's terms, without words that say nothing by themselves.

    With `parts` those of compounds are terms too: `16` and `41` of `16:00` and `41kg`; so is what is looked in.
    """
    words, codes = set[str](), set[str]()
    plain = unicodedata.normalize("NFKC", text).casefold().translate(_PLAIN)
    for token in _TOKEN.findall(wording.spaced(plain)):
        for term in (token, *(_parts(token) if parts else ())):
            if any(map(str.isdigit, term)):
                codes.add(_number(term))
            elif term not in _common():
                words.add(stem(term) if len(term) <= _LONGEST_WORD else term)
    return Terms(frozenset(words), frozenset(codes))


@lru_cache(100_000)
def stem(word: str) -> str:
    """The word without its ending, as far as English has it: `works`, `worked` and `working` are one.

    By Porter's second algorithm (snowballstem.org/algorithms/english/stemmer.html).
    """
    return str(snowballstemmer.stemmer("english").stemWord(word))


def _parts(token: str) -> list[str]:
    found = _SEPARATORS.split(token)
    found = found if len(found) > 1 else []
    for each in found or [token]:
        if unit := _WITH_UNIT.fullmatch(each):
            found += unit.groups()
    return found


def _number(term: str) -> str:
    """The number as others may write it: `1,200` is `1200`, `12.50` and `12,5` are `12.5`."""
    term = _THOUSANDS.sub("", term)
    if decimal := _DECIMAL.fullmatch(term):
        whole, rest = decimal[1], decimal[2].rstrip("0")
        return f"{whole}.{rest}" if rest else whole
    return term


@cache
def _common() -> frozenset[str]:
    return frozenset((_FOLDER / "common_words.txt").read_text(encoding="utf-8").split())
