"""Held-out questions: their names, and the prose around them, were never trained on."""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from . import contexts, documents
from .contexts import Context, Question

FILE = Path(__file__).with_name("heldout.jsonl")
# How many facts of the kind that is asked for stand in the context.
RIVALS = {"single": range(1, 2), "distractors": range(2, 5), "crowd": range(5, 20)}
KINDS = ("single", "distractors", "absent", "crowd")
FORMS = ("facts", "passages")
# Letters of the longest context: about 400 tokens.
LONGEST = 1150


@dataclass(frozen=True, slots=True)
class Probe:
    """A user's message, the only right answer, and where it is counted."""

    message: str
    answer: str
    kind: str
    form: str


def drawn(seed: int, count: int, kinds: Sequence[str] = KINDS) -> list[Probe]:
    """`count` probes of every kind and form, with contexts of all lengths."""
    chance = random.Random(seed)
    found: list[Probe] = []
    for kind in kinds:
        for form in FORMS:
            endless = attempts(chance, kind, form)
            found += [next(endless) for _ in range(count)]
    return found


def attempts(chance: random.Random, kind: str, form: str) -> Iterator[Probe]:
    while True:
        crowded = kind in ("distractors", "crowd") or (kind == "absent" and chance.random() < 0.5)
        make = contexts.competing if crowded else contexts.few
        context = make(chance, chance.randint(0, LONGEST), held_out=True)
        if len(documents.opening(chance, context, platform=False)) > LONGEST + 60:
            continue
        if one := asked(chance, context, kind):
            yield Probe(message(chance, context, one, platform=form == "passages"), one.answer, kind, form)


def asked(chance: random.Random, context: Context, kind: str) -> Question | None:
    """A question of this kind, if the context allows one."""
    if kind == "absent":
        return contexts.unanswerable(chance, context, held_out=True)
    one = contexts.question(chance, context)
    if one is None:
        return None
    own = next(fact for fact in context.facts if fact.answer() == one.answer)
    return one if sum(fact.kind is own.kind for fact in context.facts) in RIVALS[kind] else None


def message(chance: random.Random, context: Context, one: Question, *, platform: bool) -> str:
    gap = "\n" if platform else ""
    opened = documents.opening(chance, context, platform=platform).removeprefix("User: ")
    return f"{opened}{gap}Question: {one.text}"


def write(file: Path, probes: list[Probe]) -> None:
    file.write_text("".join(json.dumps(asdict(probe), ensure_ascii=False) + "\n" for probe in probes))


def read(file: Path = FILE) -> list[Probe]:
    return [Probe(**json.loads(line)) for line in file.read_text().splitlines()]
