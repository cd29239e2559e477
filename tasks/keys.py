"""Keys: made, checked, revoked.

A key is `fb_<id>_<secret>`: 10 characters by which it is found, 256 random bits that prove it. Only
HMAC-SHA256(pepper, secret) is kept; the pepper stays outside the database, so a leaked table opens nothing.
"""

import hashlib
import hmac
import re
import secrets
import uuid
from dataclasses import dataclass

from sqlalchemy import func
from sqlalchemy.orm import Session

from db import keys, tenants
from tasks import errors, ids

_SHAPE = re.compile(r"fb_([0-9a-z]{10})_([0-9A-Za-z_-]{43})")
_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just made: the only moment its text exists outside its owner's hands."""

    id: str
    key: str
    tenant: str


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key as it may be shown."""

    id: str
    tenant: str
    name: str
    created_at: str
    revoked_at: str | None


@dataclass(frozen=True, slots=True)
class Caller:
    """The one who asks: the tenant that bounds all that is seen, the key, and the request's id where there is one."""

    tenant_id: uuid.UUID
    key_id: str
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class KeyCheck:
    """A key's tenant and the hash of its secret. Safe to cache: the secret can't be derived from it."""

    caller: Caller
    secret_hash: bytes

    def passed(self, pepper: str, secret: str) -> Caller | None:
        """The key's caller, or None when the secret is wrong; both take equally long."""
        return self.caller if hmac.compare_digest(self.secret_hash, _hashed(pepper, secret)) else None


def create(session: Session, *, pepper: str, tenant: str, name: str) -> NewKey:
    """Makes a key for the tenant, and the tenant when there is none. Raises `Conflict` for one that is suspended."""
    owner = tenants.named(session, tenant, ids.new())
    if owner.suspended_at is not None:
        raise errors.Conflict(f"the tenant {tenant} is being erased: forebay tenants erase goes on with that")
    key_id = "".join(secrets.choice(_ALPHABET) for _ in range(10))
    secret = secrets.token_urlsafe(32)
    session.add(keys.Key(id=key_id, tenant_id=owner.id, name=name, secret_hash=_hashed(pepper, secret)))
    session.flush()
    return NewKey(key_id, f"fb_{key_id}_{secret}", tenant)


def parse(key: str) -> tuple[str, str] | None:
    """The id and the secret of a key, or None for any other text."""
    shape = _SHAPE.fullmatch(key)
    return (shape[1], shape[2]) if shape else None


def key_check(session: Session, key_id: str) -> KeyCheck | None:
    """The check of the key with this id; None when there is no such key, it was revoked, or its tenant suspended."""
    found = keys.live(session, key_id)
    return KeyCheck(Caller(found.tenant_id, found.id), found.secret_hash) if found else None


def check(session: Session, *, pepper: str, key: str) -> Caller | None:
    """The caller whose key this is, or None when it isn't one of ours."""
    parts = parse(key)
    found = key_check(session, parts[0]) if parts else None
    return found.passed(pepper, parts[1]) if found and parts else None


def is_of(session: Session, *, pepper: str, key: str) -> bool:
    """Whether the key could have been made under this pepper: False when the database knows it by another hash.

    It reads no more than the tables of all versions have.
    """
    parts = parse(key)
    known = keys.secret_hash(session, parts[0]) if parts else None
    return known is None or not parts or hmac.compare_digest(known, _hashed(pepper, parts[1]))


def list_keys(session: Session) -> list[KeyRecord]:
    """Every key, oldest first; never a secret."""
    return [
        KeyRecord(
            id=key.id,
            tenant=tenant,
            name=key.name,
            created_at=key.created_at.isoformat(),
            revoked_at=key.revoked_at.isoformat() if key.revoked_at else None,
        )
        for key, tenant in keys.with_tenants(session)
    ]


def revoke(session: Session, key_id: str) -> None:
    """Ends a key. Idempotent. Raises `NotFound` for an id that never was."""
    key = session.get(keys.Key, key_id)
    if key is None:
        raise errors.NotFound(f"no key {key_id}")
    if key.revoked_at is None:
        key.revoked_at = func.now()


def _hashed(pepper: str, secret: str) -> bytes:
    return hmac.digest(pepper.encode(), secret.encode(), hashlib.sha256)
