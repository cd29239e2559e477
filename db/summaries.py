"""Summaries: steps that were taken, by what they were asked, and the order in which documents' summaries came."""

import datetime as dt
import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Row,
    Text,
    UniqueConstraint,
    delete,
    func,
    or_,
    select,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session, aliased, mapped_column

from db import once
from db.jobs import Job, JobOutput
from db.ledger import LedgerRow
from db.session import Table


class SummaryStep(Table):
    """What a model answered to one step: `digest` is of the model and all that it was asked.

    Behind the second wall: its functions are called within `scope.scope` of the tenant they name.
    """

    __tablename__ = "summary_steps"
    __table_args__ = (Index("summary_steps_used", "tenant_id", "used_at"),)  # `forget_steps`

    tenant_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    text: Mapped[str] = mapped_column(Text)
    used_at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class SummaryResult(Table):
    """The place, from 1 on, of a document's job among those of its summary that have ended, as they were seen to."""

    __tablename__ = "summary_results"
    __table_args__ = (UniqueConstraint("job_id", name="summary_results_job"),)

    summary_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    job_id: Mapped[uuid.UUID]


def known_steps(session: Session, tenant_id: uuid.UUID, digests: Collection[bytes]) -> dict[bytes, str]:
    """The texts of those of these steps that were taken. They count as used now."""
    if not digests:
        return {}
    own = (SummaryStep.tenant_id == tenant_id, SummaryStep.digest.in_(digests))
    rows = session.execute(select(SummaryStep.digest, SummaryStep.text).where(*own))
    found = {row[0]: row[1] for row in rows}
    if found:
        stale = SummaryStep.used_at < func.now() - dt.timedelta(days=1)  # a day's precision spares most writes
        statement = update(SummaryStep).where(*own, stale).values(used_at=func.now())
        session.execute(statement, execution_options={"synchronize_session": False})
    return found


def keep_step(session: Session, tenant_id: uuid.UUID, digest: bytes, text: str) -> str:
    """Notes what was answered; what is known of the step, which stays as it was first."""
    statement = insert(SummaryStep).values(tenant_id=tenant_id, digest=digest, text=text)
    statement = statement.on_conflict_do_update(index_elements=["tenant_id", "digest"], set_={"used_at": func.now()})
    return session.scalars(statement.returning(SummaryStep.text)).one()


def forget_steps(session: Session, tenant_id: uuid.UUID, unused: dt.timedelta, limit: int) -> int:
    """Deletes the tenant's steps that nothing has used for so long, at most `limit`, the longest unused first; how
    many."""
    old = (SummaryStep.tenant_id == tenant_id, SummaryStep.used_at < func.now() - unused)
    some = select(SummaryStep.digest).where(*old).order_by(SummaryStep.used_at).limit(limit)
    statement = delete(SummaryStep).where(*old, once.among(SummaryStep.digest, some)).returning(SummaryStep.digest)
    return len(session.scalars(statement, execution_options={"synchronize_session": False}).all())


def unfinished(session: Session, job_ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
    """Those of these jobs that are there and haven't ended."""
    if not job_ids:
        return set()
    return set(session.scalars(select(Job.id).where(Job.id.in_(job_ids), Job.finished_at.is_(None))))


def of_late(session: Session, job_ids: Collection[uuid.UUID], span: dt.timedelta) -> set[uuid.UUID]:
    """Those of these jobs that are there and haven't ended, or not so long ago."""
    if not job_ids:
        return set()
    late = or_(Job.finished_at.is_(None), Job.finished_at > func.now() - span)
    return set(session.scalars(select(Job.id).where(Job.id.in_(job_ids), late)))


def documents(session: Session, summary_id: uuid.UUID) -> int | None:
    """How many documents a summary's job is about; None for the job of one of them, or of a step."""
    return session.scalar(select(func.json_array_length(Job.input["documents"])).where(Job.id == summary_id))


def number_ends(session: Session, summary_id: uuid.UUID, documents: int) -> None:
    """Gives a number to each of the summary's documents' jobs that has ended and has none, in the order of the ends.

    `documents` is how many there are: they have the first places among the summary's children. The row of the
    summary's job is locked meanwhile, so numbers only grow: whoever has seen one has seen all below it.
    """
    numbered = select(SummaryResult.job_id).where(SummaryResult.summary_id == summary_id)
    own = (Job.parent_id == summary_id, Job.place < documents, Job.finished_at.is_not(None))
    ended = select(Job.id).where(*own, Job.id.not_in(numbered)).order_by(Job.finished_at, Job.id)
    if session.scalars(ended.limit(1)).first() is None:
        return
    session.execute(select(Job.id).where(Job.id == summary_id).with_for_update(key_share=True))
    last = select(func.max(SummaryResult.number)).where(SummaryResult.summary_id == summary_id)
    first = (session.scalar(last) or 0) + 1
    new = session.scalars(ended).all()
    rows = [{"summary_id": summary_id, "number": number, "job_id": job_id} for number, job_id in enumerate(new, first)]
    if rows:
        session.execute(insert(SummaryResult), rows)


def results(
    session: Session, summary_id: uuid.UUID, after: int, limit: int
) -> Sequence[tuple[int, Job, dict[str, Any] | None]]:
    """The numbered ends after that number, at most `limit`: the number, the document's job and its result."""
    query = select(SummaryResult.number, Job, JobOutput.result).join(Job, Job.id == SummaryResult.job_id)
    query = query.outerjoin(JobOutput, JobOutput.job_id == Job.id)
    query = query.where(SummaryResult.summary_id == summary_id, SummaryResult.number > after)
    return [(row[0], row[1], row[2]) for row in session.execute(query.order_by(SummaryResult.number).limit(limit))]


def counts(session: Session, summary_id: uuid.UUID, documents: int) -> dict[str, int]:
    """How many of the summary's documents' jobs are in each status."""
    query = select(Job.status, func.count()).where(Job.parent_id == summary_id, Job.place < documents)
    return {status: int(number) for status, number in session.execute(query.group_by(Job.status))}


def ends(session: Session, summary_id: uuid.UUID, documents: int) -> Sequence[Row[str, str | None, str | None]]:
    """Status and error (code, message) of each of the summary's documents' jobs, in the order of their places."""
    query = select(Job.status, Job.error_code, Job.error_message)
    query = query.where(Job.parent_id == summary_id, Job.place < documents)
    return session.execute(query.order_by(Job.place)).all()


def spent(session: Session, parent_ids: Collection[uuid.UUID]) -> Mapping[uuid.UUID, tuple[int, int]]:
    """What the children of each of these jobs have used: tokens of prompts, and of answers."""
    sums = (func.coalesce(func.sum(Job.prompt_tokens), 0), func.coalesce(func.sum(Job.completion_tokens), 0))
    query = select(Job.parent_id, *sums).where(Job.parent_id.in_(parent_ids)).group_by(Job.parent_id)
    return {row[0]: (int(row[1] or 0), int(row[2] or 0)) for row in session.execute(query) if row[0]}


def tokens_a_second(session: Session, model: str) -> float | None:
    """How many tokens, read and written, one slot of the model's did in a second lately; None where it did nothing."""
    lately = (LedgerRow.ended_at > func.now() - dt.timedelta(days=1), LedgerRow.model == model, LedgerRow.ran_s > 0)
    tokens = LedgerRow.prompt_tokens + LedgerRow.completion_tokens
    recent = select(tokens.label("tokens"), LedgerRow.ran_s).where(*lately, tokens > 0)
    rows = recent.order_by(LedgerRow.ended_at.desc()).limit(200).subquery()
    # Divided here: there the quotient of whole numbers is made a decimal.
    done, ran_s = session.execute(select(func.sum(rows.c.tokens), func.sum(rows.c.ran_s))).one()
    return done / ran_s if ran_s else None


def spent_in_all(session: Session, summary_id: uuid.UUID) -> tuple[int, int]:
    """What a summary has used, its documents and all their steps."""
    # Each by an index of its own: of conditions joined by OR PostgreSQL makes a scan of all jobs.
    child = aliased(Job)
    of_steps = select(Job.prompt_tokens, Job.completion_tokens).join(child, child.id == Job.parent_id)
    family = union_all(
        select(Job.prompt_tokens, Job.completion_tokens).where(Job.id == summary_id),
        select(Job.prompt_tokens, Job.completion_tokens).where(Job.parent_id == summary_id),
        of_steps.where(child.parent_id == summary_id),
    ).subquery()
    sums = (func.coalesce(func.sum(each), 0) for each in (family.c.prompt_tokens, family.c.completion_tokens))
    prompt, answer = session.execute(select(*sums)).one()
    return int(prompt or 0), int(answer or 0)
