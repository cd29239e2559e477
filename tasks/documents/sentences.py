"""Sentences of a text, and what stands in it in quotation marks. Everything in linear time."""

import bisect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

# What ends a sentence, and the closing marks that belong to it.
_END = re.compile(r"""[.!?…]+["'”’»)\]]*|[。！？]+[」』"”’）]*|\n+""")
_ENDED = re.compile(r"""[.!?…。！？]["'”’»)\]」』]*$""")
_MARK = re.compile(r"\[\d{1,3}(?: ?, ?\d{1,3})*\]")  # of a source, behind a sentence or in it
_MARKS = re.compile(rf"(?:[ \t]*{_MARK.pattern})+")
_SPACE = re.compile(r"\s*")
_WORD_BEFORE = re.compile(r"[^\W_]+(?:\.[^\W_]+)*\Z")
_LONGEST_ABBREVIATION = 12
_FOLDER = Path(__file__).parent / "templates"
_FIRST_WORD = re.compile(r"\W*(\w+)")
_CLOSING = {'"': '"', "“": "”", "„": '“”"', "«": "»", "「": "」", "『": "』"}
_OPENING_OR_LINE = re.compile("[" + "".join(_CLOSING) + "\n]")
_CLOSING_OR_LINE = {opening: re.compile(f"[{closing}\n]") for opening, closing in _CLOSING.items()}
_LONGEST_QUOTE = 2000  # characters


@dataclass(frozen=True, slots=True)
class Span:
    """The characters from `begins` up to but not including `ends`."""

    begins: int
    ends: int

    def of(self, text: str) -> str:
        return text[self.begins : self.ends]


def split(text: str) -> list[Span]:
    """The text's sentences in order, without the white space around them; those without a letter or digit left out.

    A line's end ends one too, and marks such as `[2]` behind a sentence belong to it. What is quoted isn't split.
    """
    spans, begins = [], 0
    for ends in _borders(text):
        spans.append(_trimmed(text, begins, ends))
        begins = ends
    spans.append(_trimmed(text, begins, len(text)))
    return [span for span in spans if any(map(str.isalnum, without_marks(span.of(text))))]


def quotes(text: str) -> list[Span]:
    """What stands between quotation marks on one line, the marks left out; each has a letter or a digit."""
    return [span for span in _quoted(text) if any(map(str.isalnum, span.of(text)))]


def marks(text: str) -> list[int]:
    """The numbers of the sources that the text names, as `[2]` or `[1, 3]`, in order, each once."""
    named = (number for mark in _MARK.findall(text) for number in re.findall(r"\d+", mark))
    return list(dict.fromkeys(map(int, named)))


def without_marks(text: str) -> str:
    return _MARK.sub(" ", text)


def is_whole(sentence: str) -> bool:
    """Whether the sentence ends as one does, and not in the middle or without a sign as a heading does."""
    return _ENDED.search(sentence) is not None


def goes_on(sentence: str) -> bool:
    """Whether the sentence begins with a word such as `it`, for what the one before it is about."""
    first = _FIRST_WORD.match(sentence)
    return first is not None and first[1].casefold() in _words("pronouns")


def _borders(text: str) -> Iterator[int]:
    """Where a sentence ends, and the next begins."""
    quoted = _quoted(text)
    opened = [span.begins for span in quoted]
    begins = 0
    for end in _END.finditer(text):
        if end.start() < begins:
            continue
        place = bisect.bisect_right(opened, end.start()) - 1
        if place >= 0 and end.end() <= quoted[place].ends:
            continue
        if _ends_here(text, begins, end):
            marked = _MARKS.match(text, end.end())
            begins = marked.end() if marked else end.end()
            yield begins


def _ends_here(text: str, begins: int, end: re.Match[str]) -> bool:
    if end[0][0] in "\n。！？":
        return True
    following = text[end.end() : end.end() + 1]
    if following and not following.isspace() and following != "[":
        return False
    next_at = _SPACE.match(text, end.end()).end()  # type: ignore[union-attr]  # it matches nothing too
    if text[next_at : next_at + 1].islower() and not text[end.start() - 1 : end.start()].isspace():
        return False  # a full stop that stands apart is of a text in small letters only
    if end[0][0] != ".":
        return True
    before = _WORD_BEFORE.search(text[max(begins, end.start() - _LONGEST_ABBREVIATION) : end.start()])
    word = before[0] if before else ""
    numbers_a_list = word.isdigit() and not text[begins : end.start() - len(word)].strip()
    return (
        not numbers_a_list
        and word.casefold() not in _words("abbreviations")
        and not (len(word) == 1 and word.isupper())
    )


def _quoted(text: str) -> list[Span]:
    """What stands between quotation marks, in order, none in another."""
    spans, at, never_closed = [], 0, set[str]()
    while found := _OPENING_OR_LINE.search(text, at):
        at = found.end()
        if found[0] == "\n" or found[0] in never_closed:
            continue
        closing = _CLOSING_OR_LINE[found[0]].search(text, at)
        if closing is None:
            never_closed.add(found[0])
            continue
        if closing[0] != "\n" and closing.start() - at <= _LONGEST_QUOTE:
            spans.append(Span(at, closing.start()))
        at = closing.end()
    return spans


def _trimmed(text: str, begins: int, ends: int) -> Span:
    part = text[begins:ends]
    return Span(ends - len(part.lstrip()), begins + len(part.rstrip())) if part.strip() else Span(begins, begins)


@cache
def _words(name: str) -> frozenset[str]:
    return frozenset((_FOLDER / f"{name}.txt").read_text(encoding="utf-8").split())
