"""Ids: UUIDv7 inside, with a prefix outside."""

import uuid

from uuid_utils.compat import uuid7

JOB = "job_"


def new() -> uuid.UUID:
    """A UUIDv7 (RFC 9562): ids sort by the time they were made."""
    return uuid7()


def show(job_id: uuid.UUID) -> str:
    """`job_` and 32 hexadecimal digits."""
    return JOB + job_id.hex


def parse(shown: str) -> uuid.UUID | None:
    """The id behind `show`'s text, or None for any other text."""
    digits = shown.removeprefix(JOB)
    if len(digits) != 32 or len(shown) != len(JOB) + 32 or not digits.isascii() or not digits.isalnum():
        return None
    try:
        return uuid.UUID(hex=digits)
    except ValueError:
        return None
