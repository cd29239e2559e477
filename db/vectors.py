"""Vectors that a job gave: float32 bytes, row after row."""

import uuid

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Integer, LargeBinary
from sqlalchemy.orm import Mapped, Session, mapped_column

from db.session import Table

_FLOAT32 = np.dtype("<f4")


class JobVectors(Table):
    """`data` holds little-endian float32, `dimensions` to a row."""

    __tablename__ = "job_vectors"

    job_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    dimensions: Mapped[int] = mapped_column(Integer)
    data: Mapped[bytes] = mapped_column(LargeBinary)


def as_bytes(vectors: NDArray[np.float32]) -> bytes:
    """The vectors (n, d) as they are kept."""
    return np.ascontiguousarray(vectors, dtype=_FLOAT32).tobytes()


def load(session: Session, job_id: uuid.UUID) -> NDArray[np.float32]:
    """The vectors (n, d) of a job that ended with some. The caller has seen that it is the tenant's."""
    return rows(session.get_one(JobVectors, job_id))


def rows(row: JobVectors) -> NDArray[np.float32]:
    """The vectors (n, d) that it keeps."""
    return np.frombuffer(row.data, dtype=_FLOAT32).reshape(-1, row.dimensions)
