"""About what a summary takes, from nothing but the sizes of its documents.

Every function takes a session and never commits.
"""

import math
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from db import summaries
from db.documents import chosen
from db.scope import scope
from tasks.documents.ingest import NewDocument
from tasks.keys import Caller
from tasks.models.catalog import Model
from tasks.summaries import choice, prompts
from tasks.summaries.manner import Manner
from tasks.summaries.prompts import Purpose

_CHARACTERS_A_TOKEN = 3.0  # of small vocabularies, and of most languages; of English with a large one 4
_BYTES_A_CHARACTER = {"pdf": 10.0, "html": 3.0}  # of a file, for each character of the text in it; of others 1
_SAID = 0.6  # of the tokens that an answer may have


@dataclass(frozen=True, slots=True)
class Estimate:
    """`levels` has the steps of each level of the trees together; `seconds` is None where the model did nothing lately.

    The last step of a document is its own job's, so there are as many jobs as other steps, and one for each document
    and for the whole.
    """

    model: str
    documents: int
    levels: tuple[int, ...]
    prompt_tokens: int
    completion_tokens: int
    seconds: float | None

    @property
    def jobs(self) -> int:
        return 1 + sum(self.levels)


@dataclass(frozen=True, slots=True)
class _Shape:
    """Tokens, of one model and manner: its context, what is asked beside the texts of a note and of the last step, what
    a note and the summary may have.

    `told` says that the model does as it is told, as far as the catalogue knows.
    """

    context: int
    asked: int
    asked_last: int
    note: int
    last: int
    told: bool

    @classmethod
    def of(cls, model: Model, manner: Manner) -> "_Shape":
        told = "chat" in model.types and model.template is None
        asked, asked_last = (
            math.ceil(len(prompts.put(manner, purpose, [""], None, model.context, told).text) / _CHARACTERS_A_TOKEN)
            for purpose in (Purpose("part", last=False), Purpose("whole", last=True))
        )
        note, last = prompts.notes_tokens(model.context), prompts.most_tokens(manner, model.context)
        return cls(model.context, asked, asked_last, note, last, told)

    def holds(self, tokens: float, *, own: bool) -> bool:
        """Whether one prompt holds so much, of the document's own text or of notes."""
        short = not own or prompts.is_short(math.ceil(tokens), told=self.told)
        return short and tokens + self.asked_last + self.last <= self.context

    def parts(self, tokens: float) -> int:
        """How many parts a document's own text is cut into."""
        room = self.context - self.note - self.asked
        return math.ceil(tokens / max(1, min(prompts.part_tokens(told=self.told), room)))

    def groups(self, tokens: float) -> int:
        """How many prompts so much of notes goes into, as `tree.groups` ends them: by their content, or their size."""
        budget = self.context - self.note - self.asked
        notes, most = tokens / (self.note * _SAID), max(2, int(budget / (self.note * _SAID)))
        ends = 1 / max(1, budget // self.note // 2)
        usual = 1 + sum((1 - ends) ** further for further in range(most - 1))
        return math.ceil(notes / usual)


def sizes(
    session: Session,
    caller: Caller,
    documents: Sequence[uuid.UUID],
    collection: str | None,
    new: Sequence[NewDocument],
) -> list[int]:
    """The characters that each document has, as far as that can be told. Raises `InvalidField`."""
    if collection is not None:
        documents = choice.of_collection(session, caller, collection)
    elif documents:
        choice.check(session, caller, documents)
    if not documents:
        return [_size(each) for each in new]
    with scope(session, caller.tenant_id):
        return chosen.sizes(session, caller.tenant_id, documents)


def of(session: Session, model: Model, manner: Manner, sizes: Sequence[int], *, combine: bool) -> Estimate:
    levels = Counter[int]()
    tokens_in = tokens_out = 0.0
    trees = [math.ceil(size / _CHARACTERS_A_TOKEN) for size in sizes]
    shape = _Shape.of(model, manner)
    for number, tokens in enumerate([*trees, len(sizes) * shape.last * _SAID] if combine else trees):
        own = number < len(trees)
        level = 0 if own else 1
        while not shape.holds(tokens, own=own):
            steps = shape.parts(tokens) if own else shape.groups(tokens)
            if steps * shape.note * _SAID >= tokens:  # a context that is too small for summaries: they would fail
                break
            levels[level] += steps
            tokens_in += tokens + steps * shape.asked
            tokens, level, own = steps * shape.note * _SAID, level + 1, False
            tokens_out += tokens
        levels[level] += 1
        tokens_in += tokens + shape.asked_last
        tokens_out += shape.last * _SAID
    rate = summaries.tokens_a_second(session, model.name)
    seconds = round((tokens_in + tokens_out) / (rate * max(1, model.slots - 1)), 1) if rate else None
    steps_of = tuple(levels[level] for level in range(max(levels, default=-1) + 1))
    return Estimate(model.name, len(sizes), steps_of, round(tokens_in), round(tokens_out), seconds)


def _size(new: NewDocument) -> int:
    if new.raw is None:
        return len(new.text or "")
    return round(len(new.raw) / _BYTES_A_CHARACTER.get(new.kind, 1.0))
