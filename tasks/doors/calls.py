"""Calls: jobs that the request which asked for them waits for, and what becomes of one whose client is gone.

A client library that loses its connection asks again, with the same key and body. Such a retry joins the job that it
has already, once; while nobody comes back for it, the job goes on for a while, and is then ended, since nobody else
knows of it. Redis has the register (`calls.lua`): without it nothing is lost, but a retry is a job of its own.
"""

import hashlib
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self

import redis
import structlog

from tasks.keys import Caller

log = structlog.get_logger(__name__)

LEASE_S = 3.0  # a request says once a second that it still waits
GRACE_S = 10.0  # so long a job goes on that nobody waits for: client libraries come back within eight seconds
_ALL = "forebay:calls"
_LOOKS = "forebay:calls:looks"
_KEPT_S = 60  # so long equal calls are remembered after the last word of them: whoever asks often fills no memory
_LOOK_S = 0.2


@dataclass(frozen=True, slots=True)
class Asked:
    """What makes two calls equal: the same is asked, at the same address, with the same key."""

    tenant_id: uuid.UUID
    digest: str

    @classmethod
    def of(cls, caller: Caller, path: str, body: bytes) -> Self:
        asked = hashlib.sha256(b"\0".join((caller.key_id.encode(), path.encode(), body)))
        return cls(caller.tenant_id, asked.hexdigest())

    @property
    def key(self) -> str:
        return f"forebay:equal-calls:{self.digest}"

    def member(self, job_id: uuid.UUID) -> str:
        """How the register names a call: by its tenant and its job."""
        return f"{self.tenant_id.hex}.{job_id.hex}"


@dataclass(frozen=True, slots=True)
class Calls:
    """The register. Thread-safe; where Redis can't be reached, it knows of nothing."""

    client: redis.Redis

    def open(self, asked: Asked, job_id: uuid.UUID) -> None:
        """Notes that a request waits for this job."""
        self._do(asked, "open", asked.member(job_id), LEASE_S, _KEPT_S)

    def keep(self, asked: Asked, job_id: uuid.UUID) -> None:
        """Says, at least every `LEASE_S`, that the request still waits."""
        self._do(asked, "keep", asked.member(job_id), LEASE_S, _KEPT_S)

    def leave(self, asked: Asked, job_id: uuid.UUID) -> None:
        """Notes that its client is gone: a retry may join it, and after `GRACE_S` it is ended."""
        self._do(asked, "leave", asked.member(job_id), _KEPT_S)

    def close(self, asked: Asked, job_id: uuid.UUID) -> None:
        """Forgets a call that has been answered. Idempotent."""
        self._do(asked, "close", asked.member(job_id))

    def join(self, asked: Asked, has_left: Callable[[], bool] = lambda: False) -> uuid.UUID | None:
        """The job of an equal call whose client is gone, which from now on is the caller's; None when there is none.

        While all equal calls still have their clients, it waits as long as one may be gone without our knowing.
        """
        deadline = time.monotonic() + LEASE_S + 2 * _LOOK_S
        while True:
            found = self._do(asked, "join", LEASE_S, _KEPT_S)
            if found:
                return _parsed(found)[1]
            if found is None or time.monotonic() > deadline or has_left():
                return None
            time.sleep(_LOOK_S)

    def _do(self, asked: Asked, *what: str | float) -> Any:
        try:
            return _script(self.client)(keys=[_ALL, asked.key], args=list(what))
        except redis.RedisError as error:
            log.warning("call_not_registered", did=what[0], error=str(error))
            return None


def forsaken(client: redis.Redis, limit: int) -> list[tuple[uuid.UUID, uuid.UUID]]:
    """Takes out of the register the calls, at most `limit`, that nobody has waited for in `GRACE_S`: tenants and jobs.

    To be asked every second: none are told where nobody has asked for a lease, since requests that wait may have had no
    way to say so. Raises redis-py's errors.
    """
    found = _script(client)(keys=[_ALL, _LOOKS], args=["forsaken", GRACE_S, limit, LEASE_S])
    return [_parsed(member) for member in found]


def _parsed(member: bytes) -> tuple[uuid.UUID, uuid.UUID]:
    tenant, job = member.decode().split(".")
    return uuid.UUID(hex=tenant), uuid.UUID(hex=job)


@cache
def _script(client: redis.Redis) -> Any:
    return client.register_script((Path(__file__).parent / "calls.lua").read_text(encoding="utf-8"))
