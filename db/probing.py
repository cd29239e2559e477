"""Whether PostgreSQL can write."""

from sqlalchemy import text
from sqlalchemy.orm import Session

_SMALLEST_MEMORY = text("SET LOCAL work_mem = '64kB'")
# A sort that its memory doesn't hold goes through a file, some 300 kB on the disk of the tables.
_SORT = text("SELECT count(*) FROM (SELECT n FROM generate_series(1, 20000) AS n ORDER BY n DESC) AS sorted")


_READ_ONLY = text("SELECT current_setting('transaction_read_only') = 'on'")  # as on a standby


def write(session: Session) -> bool:
    """Has a little written to the disk and nothing kept; False where PostgreSQL takes no writes.

    Raises SQLAlchemy's `OperationalError` when the disk is full.
    """
    session.execute(_SMALLEST_MEMORY)
    session.execute(_SORT)
    return not session.execute(_READ_ONLY).scalar_one()
