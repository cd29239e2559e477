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

_CHARACTERS_A_TOKEN = 4.0
_BYTES_A_CHARACTER = {"pdf": 10.0, "html": 3.0}  # of a file, for each character of the text in it; of others 1
_ASKED_TOKENS = 110  # what is asked beside the text
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
    note = prompts.notes_tokens(model.context)
    last = prompts.most_tokens(manner, model.context)
    room = max(1, model.context - last - _ASKED_TOKENS)
    part = max(1, model.context - note - _ASKED_TOKENS)
    trees = [math.ceil(size / _CHARACTERS_A_TOKEN) for size in sizes]
    for number, tokens in enumerate([*trees, len(sizes) * last * _SAID] if combine else trees):
        level, size = (0, part) if number < len(trees) else (1, room)
        while tokens > room:
            steps = math.ceil(tokens / size)
            if steps * note * _SAID >= tokens:  # a context that is too small for summaries: they would fail
                break
            levels[level] += steps
            tokens_in += tokens + steps * _ASKED_TOKENS
            tokens, level, size = steps * note * _SAID, level + 1, room
            tokens_out += tokens
        levels[level] += 1
        tokens_in += tokens + _ASKED_TOKENS
        tokens_out += last * _SAID
    rate = summaries.tokens_a_second(session, model.name)
    seconds = round((tokens_in + tokens_out) / (rate * max(1, model.slots - 1)), 1) if rate else None
    steps_of = tuple(levels[level] for level in range(max(levels, default=-1) + 1))
    return Estimate(model.name, len(sizes), steps_of, round(tokens_in), round(tokens_out), seconds)


def _size(new: NewDocument) -> int:
    if new.raw is None:
        return len(new.text or "")
    return round(len(new.raw) / _BYTES_A_CHARACTER.get(new.kind, 1.0))
