"""The first stage of a question over documents: the passages that may hold its answer."""

from tasks import errors
from tasks.documents import questions, ranking
from tasks.jobs import stages
from tasks.jobs.outcomes import Onward
from tasks.limits.spent import Spent
from workers.attempt import Attempt
from workers.publisher import Publisher
from workers.slot import Slot
from workers.stages import tokens


def retrieve(slot: Slot, attempt: Attempt, publisher: Publisher) -> Onward:  # noqa: ARG001 nothing to tell yet
    """The passages for a question, handed to the model that answers. Raises `CollectionGone`."""
    claim = attempt.claim
    question, name = claim.input["question"], claim.input["collection"]
    asked = tokens.fitting(slot.batcher, attempt, [question])
    vector = slot.batcher.embed(asked, attempt.check, tenant_id=claim.tenant_id)[0]
    top_k = claim.input.get("top_k", questions.TOP_K)
    try:
        with slot.sessions.begin() as session:
            found = ranking.search(session, claim.tenant_id, name, question, vector, model=slot.queue, top_k=top_k)
    except errors.NotFound as error:
        raise errors.CollectionGone(str(error)) from error
    handed = {"passages": [passage.as_json() for passage in found]}
    return Onward(stages.GENERATE, claim.model, handed, spent=Spent(embedding=len(asked[0])))
