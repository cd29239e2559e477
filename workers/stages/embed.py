"""The stage of an embed job: one vector for each of its texts."""

import itertools

from tasks import ids
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Outcome
from tasks.kinds import KINDS
from tasks.kinds.embed import Embedding
from tasks.limits.spent import Spent
from workers.attempt import Attempt
from workers.publisher import Publisher
from workers.slot import Slot
from workers.stages import tokens
from workers.stages.progress import Reporter


def embed(slot: Slot, attempt: Attempt, publisher: Publisher) -> Outcome:
    """The vectors of all texts. Raises `ContextLengthExceeded` naming the text, and what the batcher raises."""
    asked: Embedding = KINDS[attempt.claim.type].parse(attempt.claim.asked)
    reporter = Reporter(attempt, publisher, slot.worker_id)
    texts = tokens.fitting(slot.batcher, attempt, asked.texts, asked.role)
    count, spent = len(texts), [0, *itertools.accumulate(map(len, texts))]

    def heard(done: int) -> None:
        reporter.report(done, count, spent[done])

    urgent = asked.role == "query"  # a search waits
    vectors = slot.batcher.embed(texts, attempt.check, heard, attempt.claim.tenant_id, urgent=urgent)
    link = f"/v1/jobs/{ids.show(attempt.claim.job_id)}"
    result = {"count": count, "dimensions": vectors.shape[1], "link": link}
    return Outcome(Status.SUCCEEDED, Spent(spent[-1]), result, progress=(count, count), vectors=vectors)
