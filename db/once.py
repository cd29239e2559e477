"""Conditions on rows that a query finds, where the query must run once."""

from typing import Any

from sqlalchemy import ColumnElement, Select, any_, func
from sqlalchemy.orm import InstrumentedAttribute


def among(column: InstrumentedAttribute[Any], found: Select[Any]) -> ColumnElement[bool]:
    """The condition that the column has one of the values that the query finds.

    The query is made into an array first. As `IN (SELECT …)` it is joined, and PostgreSQL may run it again for each row
    of the table: it does where its statistics are of an hour in which the table was empty. That takes minutes, and a
    query with a limit that skips locked rows finds more each time.
    """
    return column == any_(func.array(found.scalar_subquery()))
