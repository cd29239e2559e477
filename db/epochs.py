"""Epochs: each time the database is found to have gone back, restored from a backup or a snapshot, another begins.

Nobody has to say so. A row holds what it was written under, and a copy of it isn't: another server, timeline or table,
or another transaction that wrote it. A copy of a server's very files is the same in all that; it is known by its log
being shorter than somebody outside remembers.
"""

import datetime as dt
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, DateTime, Text, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from db.session import Table

# More than a job has attempts in one epoch: a worker, a stream or a reader from before never has the number of a later
# one.
ATTEMPTS_BETWEEN = 1000

_WRITTEN_UNDER = """concat_ws('.',
    (SELECT system_identifier FROM pg_control_system()),
    left(pg_walfile_name(pg_current_wal_flush_lsn()), 8),
    'jobs'::regclass::oid,
    {transaction})"""
_LOG_BYTES = "(pg_current_wal_flush_lsn() - '0/0')::bigint"
_NOW = _WRITTEN_UNDER.format(transaction="pg_current_xact_id()::xid")
_THEN = _WRITTEN_UNDER.format(transaction="epochs.xmin")


class EpochRow(Table):
    """The one row."""

    __tablename__ = "epochs"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    id: Mapped[uuid.UUID]
    written_under: Mapped[str] = mapped_column(Text)
    began_at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True))


@dataclass(frozen=True, slots=True)
class Epoch:
    """`log_bytes` is how much of its log the server has on disk: within an epoch it only grows."""

    id: uuid.UUID
    log_bytes: int


def current(session: Session | Connection, seen: Mapping[uuid.UUID, int]) -> Epoch | None:
    """The database's epoch; None when another has to begin.

    `seen` are epochs with how long the log was, as was known before the transaction began.
    """
    row = session.execute(text(_CURRENT)).one_or_none()
    if row is None or not row.original or row.log_bytes < seen.get(row.id, 0):
        return None
    return Epoch(row.id, row.log_bytes)


def begin(session: Session | Connection, seen: Mapping[uuid.UUID, int]) -> tuple[Epoch, int]:
    """Begins another epoch unless somebody has, and puts the attempts of unended jobs beyond all there may have been.

    Returns the epoch and the number of those jobs, however long that takes.
    """
    session.execute(text("SET LOCAL statement_timeout = 0"))
    session.execute(text("SET LOCAL lock_timeout = 0"))
    session.execute(text("SELECT pg_advisory_xact_lock(hashtext('forebay.epoch'))"))
    if begun := current(session, seen):
        return begun, 0
    epoch = Epoch(*session.execute(text(_BEGIN)).one())
    moved: Any = session.execute(text(_MOVE_ATTEMPTS), {"by": ATTEMPTS_BETWEEN})
    return epoch, moved.rowcount


_CURRENT = f"""
SELECT id, written_under = {_THEN} AS original, {_LOG_BYTES} AS log_bytes FROM epochs
"""
_BEGIN = f"""
INSERT INTO epochs (name, id, written_under, began_at) VALUES ('current', gen_random_uuid(), {_NOW}, now())
ON CONFLICT (name) DO UPDATE
SET id = excluded.id, written_under = excluded.written_under, began_at = excluded.began_at
RETURNING id, {_LOG_BYTES}
"""
_MOVE_ATTEMPTS = "UPDATE jobs SET attempt = attempt + :by WHERE finished_at IS NULL"
