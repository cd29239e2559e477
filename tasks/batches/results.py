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
from tasks.batches.counting import Counting
from tasks.files import files
from tasks.files.stores import Stores
from tasks.keys import Caller

AT_ONCE, AT_ONCE_BYTES = 50, 256 * 1024  # as they are kept: read, they may be many times as large


@dataclass(frozen=True, slots=True)
class Result:
    """A line that has ended, under its number from 1 on."""

    number: int
    line: LineAnswer


def look(session: Session, caller: Caller, batch_id: uuid.UUID, counting: Counting) -> BatchView:
    """The batch, once what had ended short ago has its number: of one that has ended, all that will. Raises
    `NotFound`."""
    batch = batches.get(session, caller, batch_id, counting)
    if batch.ended_at is not None:
        table.number_ends(session, batch_id, waits=True)
    else:
        counting.seldom(batch_id, lambda: table.number_ends(session, batch_id, waits=False))
    return batch


def page(session: Session, batch_id: uuid.UUID, after: int, limit: int) -> list[Result]:
    """Results of a batch that the caller has looked at, after that number: at most `limit`, and a few at a time:
    there are more unless it is empty."""
    found = table.page(session, batch_id, after, min(limit, AT_ONCE), AT_ONCE_BYTES)
    made = answers.vectors_of(session, [line for _, line in found])
    return [Result(number, answers.of(batch_id, line, made)) for number, line in found]


def unrun(stores: Stores, caller: Caller, batch: BatchView, after: int) -> Iterator[tuple[int, bytes]]:
    """Of a batch that has ended, the lines after that number which never became jobs, each with its number and as the
    error file has it. They come last, as they do there."""
    if batch.error_file_id is None:
        return
    with stores.transactions.begin() as session:
        told = batches_table.counts(session, [batch.id]).get(batch.id, [])
        made = batches_table.written(session, batch.id)
        left_out = batches_table.left_out(session, batch.id)
    if made >= batch.counts.total or after < made:
        return
    failed = left_out + sum(number for status, number, _ in told if status != "succeeded")
    try:
        content = files.content(stores, caller, batch.error_file_id)
        for number, line in enumerate(islice(lines.of(content.read()), failed + after - made, None), after + 1):
            if line.raw is not None:
                yield number, line.raw + b"\n"
    except errors.NotFound:
        return
