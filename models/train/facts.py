"""Kinds of fact: how each is said, asked for and answered."""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from string import Formatter

from . import names, prose

Draw = Callable[[random.Random, bool], str]
Slots = dict[str, str]

# What the shipped fact sheet says is measured, so it is never trained on.
FACT_SHEET = (
    {"place": "harbour", "number": "19"},
    {"who": "Clara", "job": "nurse"},
    {"colour": "red", "object": "lamp", "place": "kitchen"},
    {"who": "Oscar", "food": "honey"},
    {"object": "boat", "number": "42"},
)


@dataclass(frozen=True, slots=True)
class Kind:
    """One relation. `predicates` go behind a person's name and let two facts share a sentence; `statements` are whole.

    A template's fields are slots. Those of a question are what is asked about; the answer names all of them. `subject`
    is what a context says at most once.
    """

    subject: tuple[str, ...]
    answer: str
    questions: tuple[str, ...]
    predicates: tuple[str, ...] = ()
    statements: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fact:
    """A kind with its slots filled."""

    kind: Kind
    slots: Slots

    @property
    def about(self) -> tuple[Kind, tuple[str, ...]]:
        return self.kind, tuple(self.slots[slot] for slot in self.kind.subject)

    def answer(self) -> str:
        return filled(self.kind.answer, self.slots)

    def question(self, chance: random.Random) -> str:
        return filled(chance.choice(self.kind.questions), self.slots)

    def predicate(self, chance: random.Random) -> str:
        return filled(chance.choice(self.kind.predicates), self.slots)

    def statement(self, chance: random.Random) -> str:
        """One sentence that says it: the answer's own words as often as all others together."""
        said = [f"{{who}} {predicate}." for predicate in self.kind.predicates] + list(self.kind.statements)
        template = self.kind.answer if not said or chance.random() < 0.4 else chance.choice(said)
        return prose.dressed(chance, filled(template, self.slots))

    def matches(self, question: str, slots: Slots) -> bool:
        """Whether it answers a question of its kind that is asked with these slots."""
        return all(self.slots[slot] == slots[slot] for slot in fields(question))


def one_of(slot: str) -> Draw:
    return lambda chance, _: chance.choice(names.WORDS[slot])


def noun(slot: str) -> Draw:
    """One of the words, or any English word in its stead, so that what a document is about needn't be in a list."""
    return lambda chance, _: chance.choice(prose.words() if chance.random() < 0.12 else names.WORDS[slot])


def a_name(chance: random.Random, held_out: bool) -> str:
    return names.name(chance, held_out=held_out)


def a_person(chance: random.Random, held_out: bool) -> str:
    last = f" {names.name(chance, held_out=held_out)}" if chance.random() < 0.08 else ""
    return names.name(chance, held_out=held_out) + last


def a_number(low: int, high: int) -> Draw:
    return lambda chance, _: str(chance.randint(low, high))


DRAWS: dict[str, Draw] = {
    "who": a_person,
    "other": a_person,
    "town": a_name,
    "river": a_name,
    "company": a_name,
    "colour": one_of("colour"),
    "object": noun("object"),
    "place": noun("place"),
    "animal": one_of("animal"),
    "job": noun("job"),
    "food": noun("food"),
    "drink": one_of("drink"),
    "day": one_of("day"),
    "month": one_of("month"),
    "instrument": one_of("instrument"),
    "language": one_of("language"),
    "vehicle": one_of("vehicle"),
    "material": one_of("material"),
    "event": noun("event"),
    "relation": one_of("relation"),
    "service": noun("service"),
    "weather": one_of("weather"),
    "study": one_of("study"),
    "number": lambda chance, _: names.number(chance),
    "age": a_number(3, 99),
    "hour": a_number(1, 12),
    "year": a_number(1700, 2030),
    "seconds": a_number(2, 900),
    "port": a_number(1000, 9999),
    "platform": a_number(1, 24),
}


def fact(chance: random.Random, kind: Kind, *, held_out: bool = False) -> Fact:
    """A fact of this kind, never one of the fact sheet; its names are of the held-out part if `held_out`."""
    while True:
        slots = {slot: DRAWS[slot](chance, held_out) for slot in sorted(fields(kind.answer))}
        if slots not in FACT_SHEET:
            return Fact(kind, slots)


def fields(template: str) -> set[str]:
    return {field for _, field, _, _ in Formatter().parse(template) if field}


def filled(template: str, slots: Slots) -> str:
    """The template with its slots' values, "a" before a vowel mended."""
    return re.sub(r"\b([Aa]) (?=[aeio]|um|un)", r"\1n ", template.format_map(slots))
