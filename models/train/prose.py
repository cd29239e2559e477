"""Prose that has nothing to do with any question: this repository's documents, Python's manual, and little scenes."""

import random
import re
from functools import cache
from pathlib import Path
from pydoc_data.topics import topics

from . import names

ROOT = Path(__file__).parents[2]
LONGEST = 220

SCENES = (
    "One {weather} morning {who} walked to the {place}.",
    "There was a {animal} near the {place}.",
    "{who} found a {colour} {object} in the {place}.",
    "{other} was a {job} and liked {food}.",
    '"Where is the {object}?" asked {other}.',
    "{who} gave the {object} to {other}.",
    "They shared some {food} and talked about the {place}.",
    "The {animal} followed them home.",
    "In the evening it was {weather} and everyone was happy.",
)
REMARKS = (
    "It was a {weather} day and nobody was in a hurry.",
    "Nobody knows why the {animal} sleeps near the {place}.",
    "The weather stayed {weather} for the whole week.",
    "People often talk about the {event} when it is over.",
    "Many visitors come here in {month} to see the {place}.",
    "The old {place} was painted again last {month}.",
    "A {animal} can run faster than most people think.",
    "Please close the windows of the {place} when it is {weather}.",
    "There is nothing special to say about the {material} on the floor.",
    "If you are hungry, there is always some {food} left.",
    "We had {food} and {drink} before we went home.",
    "Some say that {study} is easier to learn than {language}.",
)
OPENERS = (
    "As everybody knows, ",
    "In fact, ",
    "Today ",
    "It is said that ",
    "By the way, ",
    "I have heard that ",
    "Please note: ",
    "At the moment ",
)
ENDINGS = (
    ", as everybody knows",
    ", and that is all there is to say",
    " at the moment",
    ", which surprised nobody",
    ", at least for now",
    " since last year",
)


@cache
def sentences(held_out: bool) -> tuple[str, ...]:
    """Sentences of real documents: the held-out eighth, or the others."""
    texts = [(ROOT / "README.md").read_text(), *(path.read_text() for path in sorted((ROOT / "docs").rglob("*.md")))]
    texts += [topics[topic] for topic in sorted(topics)]
    found = {sentence for text in texts for sentence in split(text)}
    return tuple(sorted(sentence for sentence in found if names.is_held_out(sentence) == held_out))


def split(text: str) -> list[str]:
    """The plain sentences of a text: no tables, no code, none that could answer a question of ours."""
    paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n", text)]
    pieces = [piece for part in paragraphs for piece in re.split(r"(?<=[.!?]) (?=[A-Z])", part)]
    return [piece for piece in pieces if re.fullmatch(r"[A-Z][a-z][^|>]*[a-z)`][.!?]", piece) and usable(piece)]


def usable(sentence: str) -> bool:
    return 25 < len(sentence) < LONGEST and "harbour" not in sentence and "  " not in sentence


@cache
def words() -> tuple[str, ...]:
    """The English words of the documents, but none of ours."""
    found = {word for sentence in sentences(False) for word in re.findall(r"(?<= )[a-z]{4,11}(?=[ .,])", sentence)}
    ours = {word for words in names.WORDS.values() for word in words}
    return tuple(sorted(found - ours))


def dressed(chance: random.Random, sentence: str) -> str:
    """The sentence, now and then with words before or after it that say nothing."""
    kind = chance.random()
    if kind < 0.08:
        begun = sentence[0].lower() if sentence.split()[0] in ("The", "In", "There", "To", "You", "A") else sentence[0]
        return chance.choice(OPENERS) + begun + sentence[1:]
    if kind < 0.16:
        return f"{sentence[:-1]}{chance.choice(ENDINGS)}."
    return sentence


def document_sentence(chance: random.Random, *, held_out: bool) -> str:
    return chance.choice(sentences(held_out))
