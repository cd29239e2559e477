"""The first stage of a question over documents: the passages that may hold its answer."""

from tasks import errors
from tasks.documents import ranking, reranking
from tasks.jobs import stages
from tasks.jobs.outcomes import Onward
from tasks.kinds import KINDS
from tasks.kinds.rag import Question
from tasks.limits.spent import Spent
from workers.attempt import Attempt
from workers.publisher import Publisher
from workers.slot import Slot
from workers.stages import tokens


def retrieve(slot: Slot, attempt: Attempt, publisher: Publisher) -> Onward:  # noqa: ARG001 nothing to tell yet
    """The passages for a question, handed to the model that answers. Where the collection has got another model, the
    job goes on there. Raises `CollectionGone`."""
    claim = attempt.claim
    asked: Question = KINDS[claim.type].parse(claim.asked)
    read = tokens.fitting(slot.batcher, attempt, [asked.question], "query")
    vector = slot.batcher.embed(read, attempt.check, tenant_id=claim.tenant_id)[0]
    try:
        with slot.sessions.begin() as session:
            found = ranking.search(
                session,
                claim.tenant_id,
                asked.collection,
                asked.question,
                vector,
                model=slot.queue,
                top_k=reranking.candidates(asked.top_k) if asked.rerank else asked.top_k,
            )
    except errors.CollectionSwitched as switched:
        return Onward(claim.stage, switched.model, spent=Spent(embedding=len(read[0])))
    except errors.NotFound as error:
        raise errors.CollectionGone(str(error)) from error
    handed = {"passages": [passage.as_json() for passage in found]}
    spent = Spent(embedding=len(read[0]))
    if asked.rerank and found:
        return Onward(stages.RERANK_PASSAGES, str(asked.rerank), handed, spent)
    return Onward(stages.GENERATE, claim.model, handed, spent)
