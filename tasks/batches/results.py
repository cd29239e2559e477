"""What a batch's lines came to, in the order in which they did: told while others run, and as long as they are kept."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from sqlalchemy.orm import Session

from db import batch_results as table
from db import batches as batches_table
from tasks import errors
from tasks.batches import answers, batches, lines
from tasks.batches.answers import LineAnswer
from tasks.batches.batches import BatchView
from tasks.files import files
from tasks.files.stores import Stores
from tasks.keys import Caller

AT_ONCE = 20  # a line may have as much as a body
NEVER = 2**31 - 1  # no batch has so many results


@dataclass(frozen=True, slots=True)
class Result:
    """A line that has ended, under its number from 1 on."""

    number: int
    line: LineAnswer


@dataclass(frozen=True, slots=True)
class Look:
    """The batch, and some results after a number: those that there were when it was so."""

    batch: BatchView
    results: list[Result]


def look(session: Session, caller: Caller, batch_id: uuid.UUID, after: int, limit: int = AT_ONCE) -> Look:
    """Raises `NotFound`."""
    batch = batches.get(session, caller, batch_id)  # before its results, so that none comes after its end
    table.number_ends(session, batch_id)
    found = table.page(session, batch_id, after, min(limit, AT_ONCE))
    made = answers.vectors_of(session, [line for _, line in found])
    return Look(batch, [Result(number, answers.of(batch_id, line, made)) for number, line in found])


def unrun(stores: Stores, caller: Caller, batch: BatchView, after: int) -> Iterator[tuple[int, bytes]]:
    """Of a batch that has ended, the lines after that number which never became jobs, each with its number and as the
    error file has it. They come last, as they do there."""
    if batch.error_file_id is None:
        return
    with stores.transactions.begin() as session:
        told = batches_table.counts(session, [batch.id]).get(batch.id, [])
        made = batches_table.written(session, batch.id)
    if made >= batch.counts.total or after < made:
        return
    failed = sum(number for status, number, _ in told if status != "succeeded")
    try:
        content = files.content(stores, caller, batch.error_file_id)
        for number, line in enumerate(islice(lines.of(content.read()), failed + after - made, None), after + 1):
            if line.raw is not None:
                yield number, line.raw + b"\n"
    except errors.NotFound:
        return
