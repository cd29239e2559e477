"""What of a model's answer to a step is kept."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tasks.documents import terms
from tasks.summaries import prompts, sentences, sources, telling
from tasks.summaries.manner import Manner
from tasks.summaries.prompts import Purpose

_NOTES = 3  # sentences of a note of a model that doesn't do as told
_BEARS = 0.4  # of a sentence's terms, whoever says it in other words has at least so many from the text
_ECHO = 0.75  # so many of its terms in what the model was told make a sentence an echo of that
_ECHO_WORDS = 5  # so many in a row are no chance


def kept(
    said: str, manner: Manner, purpose: Purpose, texts: Sequence[str], context: int, *, finished: bool, told: bool
) -> str:
    """The answer without loops and broken ends, as long as asked; empty where nothing is left.

    Of a model that doesn't do as it is `told` only what the texts bear out, filled up with sentences of theirs. Of one
    that does, what bears on the texts; where nothing does, sentences of theirs instead. Where a client's own
    instruction or another language was asked for, only what was told to the model is left out: what was asked isn't in
    the texts.
    """
    asked = manner if purpose.last else prompts.notes(context)
    points = purpose.last and manner.style == "bullets" and manner.instruction is None
    is_free = manner.instruction is not None or (purpose.last and manner.language is not None)
    tidied = sentences.tidy(said, asked, finished=finished, points=points)
    if told and tidied:
        whole = sentences.of(tidied)
        judge = _Judge.of(manner, purpose, texts, context)
        ours = [each for each in whole if not judge.is_echo(each) and (is_free or judge.bears_on_the_texts(each))]
        if len(ours) == len(whole):
            return tidied
        if ours:
            return sentences.tidy("\n".join(ours), asked, finished=True, points=points)
    if is_free:
        return "" if told else tidied
    borne_out = [] if told else sentences.of(tidied)
    count = _NOTES if not purpose.last else manner.most_sentences or max(1, manner.about_words // 20)
    apart = purpose.subject == "documents"
    found = telling.grounded(borne_out, [telling.prose(text) for text in texts], count, apart=apart)
    return sentences.tidy("\n".join(found), asked, finished=True, points=points)


@dataclass(frozen=True, slots=True)
class _Judge:
    """Of the sentences of a model that does as told: what it was told, in words of ours and in all, and what the texts
    say."""

    ours: frozenset[str]
    told: str
    terms: frozenset[str]
    words: str

    @classmethod
    def of(cls, manner: Manner, purpose: Purpose, texts: Sequence[str], context: int) -> "_Judge":
        told = [
            prompts.put(each, purpose, (), None, context, told=True).text
            for each in (replace(manner, instruction=" " if manner.instruction else None), manner)
        ]
        joined = "\n".join(texts)
        words = sources.words(joined)
        return cls(terms.of(told[0]).all, sources.words(told[1]), terms.of(joined, parts=True).all, words)

    def is_echo(self, sentence: str) -> bool:
        """Whether the sentence is what the model was told, rather than what stands in the texts."""
        words, found = sources.words(sentence), terms.of(sentence).all
        if len(words.split()) >= _ECHO_WORDS and f" {words} " in f" {self.words} ":
            return False
        if len(words.split()) >= _ECHO_WORDS and f" {words} " in f" {self.told} ":
            return True
        return bool(found) and len(found & self.ours) >= max(_ECHO * len(found), len(found & self.terms))

    def bears_on_the_texts(self, sentence: str) -> bool:
        found = terms.of(sentence).all
        return bool(found) and len(found & self.terms) >= _BEARS * len(found)
