"""Contexts with several facts and prose among them, and what may be asked about each."""

import random
from dataclasses import dataclass

from . import facts, kinds, prose
from .facts import Fact, Kind

REFUSAL = "The context does not say."
TRIES = 8


@dataclass(frozen=True, slots=True)
class Question:
    """A question, its only right answer, and what it measures: `answered` or `refused`."""

    text: str
    answer: str
    kind: str = "answered"


@dataclass(frozen=True, slots=True)
class Context:
    """Passages of text and the facts they state."""

    passages: tuple[str, ...]
    facts: tuple[Fact, ...]


class Draft:
    """A context in the making: facts that don't contradict each other, up to a length in letters."""

    def __init__(self, chance: random.Random, *, held_out: bool = False) -> None:
        self.chance = chance
        self.held_out = held_out
        self.facts: list[Fact] = []
        self.sentences: list[str] = []

    @property
    def length(self) -> int:
        return sum(map(len, self.sentences))

    def state(self, kind: Kind) -> Fact | None:
        """Adds a fact of this kind and its sentence; None if it would contradict one that is there."""
        fact = facts.fact(self.chance, kind, held_out=self.held_out)
        if not self.accept(fact):
            return None
        self.sentences.append(fact.statement(self.chance))
        return fact

    def accept(self, fact: Fact) -> bool:
        if fact.about in {other.about for other in self.facts}:
            return False
        self.facts.append(fact)
        return True

    def portray(self) -> None:
        """Adds two or three facts about one person, said as prose."""
        chance = self.chance
        kinds_told = [kind for kind in chance.sample(kinds.PERSONS, chance.choice((2, 2, 3))) if kind.predicates]
        first = facts.fact(chance, kinds_told[0], held_out=self.held_out)
        who = first.slots["who"]
        told = [first]
        for kind in kinds_told[1:]:
            drawn = facts.fact(chance, kind, held_out=self.held_out)
            told.append(Fact(kind, drawn.slots | {"who": who}))
        told = [fact for fact in told if fact.slots not in facts.FACT_SHEET and self.accept(fact)]
        if told:
            self.sentences.append(portrait(chance, who, told))

    def ramble(self) -> None:
        """Adds a sentence or two that answer nothing."""
        chance = self.chance
        if chance.random() < 0.6:
            self.sentences.append(prose.document_sentence(chance, held_out=self.held_out))
        else:
            slots = {slot: draw(chance, self.held_out) for slot, draw in facts.DRAWS.items()}
            self.sentences.append(facts.filled(chance.choice(prose.REMARKS), slots))


def portrait(chance: random.Random, who: str, told: list[Fact]) -> str:
    said = [fact.predicate(chance) for fact in told]
    if len(said) == 1:
        return f"{who} {said[0]}."
    pronoun = chance.choice(("He", "She"))
    forms = [
        f"{who}, who {said[0]}, {' and '.join(said[1:])}.",
        f"{who} {' and '.join(said)}.",
        f"{who} {said[0]}. {pronoun} {' and '.join(said[1:])}.",
        f"This is {who}. {pronoun} {' and '.join(said)}.",
        f"{who} {said[0]}, and also {' and '.join(said[1:])}.",
    ]
    return chance.choice(forms)


def few(chance: random.Random, length: int, *, held_out: bool = False) -> Context:
    """Facts of different kinds: nothing competes with what is asked. Prose up to the length."""
    draft = Draft(chance, held_out=held_out)
    for kind in chance.sample(kinds.ALL, min(chance.choice((1, 1, 2, 3, 4, 5)), 1 + length // 45)):
        draft.state(kind)
    return padded(draft, length)


def competing(chance: random.Random, length: int, *, held_out: bool = False) -> Context:
    """Several facts of each kind, portraits of people, and prose up to the length."""
    draft = Draft(chance, held_out=held_out)
    chosen = chance.sample(kinds.ALL, chance.choice((1, 2, 2, 3)))
    share = chance.choice((0.5, 0.7, 0.85, 1.0))
    most = chance.randint(3, 9)
    for _ in range(40):
        if len(draft.facts) >= most or (draft.facts and draft.length >= share * length):
            break
        if chance.random() < 0.25:
            draft.portray()
        elif (stated := draft.state(chance.choice(chosen))) and chance.random() < 0.35:
            rival(draft, stated)
    return padded(draft, length)


def drill(chance: random.Random, *, plain: float = 0.8) -> Context:
    """Facts of one kind and nothing else, mostly in the answer's own words.

    Among distractors a network first learns what sort of word to answer; only here does it see why which one matters.
    """
    kind = chance.choice(kinds.ALL)
    told: dict[tuple[Kind, tuple[str, ...]], Fact] = {}
    shared = facts.fact(chance, kind).slots
    for _ in range(chance.randint(2, 7)):
        drawn = facts.fact(chance, kind)
        if len(kind.subject) > 1 and chance.random() < 0.5:
            slot = chance.choice(kind.subject)
            drawn = Fact(kind, drawn.slots | {slot: shared[slot]})
        if drawn.slots not in facts.FACT_SHEET:
            told.setdefault(drawn.about, drawn)
    said = [fact.answer() if chance.random() < plain else fact.statement(chance) for fact in told.values()]
    return Context((" ".join(said),), tuple(told.values()))


def rival(draft: Draft, stated: Fact) -> None:
    """Adds a fact that differs from the stated one in a single slot, such as a lamp of another colour."""
    drawn = facts.fact(draft.chance, stated.kind, held_out=draft.held_out)
    changed = draft.chance.choice(stated.kind.subject)
    twin = Fact(
        stated.kind, drawn.slots | {slot: stated.slots[slot] for slot in stated.kind.subject if slot != changed}
    )
    if twin.slots not in facts.FACT_SHEET and draft.accept(twin):
        draft.sentences.append(twin.statement(draft.chance))


def padded(draft: Draft, length: int) -> Context:
    chance = draft.chance
    while draft.length < length - 30:
        draft.ramble()
    chance.shuffle(draft.sentences)
    passages: list[str] = []
    rest = draft.sentences
    wanted = chance.randint(1, 5)
    while rest:
        size = len(rest) if len(passages) == 4 else min(6, chance.randint(1, 1 + 2 * len(draft.sentences) // wanted))
        passages.append(laid_out(chance, rest[:size]))
        rest = rest[size:]
    return Context(tuple(passages), tuple(draft.facts))


def laid_out(chance: random.Random, sentences: list[str]) -> str:
    """One passage: sentences in a row, seldom as a list or under a heading."""
    kind = chance.random()
    if kind < 0.05:
        return "\n".join(f"- {sentence}" for sentence in sentences)
    heading = f"# {chance.choice(prose.words()).capitalize()}\n" if kind < 0.09 else ""
    return heading + " ".join(sentences)


def question(chance: random.Random, context: Context) -> Question | None:
    """A question that exactly one fact of the context answers."""
    for _ in range(TRIES):
        fact = chance.choice(context.facts)
        template = chance.choice(fact.kind.questions)
        if found(context, fact.kind, template, fact.slots) == [fact]:
            return Question(facts.filled(template, fact.slots), fact.answer())
    return None


def unanswerable(chance: random.Random, context: Context, *, held_out: bool = False) -> Question | None:
    """A question that no fact answers: a near miss (one word of a stated fact changed, or another relation of the same
    person) three times out of four."""
    for _ in range(TRIES):
        near = chance.choice(context.facts)
        kind = near.kind if chance.random() < 0.6 else chance.choice(kinds.ALL)
        template = chance.choice(kind.questions)
        asked = facts.fields(template)
        slots = facts.fact(chance, kind, held_out=held_out).slots
        if chance.random() < 0.75:
            kept = asked & near.slots.keys()
            if kind is near.kind:
                kept -= {chance.choice(sorted(asked))}
            slots = slots | {slot: near.slots[slot] for slot in sorted(kept)}
        text = facts.filled(template, slots)
        if not found(context, kind, template, slots) and not touches(context, kind, text):
            return Question(text, REFUSAL, "refused")
    return None


def touches(context: Context, kind: Kind, text: str) -> bool:
    """Whether another fact could be taken for an answer, as "what does she have" for what belongs to her."""
    return any(
        other.kind is not kind and facts.filled(template, other.slots) == text
        for other in context.facts
        for template in other.kind.questions
        if facts.fields(template) <= other.slots.keys()
    )


def found(context: Context, kind: Kind, template: str, slots: facts.Slots) -> list[Fact]:
    return [fact for fact in context.facts if fact.kind is kind and fact.matches(template, slots)]
