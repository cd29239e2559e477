"""How a summary is to be: its style or a client's own instruction, its length, its language."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

STYLES = ("brief", "bullets", "executive")
MAX_INSTRUCTION = 1000  # characters
MAX_WORDS, MAX_SENTENCES = 1000, 50

_SENTENCES = {"brief": 3, "bullets": 5, "executive": 6}  # where no length is given
_WORDS_A_SENTENCE = 22


@dataclass(frozen=True, slots=True)
class Manner:
    """With an `instruction` the style is none of ours. At most one of `words` and `sentences` is given: about so many.

    Of bullets, `sentences` counts the points. Without a `language` it is the text's own.
    """

    style: str = "brief"
    instruction: str | None = None
    words: int | None = None
    sentences: int | None = None
    language: str | None = None

    @property
    def most_sentences(self) -> int | None:
        """What is said beyond is left out; None where words are counted, or nothing is."""
        if self.words is not None:
            return None
        return self.sentences or (None if self.instruction else _SENTENCES[self.style])

    @property
    def about_words(self) -> int:
        if self.words is not None:
            return self.words
        return _WORDS_A_SENTENCE * (self.sentences or (4 if self.instruction else _SENTENCES[self.style]))

    @property
    def asks_of_a_model(self) -> bool:
        """Whether a text that is short enough already still has to be put in other words."""
        return self.style == "bullets" or self.instruction is not None or self.language is not None

    def to_json(self) -> dict[str, Any]:
        given = {name: getattr(self, name) for name in ("instruction", "words", "sentences", "language")}
        return {"style": self.style} | {name: value for name, value in given.items() if value is not None}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """What `to_json` gave."""
        known = ("style", "instruction", "words", "sentences", "language")
        return cls(**{name: stored[name] for name in known if name in stored})
