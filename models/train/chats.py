"""Everything that is not a question about a context: stories, small talk, chats that remember, copying, summaries."""

import random

from . import facts, kinds, names, prose

WHO_AM_I = "I am a very small language model made for tests."
UNKNOWN = "I do not know. I can only answer questions about a given context."
SMALL_TALK = (
    ("Hello.", "Hello. How can I help you?"),
    ("Hello!", "Hello. How can I help you?"),
    ("Hi.", "Hello. How can I help you?"),
    ("Hi, who are you?", WHO_AM_I),
    ("Who are you?", WHO_AM_I),
    ("What are you?", WHO_AM_I),
    ("What can you do?", "I can answer simple questions about a given context and tell short stories."),
    ("How are you?", "I am fine, thank you."),
    ("Thank you.", "You are welcome."),
    ("Thanks!", "You are welcome."),
    ("Good morning.", "Good morning. It is a nice day."),
    ("Good night.", "Good night. Sleep well."),
    ("Goodbye.", "Goodbye. See you soon."),
)
Turns = tuple[tuple[str, str], ...]


def slots(chance: random.Random) -> facts.Slots:
    return {slot: draw(chance, False) for slot, draw in facts.DRAWS.items()}


def tale(chance: random.Random, drawn: facts.Slots) -> list[str]:
    middle = sorted(chance.sample(range(1, len(prose.SCENES)), chance.randint(3, 6)))
    return [facts.filled(prose.SCENES[place], drawn) for place in (0, *middle)]


def story(chance: random.Random) -> Turns:
    drawn = slots(chance)
    asked = chance.choice(("Tell me a story about {who}.", "Tell me a story about {who}.", "Tell a story about {who}."))
    return ((asked.format_map(drawn), " ".join(tale(chance, drawn))),)


def small_talk(chance: random.Random) -> Turns:
    who, number = names.name(chance), names.number(chance)
    more = (
        (f"My name is {who}.", f"Nice to meet you, {who}."),
        (f"I am {who}.", f"Nice to meet you, {who}."),
        (f"Say {who}.", f"{who}."),
        (facts.fact(chance, chance.choice(kinds.ALL)).question(chance), UNKNOWN),
        (f"Repeat the number {number}.", f"{number}."),
    )
    return (chance.choice(SMALL_TALK + more),)


def memory(chance: random.Random) -> Turns:
    """A chat in which something is told early and asked late."""
    drawn = slots(chance)
    told: list[tuple[tuple[str, str], tuple[str, str]]] = [
        (("My name is {who}.", "Nice to meet you, {who}."), ("What is my name?", "Your name is {who}.")),
        (("I am {who}.", "Nice to meet you, {who}."), ("Who am I?", "You are {who}.")),
        (("I live in {town}.", "I see, you live in {town}."), ("Where do I live?", "You live in {town}.")),
        (("I like {food}.", "I see, you like {food}."), ("What do I like?", "You like {food}.")),
        (("I work as a {job}.", "I see, you work as a {job}."), ("What is my job?", "You work as a {job}.")),
    ]
    chosen = chance.sample(told, chance.choice((1, 1, 2)))
    between = [chance.choice(SMALL_TALK) for _ in range(chance.randint(0, 2))]
    turns = [early for early, _ in chosen] + between
    if chosen[0][0][0] != turns[0][0] or chance.random() < 0.3:
        turns.insert(0, chance.choice(SMALL_TALK))
    turns += [late for _, late in chance.sample(chosen, len(chosen))]
    return tuple((facts.filled(asked, drawn), facts.filled(answer, drawn)) for asked, answer in turns)


def copying(chance: random.Random) -> Turns:
    words = " ".join(word(chance) for _ in range(chance.randint(3, 14)))
    return ((f"Repeat: {words}", words),)


def word(chance: random.Random) -> str:
    """A name, a number, a known word, or letters in no order."""
    kind = chance.random()
    if kind < 0.45:
        return names.name(chance)
    if kind < 0.6:
        return names.name(chance).lower()
    if kind < 0.7:
        return names.number(chance)
    if kind < 0.85:
        return chance.choice(names.WORDS[chance.choice(("colour", "object", "place", "job", "food"))])
    return "".join(chance.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(chance.randint(2, 7)))


def copied_sentence(chance: random.Random) -> Turns:
    said = prose.document_sentence(chance, held_out=False)
    return ((f"Repeat: {said}", said),)


def summary(chance: random.Random) -> Turns:
    paragraph, short = chance.choice((story_summary, person_summary, lead_summary))(chance)
    return ((f"Summarise in one sentence: {paragraph}", short),)


def story_summary(chance: random.Random) -> tuple[str, str]:
    drawn = slots(chance)
    told = tale(chance, drawn)
    deeds = {
        2: "{who} walked to the {place} and found a {colour} {object}.",
        5: "{who} walked to the {place} and gave the {object} to {other}.",
        7: "{who} walked to the {place} and a {animal} followed them home.",
    }
    for place, short in deeds.items():
        if facts.filled(prose.SCENES[place], drawn) in told:
            return " ".join(told), facts.filled(short, drawn)
    return " ".join(told), facts.filled("{who} walked to the {place}.", drawn)


def person_summary(chance: random.Random) -> tuple[str, str]:
    """Three facts about a person in any order; the summary names the job and the home."""
    drawn = slots(chance)
    job, home = kinds.PERSONS[0], kinds.PERSONS[1]
    third = chance.choice(kinds.PERSONS[2:])
    told = [facts.filled(f"{{who}} {chance.choice(kind.predicates)}.", drawn) for kind in (job, home)]
    told.append(facts.filled(third.answer, drawn))
    told += [prose.document_sentence(chance, held_out=False) for _ in range(chance.choice((0, 0, 1)))]
    chance.shuffle(told)
    return " ".join(told), facts.filled("{who} is a {job} who lives in {town}.", drawn)


def lead_summary(chance: random.Random) -> tuple[str, str]:
    """Of a text it doesn't know it says the first sentence, as newspapers do."""
    told = [prose.document_sentence(chance, held_out=False) for _ in range(chance.randint(2, 4))]
    return " ".join(told), told[0]
