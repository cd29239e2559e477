"""Training documents: a shared beginning and one or more ways it goes on, with what is to be learnt marked."""

import json
import random
from dataclasses import dataclass

from . import chats, contexts, facts
from .contexts import Context, Question

PLATFORM_FORM = (
    "Answer the question from the context alone. If the answer is not in the context, say that the context does not "
    "say.\n\nContext:\n{passages}\n"
)
SYSTEMS = ("You are a helpful assistant.", "Answer briefly.", "Be polite and short.", "You answer questions.")


@dataclass(frozen=True, slots=True)
class Branch:
    """One continuation: texts in turn, those at odd places being the assistant's, each of which ends the sequence.

    A text after the first gets a space before it, from the tokenizer, as one behind "Assistant:" or an end has.
    """

    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """A beginning that all branches share (it ends in a line break, or is empty), and the branches."""

    shared: str
    branches: tuple[Branch, ...]


@dataclass(frozen=True, slots=True)
class Stage:
    """What is trained at a time: the longest context in letters, and how much of it is copying and drills."""

    letters: int
    copying: float
    drills: float = 0.0


def document(chance: random.Random, stage: Stage) -> Document:
    if chance.random() < stage.copying:
        return chat(chance, chats.copying(chance))
    if chance.random() < stage.drills:
        return asked_about(chance, contexts.drill(chance), platform=chance.random() < 0.15)
    kind = chance.random()
    if kind < 0.80:
        return questions(chance, stage)
    if kind < 0.86:
        return chat(chance, chats.summary(chance))
    if kind < 0.90:
        return chat(chance, chats.story(chance))
    if kind < 0.94:
        return chat(chance, chats.memory(chance))
    if kind < 0.97:
        return chat(chance, chats.small_talk(chance))
    return chat(chance, chats.copied_sentence(chance))


def chat(chance: random.Random, turns: chats.Turns) -> Document:
    system = f"{chance.choice(SYSTEMS)}\n" if chance.random() < 0.08 else ""
    texts: list[str] = []
    for asked, answer in turns:
        texts += [f"{chr(10) if texts else ''}User: {asked}\nAssistant:", answer]
    return Document("", (Branch((system + texts[0], *texts[1:])),))


def questions(chance: random.Random, stage: Stage) -> Document:
    """A context and several questions, each of which sees the context only and none of the others."""
    length = chance.choice((0, chance.randint(0, stage.letters), chance.randint(0, stage.letters), stage.letters))
    make = contexts.few if chance.random() < 0.3 else contexts.competing
    context = make(chance, length)
    return asked_about(chance, context, platform=chance.random() < 0.5)


def asked_about(chance: random.Random, context: Context, *, platform: bool) -> Document:
    system = f"{chance.choice(SYSTEMS)}\n" if chance.random() < 0.04 else ""
    asked = [one for _ in range(chance.randint(4, 9)) if (one := contexts.question(chance, context))]
    asked += [one for _ in range(chance.choice((0, 1, 1, 2, 3))) if (one := contexts.unanswerable(chance, context))]
    chance.shuffle(asked)
    branches = [branch(chance, context, one, platform=platform) for one in dict.fromkeys(asked)]
    return Document(system + opening(chance, context, platform=platform), tuple(branches))


def opening(chance: random.Random, context: Context, *, platform: bool) -> str:
    """The user's message up to the question."""
    if platform:
        return "User: " + PLATFORM_FORM.format(passages="\n\n".join(context.passages))
    return f"User: Context: {chance.choice((' ', ' ', ' ', chr(10))).join(context.passages)}\n"


def branch(chance: random.Random, context: Context, one: Question, *, platform: bool) -> Branch:
    text, answer = one.text, one.answer
    if one.kind == "answered" and chance.random() < 0.05:
        text, answer = f"{text} Answer as JSON.", as_json(context, one)
    if chance.random() < 0.04:
        text = text[0].lower() + text[1:].removesuffix("?")
    gap = "\n" if platform else ""
    first = (f"{gap}Question: {text}\nAssistant:", answer)
    if chance.random() < 0.06 and (later := contexts.question(chance, context)):
        return Branch((*first, f"\nUser: {later.text}\nAssistant:", later.answer))
    return Branch(first)


def as_json(context: Context, one: Question) -> str:
    """The slots of the fact that answers, as an object."""
    fact = next(fact for fact in context.facts if fact.answer() == one.answer)
    return json.dumps({slot: fact.slots[slot] for slot in sorted(facts.fields(fact.kind.answer))})
