"""Tickets: what lets a browser read one job's events without a key, since its EventSource can't send a header.

A ticket is `tk_<id of the key that made it>_<when it expires>_<proof>`. The proof is a HMAC-SHA256 of these, the
tenant and the job, under a key of its own that is derived from the pepper. Nothing is stored.
"""

import base64
import hashlib
import hmac
import re
import time
import uuid
from dataclasses import dataclass

from tasks.keys import Caller

LIFE_S = 300  # so that an EventSource can connect again with the same address for a while

_SHAPE = re.compile(r"tk_([0-9a-z]{10})_([0-9]{10})_([0-9A-Za-z_-]{43})")
_PURPOSE = b"forebay ticket"


@dataclass(frozen=True, slots=True)
class NewTicket:
    """A ticket just made, and until when it is good (Unix seconds)."""

    ticket: str
    job_id: uuid.UUID
    expires_s: int


@dataclass(frozen=True, slots=True)
class ShownTicket:
    """A ticket as it came: nothing in it is proved yet."""

    key_id: str
    expires_s: int
    proof: bytes

    def opens(self, pepper: str, holder: Caller, job_id: uuid.UUID) -> bool:
        """Whether this key's holder made it for this job, and it hasn't expired. Whether the key is still good, and the
        job there, has to be seen elsewhere."""
        proved = hmac.compare_digest(self.proof, _proof(pepper, holder, job_id, self.expires_s))
        return proved and self.key_id == holder.key_id and time.time() < self.expires_s


def make(pepper: str, caller: Caller, job_id: uuid.UUID) -> NewTicket:
    """A ticket to the events of this job, which the caller has been shown to own."""
    expires_s = int(time.time()) + LIFE_S
    proof = _proof(pepper, caller, job_id, expires_s).decode()
    return NewTicket(f"tk_{caller.key_id}_{expires_s}_{proof}", job_id, expires_s)


def parse(text: str) -> ShownTicket | None:
    """The parts of a ticket, or None for any other text."""
    shape = _SHAPE.fullmatch(text)
    return ShownTicket(shape[1], int(shape[2]), shape[3].encode()) if shape else None


def _proof(pepper: str, caller: Caller, job_id: uuid.UUID, expires_s: int) -> bytes:
    """43 characters of base64. What is signed has one length in each part, so no two tickets sign the same."""
    key = hmac.digest(pepper.encode(), _PURPOSE, hashlib.sha256)
    signed = caller.tenant_id.bytes + job_id.bytes + caller.key_id.encode() + expires_s.to_bytes(8, "big")
    return base64.urlsafe_b64encode(hmac.digest(key, signed, hashlib.sha256)).rstrip(b"=")
