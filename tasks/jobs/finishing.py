"""How an attempt ends its job: with an outcome, by one statement where nobody else is concerned."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db import line
from db import vectors as vectors_table
from db.jobs import Job, JobOutput
from db.session import Row, alone, within
from tasks import errors, ids, strictjson
from tasks.jobs import fence, lifecycle, settlement, view
from tasks.jobs.jobs import stored_transcript
from tasks.jobs.outcomes import Outcome
from tasks.jobs.settlement import Closing, End
from tasks.streams.transcript import Transcript


@dataclass(frozen=True, slots=True)
class Finish:
    """How an attempt ends its job, and with what stream. `first_token_s` as for `attempts.checkpoint`."""

    job_id: uuid.UUID
    attempt: int
    so_far: Transcript
    outcome: Outcome
    first_token_s: float | None = None

    def values(self) -> dict[str, Any]:
        """What `line.finish` writes. Raises `ValueError` for a result that isn't JSON."""
        outcome, vectors, spent = self.outcome, self.outcome.vectors, self.outcome.spent
        code, message = outcome.error or (None, None)
        done, total = outcome.progress or (spent.prompt, spent.prompt)
        entries, token_ids = self.so_far.stored()
        return {
            "id": self.job_id,
            "attempt": self.attempt,
            "status": outcome.status.value,
            "done": done,
            "total": total,
            "prompt": spent.prompt,
            "completion": spent.completion,
            "embedding": spent.embedding,
            "cached": spent.cached,
            "code": code,
            "message": message,
            "first_token_s": self.first_token_s,
            "entries": strictjson.dumps(entries),
            "token_ids": "{" + ",".join(map(str, token_ids)) + "}",
            "result": None if outcome.result is None else strictjson.dumps(outcome.result),
            "dimensions": None if vectors is None else vectors.shape[1],
            "vectors": None if vectors is None else vectors_table.as_bytes(vectors),
        }


def finish(session: Session, end: Finish) -> Closing:
    """Writes the end of an attempt and its job with what it spent, and tells whom it concerns, in this transaction.

    Raises `Fenced` when the attempt may not write any more, and as `Finish.values`.
    """
    rows = line.finish(within(session), [end.values()], untold=False)
    if not rows:
        raise errors.Fenced(f"attempt {end.attempt} of {ids.show(end.job_id)} is over")
    [closing] = settlement.tell(session, [End(_job(rows[0]), end.so_far, end.outcome.result)])
    return closing


def finish_untold(session: Session, ends: Sequence[Finish]) -> list[Closing | None]:
    """Writes the ends of those of these attempts of whose jobs' ends nobody is to be told; None for each other.

    One statement, committed when it returns, whatever becomes of the session. Raises as `Finish.values`.
    """
    rows = line.finish(alone(session), [end.values() for end in ends], untold=True)
    ended = {(row["id"], row["attempt"]): _job(row) for row in rows}

    def closing(end: Finish) -> Closing | None:
        job = ended.get((end.job_id, end.attempt))
        return Closing(view.of(job, end.outcome.result), len(end.so_far.entries)) if job else None

    return [closing(end) for end in ends]


def _job(row: Row) -> Job:
    """The row as an object that no session knows."""
    return Job(**{"labels" if name == "metadata" else name: value for name, value in row.items()})


def end_of(session: Session, job_id: uuid.UUID, attempt: int) -> Closing | None:
    """The ended job, if this attempt ended it: asked after a commit whose answer was lost.

    Cancel, expiry and deadline end a job under the next attempt number, so they never match (docs/adr/0010).
    """
    query = select(Job, JobOutput).outerjoin(JobOutput, JobOutput.job_id == Job.id)
    row = session.execute(query.where(*fence.fenced(job_id, attempt))).one_or_none()
    if row is None or row[0].status not in lifecycle.TERMINAL:
        return None
    return Closing(view.with_output(row[0], row[1]), len(stored_transcript(row[1]).entries))
