"""Whether what an earlier attempt told may be lost, as the next one says it."""

import pytest

from db.session import Sessions
from tasks.jobs import attempts
from tasks.jobs.outcomes import Onward
from tasks.keys import Caller
from tasks.streams import stream
from tasks.streams.events import Resumed, Started
from tasks.streams.transcript import Transcript
from tests import tables
from tests.support import entries
from tests.workers.dispatched import dispatched
from workers import run
from workers.worker import Worker


@pytest.mark.parametrize(
    ("emptied", "how"), [(False, "lost"), (True, "lost"), (True, "taken"), (True, "handed_back"), (True, "passed_on")]
)
def test_attempt_says_whether_words_may_be_lost(
    sessions: Sessions, caller: Caller, worker: Worker, emptied: bool, how: str
) -> None:
    """They are where Redis was emptied, and a worker was lost or silent, which had told more than it had kept."""
    job_id = dispatched(sessions, caller)
    claim = tables.claim(sessions, job_id, queue=worker.queue)
    assert claim is not None
    first = Transcript()
    writer = stream.Writer(worker.client, job_id, claim.attempt, 60)
    writer.open([first.add(entries.started()), first.add(entries.said("one ", 1), (1,))])
    with sessions.begin() as session:
        if how == "handed_back":
            assert attempts.release(session, job_id, claim.attempt, first)
        else:
            tables.lose(session, job_id, crashes=1)
    if how == "taken":
        with sessions.begin() as session:
            assert attempts.forgive(session, "w1") == 1
    if how == "passed_on":
        again = tables.claim(sessions, job_id, queue=worker.queue)
        assert again is not None
        assert again.after_loss
        with sessions.begin() as session:
            assert attempts.advance(session, job_id, again.attempt, first, Onward(again.stage, worker.queue))
    if how in ("handed_back", "passed_on"):
        tables.dispatch(sessions, job_id)
    if emptied:
        worker.client.flushall()
    run.run(worker, job_id)
    [told] = [
        streamed.entry.event
        for streamed in stream.read(worker.client, job_id)
        if isinstance(streamed.entry.event, Started | Resumed) and streamed.entry.event.attempt > 1
    ]
    assert told.lost is (emptied and how in ("lost", "taken"))
