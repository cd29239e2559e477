"""Statements that are sent so often that what SQLAlchemy does for each is felt: they are made into text once.

For a search that was a third of what it cost its client (see docs/adr/0022).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ClauseElement
from sqlalchemy.dialects.postgresql import psycopg
from sqlalchemy.orm import Session


@dataclass(frozen=True, slots=True)
class Statement:
    """Its text as psycopg takes it, and the values that it was made with."""

    text: str
    values: Mapping[str, Any]


def made(what: ClauseElement) -> Statement:
    """The statement as text. Its open parameters are given when it is sent."""
    compiled = what.compile(dialect=psycopg.dialect())  # type: ignore[no-untyped-call]
    return Statement(str(compiled), compiled.params)


def rows(session: Session, statement: Statement, values: Mapping[str, Any]) -> Sequence[Any]:
    """What the statement gives in the session's transaction. Values and rows are as the driver has them: no type of
    SQLAlchemy's is asked. What waits to be written isn't written before. Raises SQLAlchemy's errors.
    """
    return session.connection().exec_driver_sql(statement.text, {**statement.values, **values}).all()
