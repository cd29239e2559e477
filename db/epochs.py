"""Epochs: an epoch is the time in which the database only went on. It ends when a backup or a snapshot is restored.

Nobody has to say so. One row holds the present epoch, and what it was written under: a copy of it isn't, which is on
another server, timeline or table, or was written by another transaction. A copy of a server's very files is the same in
all that; it is known by its log being shorter than Redis remembers, or by an epoch that Redis remembers and it doesn't.
"""

import datetime as dt
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, DateTime, Row, Text, text
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
    """One row is named `current`; the others are the epochs that were replaced."""

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


@dataclass(frozen=True, slots=True)
class Note:
    """What a Redis remembers: the epoch that its contents are of, and those that were replaced in it before."""

    epoch: Epoch
    replaced: frozenset[str] = frozenset()


def current(session: Session | Connection, notes: Collection[Note] = ()) -> Epoch | None:
    """The database's epoch; None when another has to begin, because the database has gone back.

    `notes` must have been read before the transaction began: the log grows.
    """
    row = session.execute(text(_CURRENT)).one_or_none()
    if row is None or not row.original or any(_gone_back(row, note) for note in notes):
        return None
    return Epoch(row.id, row.log_bytes)


def _gone_back(row: Row[Any], note: Note) -> bool:
    """True when Redis remembers what this database doesn't. A copy beside the original has replaced that one's epoch
    in Redis, and the original hasn't gone back.
    """
    if note.epoch.id == row.id:
        return bool(row.log_bytes < note.epoch.log_bytes)
    return note.epoch.id not in row.replaced and str(row.id) not in note.replaced


def begin(session: Session | Connection, notes: Collection[Note] = (), *, anyway: bool = False) -> tuple[Epoch, int]:
    """Begins another epoch, and adds `ATTEMPTS_BETWEEN` to the attempts of all unended jobs, however long that takes.

    Does nothing when `current` has an epoch by now, since another process has begun it, unless it is wanted `anyway`.
    Returns the epoch and the number of those jobs.
    """
    session.execute(text("SET LOCAL statement_timeout = 0"))
    session.execute(text("SET LOCAL lock_timeout = 0"))
    session.execute(text("SELECT pg_advisory_xact_lock(hashtext('forebay.epoch'))"))
    if not anyway and (begun := current(session, notes)):
        return begun, 0
    session.execute(text(_REPLACE), {"ids": [note.epoch.id for note in notes]})
    epoch = Epoch(*session.execute(text(_BEGIN)).one())
    moved: Any = session.execute(text(_MOVE_ATTEMPTS), {"by": ATTEMPTS_BETWEEN})
    return epoch, moved.rowcount


_CURRENT = f"""
SELECT id, written_under = {_THEN} AS original, {_LOG_BYTES} AS log_bytes,
    ARRAY(SELECT id FROM epochs WHERE name <> 'current') AS replaced
FROM epochs WHERE name = 'current'
"""
_REPLACE = """
INSERT INTO epochs (name, id, written_under, began_at)
SELECT id::text, id, '', now()
FROM (SELECT id FROM epochs WHERE name = 'current' UNION SELECT unnest(CAST(:ids AS uuid[]))) AS replaced
ON CONFLICT DO NOTHING
"""
_BEGIN = f"""
INSERT INTO epochs (name, id, written_under, began_at) VALUES ('current', gen_random_uuid(), {_NOW}, now())
ON CONFLICT (name) DO UPDATE
SET id = excluded.id, written_under = excluded.written_under, began_at = excluded.began_at
RETURNING id, {_LOG_BYTES}
"""
_MOVE_ATTEMPTS = "UPDATE jobs SET attempt = attempt + :by WHERE finished_at IS NULL"
