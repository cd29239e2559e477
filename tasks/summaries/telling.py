"""Which sentences of a text tell most of it, and whether a text bears out what a model says of it.

A model that was never trained to do as told says much that isn't in the text. Of that nothing is kept: what is missing
then is filled up with the text's own sentences.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tasks.documents import terms, wording
from tasks.documents.sentences import is_whole
from tasks.summaries import sentences

_NEGATION = re.compile(r"\b(?:not|no|never|none|without|cannot|nor|nicht|kein\w*|nie|ohne|n't)\b|n't\b", re.IGNORECASE)
_LEANS = re.compile(  # on the sentence before it
    r"(?:this|that|these|those|it|its|they|their|them|he|she|his|her|however|but|and|so|then|thus|also|there|such|here"
    r"|yet|both|otherwise|instead|therefore|hence|which|the (?:latter|former|same))\b",
    re.IGNORECASE,
)
_WORDS = (6, 40)  # of a sentence that tells something by itself
_NAMES = 0.5  # of its words in capitals, a sentence is a list of names
_LEAST_TERMS = 4  # of a sentence that a model says
_SAID_ONCE = 0.7  # so many of its words are different ones
_BORNE_OUT = 0.75  # of a sentence's terms in the part of the text that it is from
_PROSE = 20  # characters that a text has at least, to be one
_ALIKE = 0.6  # so much of their terms in common makes two sentences one

_FENCES = ("```", "~~~")
_LINK = re.compile(r"!?\[([^\[\]\n]{0,500})\]\([^()\n]{0,2000}\)")
_NO_PROSE = re.compile(r"[ \t]*\||[ \t]*<[/!a-zA-Z]|#{1,6}(?:[ \t]|$)")
_INDENTED = ("    ", "\t")
_RULE, _SHORTEST_RULE = frozenset("-=*_"), 3
_ENDS = (".", "!", "?", "。", "！", "？")
_EMPHASIS = re.compile(r"[`*]+")
_VALUE = re.compile(r"((?:\[\d+\]\.?)?[A-Za-z_][\w-]*(?:\.[\w-]+|\[\d+\])*): (.*)")  # of JSON, with its path
_LONGEST_VALUE, _LONGEST_BELOW = 2, 8  # words, of one and of one in another; what has more may be prose
_MARKED = re.compile(r"[ \t]*(?:#{1,6}(?:[ \t]+|$))?(.*)")


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A sentence that may be said: where it is in the text, and its terms."""

    text: str
    at: int
    terms: frozenset[str]
    score: float


def prose(text: str) -> str:
    """The text without code, tables, values and headings, and without the marks of Markdown; where nothing else is in
    it, all of that, without the marks."""
    bare = _bare(text)
    return bare if len(bare) > _PROSE else _readable(text)


def has_prose(text: str) -> bool:
    """Whether there is anything in the text but code, tables, values and headings."""
    return len(_bare(text)) > _PROSE


def _bare(text: str) -> str:
    bare = "\n".join(_prose_lines(text.split("\n")))
    bare = _EMPHASIS.sub("", _LINK.sub(r"\1", bare))
    joined = re.sub(r"(?<=[^\n.!?:])\n(?=[^\n\-+•\d])", " ", bare)  # a line that breaks within a sentence
    return re.sub(r"\n{3,}", "\n\n", joined).strip()


def _prose_lines(lines: Sequence[str]) -> Iterator[str]:
    """Each line without the white space around it, and empty where it is of code, of a table, a heading or a rule.

    An indented line is code where an empty one is above it, or code; in a list it goes on with what is above it.
    """
    last = {line[:3]: at for at, line in enumerate(lines) if line.startswith(_FENCES)}
    fence, is_code, in_list, after_empty = "", False, False, True
    for at, line in enumerate(lines):
        bare = line.strip(" \t")
        if fence or (line.startswith(_FENCES) and last[line[:3]] > at):
            fence = "" if fence and line.startswith(fence) else fence or line[:3]
            yield ""
            continue
        is_indented = line.startswith(_INDENTED)
        if bare:
            is_code = is_indented and not in_list and (after_empty or is_code)
            in_list = sentences.is_point(bare) or (in_list and (is_indented or not after_empty))
        after_empty = not bare
        is_rule = len(bare) >= _SHORTEST_RULE and _RULE.issuperset(bare)
        yield "" if is_code or is_rule or _NO_PROSE.match(line) or _is_value(bare) else bare


def _is_value(line: str) -> bool:
    """Whether the line has a value of JSON behind its path, and no sentence."""
    found = _VALUE.fullmatch(line)
    if found is None or line.endswith(_ENDS):
        return False
    return wording.count(found[2]) <= (_LONGEST_VALUE if found[1].isalpha() else _LONGEST_BELOW)


def _readable(text: str) -> str:
    """The text without the marks of headings, and with a comma between the cells of a table."""
    lines = []
    for line in text.split("\n"):
        if line.strip().startswith("|"):
            cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
            lines.append(", ".join(cell for cell in cells if cell.strip("-: ")))
        else:
            found = _MARKED.fullmatch(line)
            lines.append(found[1] if found else line)
    return "\n".join(lines).strip()


def grounded(said: Sequence[str], texts: Sequence[str], count: int, *, apart: bool = False) -> list[str]:
    """What of these sentences the texts bear out, filled up to `count` with those of their own that tell most.

    `apart` has as few as can be of one text, where each is of something else.
    """
    found = [(of, sentence) for of, text in enumerate(texts) for sentence in sentences.of(text)]
    found = [(of, sentence) for of, sentence in found if terms.of(sentence).all]
    if not found:
        return list(said[:count])
    own = [sentence for _, sentence in found]
    weights = _weights(own)
    candidates = _scored(own, weights)
    best = max(each.score for each in candidates)
    for sentence in said:
        if (at := _borne_out(sentence, own, weights)) is not None:
            candidates.append(_Candidate(sentence, at, terms.of(sentence).all, best * 1.1))
    of_one = math.ceil(count / len(texts)) if apart else count
    chosen: list[_Candidate] = []
    taken = Counter[int]()
    for each in sorted(candidates, key=lambda candidate: -candidate.score):
        of = found[each.at][0]
        if taken[of] < of_one and all(_alike(each.terms, other.terms) < _ALIKE for other in chosen):
            chosen.append(each)
            taken[of] += 1
        if len(chosen) == count:
            break
    return [each.text for each in sorted(chosen, key=lambda candidate: candidate.at)]


def _borne_out(sentence: str, own: Sequence[str], weights: dict[str, float]) -> int | None:
    """Which of the text's sentences this one is from: with those beside it, it has most of its terms, all its numbers,
    and denies something where this does. None where there is none."""
    said = terms.of(sentence)
    wanted = said.all
    whole = sum(weights.get(term, 3.0) for term in wanted)
    words = wording.spaced(sentence.lower()).split()
    if len(wanted) < _LEAST_TERMS or len(set(words)) < _SAID_ONCE * len(words):
        return None
    denies = bool(_NEGATION.search(sentence))

    def share(part: str) -> float:
        return sum(weights.get(term, 0.0) for term in wanted & terms.of(part).all) / whole

    shares = [share(sentence) for sentence in own]
    at = max(range(len(own)), key=lambda number: shares[number])
    around = max((" ".join(own[max(0, at - 1) : at + 1]), " ".join(own[at : at + 2])), key=share)
    if share(around) < _BORNE_OUT or not said.codes <= terms.of(around, parts=True).codes:
        return None
    return at if not denies or _NEGATION.search(around) else None


def _scored(own: Sequence[str], weights: dict[str, float]) -> list[_Candidate]:
    """Each sentence by how much of what the whole text is about it has, for its length; the first ones count more."""
    about = Counter(term for sentence in own for term in terms.of(sentence).all)
    scored = []
    for at, sentence in enumerate(own):
        has, words = terms.of(sentence).all, wording.count(sentence)
        mass = sum(about[term] * weights[term] for term in has) / (len(has) + 4)
        early = 1 + 0.6 * math.exp(-at / 3)
        standing = 0.6 if at and _LEANS.match(sentence) else 1.0
        ends = 1.0 if is_whole(sentence) else 0.15
        names = sum(word[:1].isupper() for word in sentence.split()) / max(1, words)
        mass *= 1.0 if names < _NAMES else 0.5
        length = 1.0 if _WORDS[0] <= words <= _WORDS[1] else 0.4
        scored.append(_Candidate(sentence, at, has, mass * early * standing * ends * length))
    return scored


def _weights(own: Sequence[str]) -> dict[str, float]:
    found = Counter(term for sentence in own for term in terms.of(sentence).all)
    return {term: math.log(1 + len(own) / number) for term, number in found.items()}


def _alike(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / max(1, min(len(one), len(other)))
