"""What of a model's answer to a step is kept."""

from collections.abc import Sequence

from tasks.summaries import prompts, sentences, telling
from tasks.summaries.manner import Manner
from tasks.summaries.prompts import Purpose

_NOTES = 3  # sentences of a note of a model that doesn't do as told


def kept(
    said: str, manner: Manner, purpose: Purpose, texts: Sequence[str], context: int, *, finished: bool, told: bool
) -> str:
    """The answer without loops and broken ends, as long as asked; empty where nothing is left.

    Of a model that doesn't do as it is `told` only what the texts bear out, filled up with sentences of theirs; and
    where one that does says nothing of use, sentences of theirs instead. Not so where a client's own instruction or
    another language was asked for: what was asked isn't in the texts.
    """
    asked = manner if purpose.last else prompts.notes(context)
    points = purpose.last and manner.style == "bullets" and manner.instruction is None
    if manner.instruction is not None or (purpose.last and manner.language is not None):
        own = manner if purpose.last else asked
        return sentences.tidy(said, own, finished=finished, points=points)
    tidied = sentences.tidy(said, asked, finished=finished, points=points)
    if told and tidied:
        return tidied
    borne_out = [] if told else sentences.of(tidied)
    count = _NOTES if not purpose.last else manner.most_sentences or max(1, manner.about_words // 20)
    apart = purpose.subject == "documents"
    found = telling.grounded(borne_out, [telling.prose(text) for text in texts], count, apart=apart)
    return sentences.tidy("\n".join(found), asked, finished=True, points=points)
