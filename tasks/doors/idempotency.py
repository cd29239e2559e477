"""One request, one job or file: the same key and the same request give the same, however often and at once."""

import hashlib
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from sqlalchemy.orm import Session

from db import idempotency
from tasks import errors
from tasks.keys import Caller

HEADER = "Idempotency-Key"


class Named(Protocol):
    """What a key stands for once it is made: a view of a job, or of a file."""

    @property
    def id(self) -> uuid.UUID: ...


M = TypeVar("M", bound=Named)


@dataclass(frozen=True, slots=True)
class IdempotencyClaim:
    """The key that a client gave to a request, and the `fingerprint` of what it asks."""

    key: str
    fingerprint: bytes


def fingerprint(*parts: Any) -> bytes:
    """A digest of the request: its route, its fields in whatever order they came, the digests of its files."""
    canonical = json.dumps(parts, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).digest()


def once(
    session: Session,
    caller: Caller,
    wanted: IdempotencyClaim | None,
    make: Callable[[], M],
    get: Callable[[Session, Caller, uuid.UUID], M],
) -> tuple[M, bool]:
    """What is made; or, when the key stands for this request already, what was made then as `get` has it now, and True.

    The key is taken in the transaction that makes it: both are there, or neither. Of two requests at the same moment
    the later waits for the earlier (docs/adr/0010). Raises `IdempotencyMismatch` for another request, and what `make`
    raises.
    """
    if wanted is None:
        return make(), False
    while not idempotency.reserve(session, caller.tenant_id, wanted.key, wanted.fingerprint):
        found = idempotency.find(session, caller.tenant_id, wanted.key)
        if found is None:
            continue  # it was forgotten at this moment
        fingerprint, made_id = found
        if fingerprint != wanted.fingerprint:
            raise errors.IdempotencyMismatch(HEADER, "the key was used for another request")
        try:
            return get(session, caller, made_id), True
        except errors.NotFound:  # it is gone: the key stands for nothing
            idempotency.forget(session, caller.tenant_id, wanted.key)
    made = make()
    idempotency.bind(session, caller.tenant_id, wanted.key, made.id)
    return made, False
