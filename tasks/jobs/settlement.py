"""What every end of a job does, in the transaction that ends it."""

from sqlalchemy.orm import Session

from db import jobs as jobs_table
from db import ledger, vectors
from db.jobs import Job
from tasks.jobs import view
from tasks.jobs.outcomes import Outcome
from tasks.jobs.view import JobView
from tasks.streams.transcript import Transcript
from tasks.webhooks import deliveries


def conclude(session: Session, job: Job, so_far: Transcript, outcome: Outcome) -> JobView:
    """Keeps output and usage of a job that this transaction has just ended, and whom to tell of it."""
    entries, token_ids = so_far.stored()
    jobs_table.save_output(session, job.id, entries=entries, token_ids=token_ids, result=outcome.result)
    if outcome.vectors is not None:
        vectors.save(session, job.id, outcome.vectors)
    ledger.enter(session, [job.id])
    ended = view.of(job, outcome.result)
    deliveries.note_end(session, job, ended)
    session.flush()
    return ended
