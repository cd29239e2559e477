"""Revisions of the tables: which there are for this code, and what a database says of itself."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

MIGRATIONS = Path(__file__).parent / "migrations"

# The oldest head whose code goes on working on the tables that this code makes. A migration that takes away, renames,
# or demands what older code doesn't know raises it to its own number; one that only adds leaves it.
COMPATIBLE_FROM = "0026"

_NOTE = "made for {head}, good for code from {compatible_from} on"
_NOTED = re.compile(r"made for (\S+), good for code from (\S+) on")
# The note is a comment on Alembic's own table, so that a dump keeps it and no table of ours is needed to read it.
_IS_THERE = text("SELECT to_regclass('alembic_version') IS NOT NULL")
_READ = text("SELECT version_num, obj_description('alembic_version'::regclass, 'pg_class') FROM alembic_version")


@cache
def known() -> tuple[str, ...]:
    """All revisions that this code has migrations for, oldest first. Alembic isn't needed for it, nor loaded."""
    names = (path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))
    return tuple(sorted(names))


def head() -> str:
    """The revision that this code works with."""
    return known()[-1]


@dataclass(frozen=True, slots=True)
class Standing:
    """How a database's tables stand to this code. `revision` is theirs, None where there are none of ours.

    `compatible_from` is the oldest head whose code may work with them; None where nothing says so.
    """

    revision: str | None
    compatible_from: str | None

    @property
    def behind(self) -> bool:
        """True when migrations are missing."""
        return self.revision is None or (not self.newer and self.revision != head())

    @property
    def newer(self) -> bool:
        """True when a newer version has migrated them."""
        return self.revision is not None and self.revision not in known()

    @property
    def trouble(self) -> str | None:
        """Why this code can't work with the tables and what to do, in one line; None when it can."""
        if self.revision is None:
            return f"the database has no tables of ours, and revision {head()} is needed: run `forebay migrate`"
        if self.behind:
            return f"the tables are at revision {self.revision}, and {head()} is needed: run `forebay migrate`"
        if self.newer and (self.compatible_from is None or self.compatible_from > head()):
            return f"{self.made_by_newer}: start that version"
        return None

    @property
    def made_by_newer(self) -> str:
        """The half of a sentence that says whose tables these are."""
        return f"the tables are at revision {self.revision}, made by a newer version; this one knows {head()}"


def read(connection: Connection | Session) -> Standing:
    """Asks the database. Raises SQLAlchemy's errors."""
    if not connection.execute(_IS_THERE).scalar_one():
        return Standing(None, None)
    row = connection.execute(_READ).one_or_none()
    if row is None:
        return Standing(None, None)
    revision, note = row
    noted = _NOTED.fullmatch(note or "")
    # A note for another revision was left by somebody who moved the tables without us: it says nothing of these.
    return Standing(revision, noted[2] if noted and noted[1] == revision else None)


def note(connection: Connection) -> None:
    """Has the database say which code its tables are good for; they are at this code's head."""
    said = _NOTE.format(head=head(), compatible_from=COMPATIBLE_FROM)
    connection.execute(text(f"COMMENT ON TABLE alembic_version IS '{said}'"))
