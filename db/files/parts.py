"""Parts of files: bytes that came in one request. Where the store is PostgreSQL itself, their pieces are here too."""

import datetime as dt
import uuid
from collections.abc import Collection, Sequence

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    Select,
    Text,
    UniqueConstraint,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.orm import Mapped, Session, mapped_column

from db import once
from db.session import Table

_QUIET = {"synchronize_session": False}
_PIECES_AT_ONCE = 64


class FilePart(Table):
    """A part of a file or of an upload, or one that is being written to be either.

    `store` says where its bytes are. Until it is `whole`, `bytes` is how many it may come to have, and `touched_at`
    when its writer last said that it lives. One that is `left_over` belongs to nothing and never will: once no writer
    can bring more of it, its bytes are erased, and then its row.

    Behind the second wall: its functions are called within `scope.scope` of the tenant they name.
    """

    __tablename__ = "file_parts"
    __table_args__ = (
        UniqueConstraint("id", "tenant_id"),
        ForeignKeyConstraint(["file_id", "tenant_id"], ["files.id", "files.tenant_id"]),
        ForeignKeyConstraint(["upload_id", "tenant_id"], ["uploads.id", "uploads.tenant_id"]),
        Index("file_parts_of_tenant", "tenant_id", postgresql_include=["bytes"]),  # `kept_bytes`
        Index(
            "file_parts_unsettled", "touched_at", "tenant_id", postgresql_where=text("left_over OR NOT whole")
        ),  # `draw`, `due`
        Index("file_parts_of_file", "file_id", "place", postgresql_where=text("file_id IS NOT NULL")),  # `of_file`
        Index("file_parts_of_upload", "upload_id", postgresql_where=text("upload_id IS NOT NULL")),  # `of_upload`
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tenants.id", ondelete="CASCADE"))
    store: Mapped[str] = mapped_column(Text)
    bytes: Mapped[int] = mapped_column(BigInteger)
    whole: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    left_over: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    created_at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    touched_at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    upload_id: Mapped[uuid.UUID | None]
    file_id: Mapped[uuid.UUID | None]
    place: Mapped[int | None] = mapped_column(Integer)


class FilePiece(Table):
    """A piece of a part, numbered from 0; neither compressed nor in the row itself, so that a range of it is read
    without the rest. Walled like its part."""

    __tablename__ = "file_pieces"
    __table_args__ = (
        ForeignKeyConstraint(["part_id", "tenant_id"], ["file_parts.id", "file_parts.tenant_id"], ondelete="CASCADE"),
    )

    part_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    tenant_id: Mapped[uuid.UUID]
    data: Mapped[bytes] = mapped_column(LargeBinary)


def reserve(session: Session, part: FilePart) -> None:
    """Notes that a part is being written, with as many bytes as it may come to have."""
    session.add(part)
    session.flush()


def kept_bytes(session: Session, tenant_id: uuid.UUID) -> int:
    """How many bytes the tenant keeps, with those that are being written, and what is still to be erased."""
    total = session.scalar(select(func.sum(FilePart.bytes)).where(FilePart.tenant_id == tenant_id))
    return int(total or 0)


def touch(session: Session, tenant_id: uuid.UUID, part_id: uuid.UUID) -> bool:
    """Says that the part is still being written. False where it is left over, or gone."""
    alive = update(FilePart).where(*_being_written(tenant_id, part_id)).values(touched_at=func.now())
    return session.scalar(alive.returning(FilePart.id)) is not None


def finish(
    session: Session,
    tenant_id: uuid.UUID,
    part_id: uuid.UUID,
    *,
    size: int,
    **belongs: uuid.UUID | int,
) -> FilePart | None:
    """The part, which is whole now; where given, in this file or upload (`file_id`, `upload_id`), at this `place`. None
    where it is left over, or gone."""
    done = update(FilePart).where(*_being_written(tenant_id, part_id)).values(whole=True, bytes=size, **belongs)
    return session.scalar(done.returning(FilePart))


def give_up(session: Session, tenant_id: uuid.UUID, part_id: uuid.UUID) -> bool:
    """What the part's writer says when it writes no more: the part is left over. Whether its bytes are to be erased:
    not those of a part that is whole, since a writer may not know that it has finished. Idempotent."""
    mark = update(FilePart).where(*_being_written(tenant_id, part_id)).values(**_LEFT_OVER)
    session.execute(mark, execution_options=_QUIET)
    there = (FilePart.tenant_id == tenant_id, FilePart.id == part_id, FilePart.whole)
    return not session.scalar(select(exists().where(*there)))


def of_file(session: Session, tenant_id: uuid.UUID, file_id: uuid.UUID) -> Sequence[FilePart]:
    """The file's parts in their order."""
    own = (FilePart.tenant_id == tenant_id, FilePart.file_id == file_id)
    return session.scalars(select(FilePart).where(*own).order_by(FilePart.place)).all()


def of_upload(session: Session, tenant_id: uuid.UUID, upload_id: uuid.UUID) -> Sequence[FilePart]:
    """The upload's parts that are whole, in their order where they have one."""
    own = (FilePart.tenant_id == tenant_id, FilePart.upload_id == upload_id, FilePart.whole.is_(True))
    return session.scalars(select(FilePart).where(*own).order_by(FilePart.place)).all()


def count_of_upload(session: Session, tenant_id: uuid.UUID, upload_id: uuid.UUID) -> int:
    """How many parts of the upload are whole."""
    own = (FilePart.tenant_id == tenant_id, FilePart.upload_id == upload_id, FilePart.whole)
    return session.scalar(select(func.count()).select_from(FilePart).where(*own)) or 0


def compose(session: Session, tenant_id: uuid.UUID, file_id: uuid.UUID, part_ids: Sequence[uuid.UUID]) -> None:
    """Makes a file of these parts of an upload, in this order."""
    places = {part_id: place for place, part_id in enumerate(part_ids)}
    parts = session.scalars(select(FilePart).where(FilePart.tenant_id == tenant_id, FilePart.id.in_(part_ids)))
    for part in parts:
        part.file_id, part.upload_id, part.place = file_id, None, places[part.id]
    session.flush()


def loosen(
    session: Session, tenant_id: uuid.UUID, *, files: Collection[uuid.UUID] = (), uploads: Collection[uuid.UUID] = ()
) -> Sequence[FilePart]:
    """Takes from these files and uploads their parts, which are left over now. Those that can be erased at once: who
    writes one of the others is still to notice."""
    which = or_(FilePart.file_id.in_(files), FilePart.upload_id.in_(uploads))
    taken = update(FilePart).where(FilePart.tenant_id == tenant_id, which).values(**_LEFT_OVER).returning(FilePart)
    return [part for part in session.scalars(taken, execution_options=_QUIET) if part.whole]


def loosen_all(session: Session, tenant_id: uuid.UUID) -> None:
    """Has all that is being written for the tenant be left over: its writers are still to notice."""
    taken = update(FilePart).where(FilePart.tenant_id == tenant_id, ~FilePart.whole, ~FilePart.left_over)
    session.execute(taken.values(**_LEFT_OVER), execution_options=_QUIET)


def draw(
    session: Session, tenant_id: uuid.UUID, silent_s: float, limit: int, stores: Collection[str] | None = None
) -> Sequence[FilePart]:
    """Parts of the tenant's that are to be erased, and never become whole from here on: what is left over, and what is
    being written, but not while their writers have said within `silent_s` that they live; in these stores only, where
    any are given."""
    own = [FilePart.tenant_id == tenant_id, *_erasable(silent_s)]
    if stores is not None:
        own.append(FilePart.store.in_(stores))
    some = select(FilePart.id).where(*own).order_by(FilePart.touched_at).limit(limit).with_for_update(skip_locked=True)
    drawn = update(FilePart).where(FilePart.tenant_id == tenant_id, once.among(FilePart.id, some))
    return session.scalars(drawn.values(**_LEFT_OVER).returning(FilePart), execution_options=_QUIET).all()


def due(silent_s: float, stores: Collection[str]) -> Select[uuid.UUID]:
    """The tenants that have parts for `draw`: in the scope of who sees all tenants' rows."""
    return select(FilePart.tenant_id).where(*_erasable(silent_s), FilePart.store.in_(stores))


def forget(session: Session, tenant_id: uuid.UUID, part_id: uuid.UUID) -> None:
    """Deletes the row of a part that is left over and whose bytes are erased. Idempotent."""
    own = delete(FilePart).where(FilePart.tenant_id == tenant_id, FilePart.id == part_id, FilePart.left_over)
    session.execute(own, execution_options=_QUIET)


def keep_piece(session: Session, tenant_id: uuid.UUID, part_id: uuid.UUID, number: int, data: bytes) -> None:
    """Raises `IntegrityError` where the part is gone."""
    session.execute(insert(FilePiece), [{"part_id": part_id, "number": number, "tenant_id": tenant_id, "data": data}])


def read_piece(
    session: Session, tenant_id: uuid.UUID, part_id: uuid.UUID, number: int, start: int, end: int
) -> bytes | None:
    """Bytes of the piece from `start` on, before `end`; None where it is gone."""
    own = (FilePiece.tenant_id == tenant_id, FilePiece.part_id == part_id, FilePiece.number == number)
    return session.scalar(select(func.substring(FilePiece.data, start + 1, end - start)).where(*own))


def erase_pieces(session: Session, tenant_id: uuid.UUID, part_id: uuid.UUID) -> bool:
    """Erases some pieces of the part; whether there may be more."""
    key = (FilePiece.part_id, FilePiece.number)
    some = select(*key).where(FilePiece.tenant_id == tenant_id, FilePiece.part_id == part_id).limit(_PIECES_AT_ONCE)
    gone = delete(FilePiece).where(FilePiece.tenant_id == tenant_id, tuple_(*key).in_(some)).returning(FilePiece.number)
    return len(session.execute(gone, execution_options=_QUIET).all()) == _PIECES_AT_ONCE


def _erasable(silent_s: float) -> tuple[ColumnElement[bool], ...]:
    return _UNSETTLED, or_(FilePart.whole, FilePart.touched_at < func.now() - dt.timedelta(seconds=silent_s))


def _being_written(tenant_id: uuid.UUID, part_id: uuid.UUID) -> tuple[ColumnElement[bool], ...]:
    return FilePart.tenant_id == tenant_id, FilePart.id == part_id, ~FilePart.whole, ~FilePart.left_over


_LEFT_OVER = {"left_over": True, "file_id": None, "upload_id": None, "place": None}
_UNSETTLED = or_(FilePart.left_over, ~FilePart.whole)
