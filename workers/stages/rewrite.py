"""The first stage of a question that follows a conversation: what is looked for instead."""

from tasks import errors
from tasks.documents import followups, ranking
from tasks.jobs import stages
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Onward, Outcome
from tasks.kinds import KINDS
from tasks.kinds.rag import Question
from workers import publisher as publishing
from workers.attempt import Attempt
from workers.publisher import Publisher
from workers.slot import Slot
from workers.stages import prompts
from workers.stages.generation import Generation


def rewrite(slot: Slot, attempt: Attempt, publisher: Publisher) -> Onward | Outcome:
    """The follow-up as a question of its own, handed to the model of the collection; greedy, so that it is the same for
    every attempt. Where the model makes none of it, what was said last goes before it. Raises `CollectionGone`, and
    what else `Generation.run` does.
    """
    claim = attempt.claim
    asked: Question = KINDS[claim.type].parse(claim.asked)
    aside = publishing.beside(publisher)
    generation = Generation(slot, attempt, aside, slot.generator, prompts.follow_up)
    try:
        generation.run()
    except errors.ContextLengthExceeded:
        made = None  # the answer's stage will say so, unless it has room
    except errors.JobError as error:  # for all that was computed, which nobody was told
        failure = error.code, str(error).replace("\0", "")  # PostgreSQL's text has no NUL; a template may quote one
        return Outcome(Status.FAILED, generation.spent, error=failure, progress=attempt.progress)
    else:
        made = followups.accepted(aside.transcript.text, asked.history, asked.question)
    question = made or followups.together(asked.history, asked.question)
    try:
        with slot.sessions.begin() as session:
            home = ranking.home_of(session, claim.tenant_id, asked.collection)
    except errors.NotFound as error:
        raise errors.CollectionGone(str(error)) from error
    return Onward(stages.RETRIEVE, home.model, {"question": question}, spent=generation.spent)
