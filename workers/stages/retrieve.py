"""The stage of a question over documents that finds the passages that may hold its answer."""

from tasks import errors
from tasks.documents import filters, questions, ranking, reranking
from tasks.documents.ranking import Passage
from tasks.jobs import stages
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Onward, Outcome
from tasks.kinds import KINDS, rag
from tasks.kinds.rag import Question
from tasks.limits.spent import Spent
from tasks.streams import events
from workers.attempt import Attempt
from workers.batcher import Tokens
from workers.publisher import Publisher
from workers.slot import Slot
from workers.stages import tokens


def retrieve(slot: Slot, attempt: Attempt, publisher: Publisher) -> Onward | Outcome:
    """The passages for a question, handed to the model that answers; where none passes, the answer that says so.

    Where they are to be reranked, they go there first. Where the collection has got another model, the job goes on by
    that. Raises `CollectionGone`.
    """
    claim = attempt.claim
    asked: Question = KINDS[claim.type].parse(claim.asked)
    question = (claim.stage_input or {}).get("question", asked.question)
    question, read = _read(slot, attempt, question, asked.question)
    spent = Spent(embedding=len(read))
    # What an earlier attempt has told stays said, whatever would be found now.
    try:
        found = [] if publisher.transcript.text else _found(slot, attempt, asked, question, read)
    except errors.CollectionSwitched as switched:
        return Onward(claim.stage, switched.model, dict(claim.stage_input or {}), spent=spent)
    if not found:
        text = publisher.transcript.text or questions.nothing_found(asked.question)
        _tell(slot, attempt, publisher, question, text)
        return Outcome(Status.SUCCEEDED, spent, rag.nothing(question, text))
    handed = {"passages": [passage.as_json() for passage in found], "question": question}
    if asked.rerank:
        return Onward(stages.RERANK_PASSAGES, str(asked.rerank), handed, spent)
    return Onward(stages.GENERATE, claim.model, handed, spent=spent)


def _read(slot: Slot, attempt: Attempt, made: str, asked: str) -> tuple[str, Tokens]:
    """What is looked for, and that as the model reads it: what was made of the question, unless that is too long."""
    read = tokens.of(slot.batcher, attempt, [made], "query")[0]
    if len(read) <= slot.batcher.context:
        return made, read
    return asked, tokens.fitting(slot.batcher, attempt, [asked], "query")[0]


def _found(slot: Slot, attempt: Attempt, asked: Question, question: str, read: Tokens) -> list[Passage]:
    claim = attempt.claim
    vector = slot.batcher.embed([read], attempt.check, tenant_id=claim.tenant_id, urgent=True)[0]
    try:
        with slot.sessions.begin() as session:
            return ranking.search(
                session,
                claim.tenant_id,
                asked.collection,
                question,
                vector,
                model=slot.queue,
                top_k=reranking.candidates(asked.top_k) if asked.rerank else asked.top_k,
                threshold=rag.THRESHOLD if asked.threshold is None else asked.threshold,
                filter=filters.parse(asked.filter) if asked.filter else None,
                neighbours=asked.neighbours,
            )
    except errors.NotFound as error:
        raise errors.CollectionGone(str(error)) from error


def _tell(slot: Slot, attempt: Attempt, publisher: Publisher, question: str, text: str) -> None:
    """The events of an answer that no model has given; once, whichever attempt comes so far."""
    transcript = publisher.transcript
    if transcript.entries:
        transcript.add(events.Resumed(attempt.claim.attempt, attempt.lost))
    else:
        transcript.add(events.Started(attempt.claim.attempt, slot.worker_id, lost=attempt.lost))
        transcript.add(events.Question(question))
        transcript.add(events.Passages([]))
        transcript.add(events.Delta(text))
    publisher.flush()
