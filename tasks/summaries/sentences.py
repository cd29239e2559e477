"""Sentences of a text without the marks of lists, and what of a model's answer is kept as a summary."""

import re
from collections.abc import Sequence

from tasks.documents import sentences, wording
from tasks.summaries.manner import Manner

_MARK = re.compile(r"^\s*(?:[-*•–]|\d{1,2}[.)])\s+")
_WORD = re.compile(r"\w+")
_LEAST_WORDS = 3  # of an answer that is one
_LOOP_WORDS = 4  # so many words that come three times in a row are a loop
_UNFINISHED_WORDS = 8  # of a sentence that broke off and is all there is


def of(text: str) -> list[str]:
    """The sentences of a text, without the marks of lists."""
    return [_MARK.sub("", span.of(text)) for span in sentences.split(text)]


def is_point(line: str) -> bool:
    """Whether the line begins with the mark of a list."""
    return _MARK.match(line) is not None


def tidy(said: str, manner: Manner, *, finished: bool, points: bool) -> str:
    """What of an answer is a summary: without loops, repetitions and a last sentence that broke off, as long as asked.

    `points` has each sentence on a line of its own that begins with a hyphen. What a client's own instruction made
    keeps its shape, with an ellipsis where it broke off. Empty when nothing is left.
    """
    cut_off = not finished
    looped = _without_loop(said)
    if len(looped) < len(said):
        said, cut_off = looped, True
    if manner.instruction is not None:
        return said.strip() + " …" * cut_off if wording.count(said) >= _LEAST_WORDS else ""
    kept, seen = [], set[str]()
    found = of(said)
    if cut_off and found and not sentences.is_whole(found[-1]):
        found = found[:-1] if len(found) > 1 else _shortened(found[0])
    for sentence in found:
        key = " ".join(_WORD.findall(sentence.lower()))
        if key not in seen:
            seen.add(key)
            kept.append(sentence)
    kept = _as_long_as(kept, manner)
    if sum(map(wording.count, kept)) < _LEAST_WORDS:
        return ""
    return "\n".join(f"- {sentence}" for sentence in kept) if points else " ".join(kept)


def shortened(text: str, manner: Manner) -> str | None:
    """The text itself, where it is no longer than its summary may be; else None."""
    found = of(text)
    most = manner.most_sentences
    if wording.count(text) > manner.about_words or (most is not None and len(found) > most):
        return None
    return " ".join(found)


def _without_loop(text: str) -> str:
    """The text up to where some words begin to come again and again, once."""
    words = list(_WORD.finditer(text))
    said = [word.group().lower() for word in words]
    for at in range(len(said)):
        for size in range(_LOOP_WORDS, 25):
            if at + 3 * size > len(said):
                break
            if said[at : at + size] == said[at + size : at + 2 * size] == said[at + 2 * size : at + 3 * size]:
                return text[: words[at + size].start()].rstrip(" \n-*•,;:")
    return text


def _shortened(sentence: str) -> list[str]:
    whole = sentence.rpartition(" ")[0] or sentence[:-1]
    return (
        [" ".join(whole.split()).rstrip(",;:，、；：") + " …"] if wording.count(sentence) >= _UNFINISHED_WORDS else []
    )


def _as_long_as(found: Sequence[str], manner: Manner) -> list[str]:
    if manner.most_sentences is not None:
        return list(found[: manner.most_sentences])
    if manner.words is None:
        return list(found)
    kept: list[str] = []
    words = 0
    for sentence in found:
        words += wording.count(sentence)
        if kept and words > manner.words * 1.25:
            break
        kept.append(sentence)
    return kept
