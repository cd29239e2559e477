"""A step of a summary: notes of a part of a document, or of other notes."""

from dataclasses import replace

from tasks import errors
from tasks.jobs import fence
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Outcome
from tasks.kinds import KINDS
from tasks.kinds.summary import PartStep, Step
from tasks.summaries import material, steps
from workers.attempt import Attempt
from workers.publisher import Publisher
from workers.slot import Slot
from workers.stages import generate


def summarize_part(slot: Slot, attempt: Attempt, publisher: Publisher) -> Outcome:
    """What the model says, as far as it is of use, kept for whoever asks it the same; nothing of it is a failure.

    A step that another job has taken meanwhile costs nothing. Raises `DocumentGone`.
    """
    claim = attempt.claim
    asked = _asked(slot, attempt)
    engine = slot.generator
    digest = steps.digest(claim.model, engine.identity, asked.asked(engine.context).to_json(), asked.to_json())
    with slot.sessions.begin() as session:
        known = steps.known(session, claim.tenant_id, [digest])
    if digest in known:
        return Outcome(Status.SUCCEEDED, result={"text": known[digest], "cached": True})
    outcome = generate.generate(slot, attempt, publisher)
    if outcome.result is None:
        return outcome
    finished = outcome.result["finish_reason"] == "stop"
    said = asked.kept(outcome.result["text"], engine.context, finished=finished)
    if not said:
        nothing = (errors.AnswerUnfit.code, "the model said nothing that a summary could be made of")
        return replace(outcome, status=Status.FAILED, result=None, error=nothing)
    with slot.sessions.begin() as session:
        fence.guard(session, claim.job_id, claim.attempt)
        said = steps.keep(session, claim.tenant_id, digest, said)
    return replace(outcome, result={"text": said, "cached": False})


def _asked(slot: Slot, attempt: Attempt) -> Step:
    """The step with its texts, of which the job's prompt is made."""
    claim = attempt.claim
    asked = KINDS[claim.type].parse(claim.asked)
    if isinstance(asked, Step):
        return asked
    assert isinstance(asked, PartStep)
    with slot.sessions.begin() as session:
        step = asked.over(material.part(session, claim.tenant_id, asked.document, asked.begins, asked.ends))
    stored = step.to_json()
    attempt.claim = replace(claim, stage_input={"step": {"input": stored.input, "params": stored.params}})
    return step
