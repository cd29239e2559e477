"""The first stage of a summary: its files are read, and each document becomes a job of its own."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlalchemy.orm import Session

from tasks import errors, ids
from tasks.documents import ingest, kinds
from tasks.documents.ingest import Pending
from tasks.documents.unpacking import Members
from tasks.jobs import family, fence, stages
from tasks.jobs.family import Child
from tasks.jobs.outcomes import Onward
from tasks.jobs.requests import Plan, Submission
from tasks.kinds import KINDS
from tasks.kinds.summary import OneDocument, Summary
from tasks.models import catalog
from tasks.streams.events import Resumed, Started
from tasks.summaries.choice import MAX_DOCUMENTS
from workers.attempt import Attempt
from workers.publisher import Publisher
from workers.slot import Slot
from workers.stages import extract

_LOT = 32  # documents of one transaction
_FILE_S = 5.0  # of the time in which a summary's files are to be read, for each of them


def share_out(slot: Slot, attempt: Attempt, publisher: Publisher) -> Onward:
    """Reads the files and writes the children down, lot by lot: the first are summarised while others are read.

    Archives are unpacked before: the documents in them are the summary's then.

    A file that holds no text fails in its own job. After each file the job gives its slot back if it is wanted. Raises
    `Fenced`.
    """
    claim = attempt.claim
    asked = KINDS[claim.type].parse(claim.asked)
    assert isinstance(asked, Summary)
    told = publisher.transcript.entries  # by an attempt before
    publisher.transcript.add(Resumed(claim.attempt) if told else Started(claim.attempt, slot.worker_id))
    publisher.flush()
    with slot.sessions.begin() as session:
        work = ingest.work(session, claim.tenant_id, claim.job_id)
    waiting = {document.id: document for document in work.waiting}
    limit_s = max(extract.JOB_S, _FILE_S * len(asked.documents))
    budget = extract.Budget((claim.stage_input or {}).get(extract.SPENT, 0.0), limit_s)
    try:
        asked = _unpack(slot, attempt, asked, waiting, budget)
        for first in range(0, len(asked.documents), _LOT):
            lot = asked.documents[first : first + _LOT]
            _read(slot, attempt, lot, waiting, budget)
            _adopt(slot, attempt, asked, lot, first)
            attempt.proven = True
    except errors.GaveWay:
        return slot.back(attempt, {extract.SPENT: budget.spent_s})
    stage, queue = (stages.SUMMARIZE, claim.model) if asked.combine else (stages.TALLY, catalog.CONTROL)
    return Onward(stage, queue, wait_for_children=True)


def _unpack(
    slot: Slot, attempt: Attempt, asked: Summary, waiting: dict[uuid.UUID, Pending], budget: extract.Budget
) -> Summary:
    """The summary with the documents in its archives instead of them, which its job is about from now on.

    One that can't be unpacked stays, and fails in its own job. What waits to be read is among `waiting` then.
    """
    for document_id in asked.documents:
        file = waiting.get(document_id)
        if file is None or not file.is_file or file.kind not in kinds.ARCHIVES:
            continue
        slot.check(attempt)
        del waiting[document_id]
        asked, members = _unpack_one(slot, attempt, asked, file, budget)
        waiting.update((one.id, one) for one in members.waiting)
        budget.limit_s = max(budget.limit_s, _FILE_S * len(asked.documents))
    return asked


def _unpack_one(
    slot: Slot, attempt: Attempt, asked: Summary, archive: Pending, budget: extract.Budget
) -> tuple[Summary, Members]:
    claim = attempt.claim

    def note(session: Session, members: Members) -> None:
        found = _with_members(asked, archive.id, members)
        if len(found.documents) > MAX_DOCUMENTS:
            raise errors.DocumentTooLarge(f"with what is in it the summary has more than {MAX_DOCUMENTS} documents")
        fence.touch(session, claim.job_id, claim.attempt, input=found.to_json().input)

    members = extract.unpack_one(slot, attempt, archive, budget, note)
    return (_with_members(asked, archive.id, members) if members.documents else asked), members


def _with_members(asked: Summary, archive: uuid.UUID, members: Members) -> Summary:
    at = asked.documents.index(archive)
    return replace(asked, documents=(*asked.documents[:at], *members.documents, *asked.documents[at + 1 :]))


def _read(
    slot: Slot,
    attempt: Attempt,
    lot: Sequence[uuid.UUID],
    waiting: Mapping[uuid.UUID, Pending],
    budget: extract.Budget,
) -> None:
    claim = attempt.claim
    found = [waiting[document_id] for document_id in lot if document_id in waiting]
    for file in found:
        slot.check(attempt)
        if not file.is_file or extract.read_one(slot, attempt, file, budget):
            with slot.sessions.begin() as session:
                fence.guard(session, claim.job_id, claim.attempt)
                ingest.readied(session, claim.tenant_id, [file.id])


def _adopt(slot: Slot, attempt: Attempt, asked: Summary, lot: Sequence[uuid.UUID], first: int) -> None:
    claim = attempt.claim
    children = [
        Child(
            Plan(
                Submission(claim.type, claim.model, OneDocument(document_id, asked.manner)),
                stages.SUMMARIZE,
                claim.model,
                claim.model,
                ids.derived(claim.job_id, place),
            ),
            place,
        )
        for place, document_id in enumerate(lot, first)
    ]
    attempt.check()
    with slot.sessions.begin() as session:
        queues = family.adopt(session, claim.job_id, claim.attempt, children)
    for queue in queues:
        slot.wake(queue)
