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
    """Who is asking: the tenant everything is scoped by."""

    tenant_id: uuid.UUID
    key_id: str


def create(session: Session, *, pepper: str, tenant: str, name: str) -> NewKey:
    """Makes a key for the tenant, and the tenant when there is none."""
    owner = tenants.named(session, tenant, ids.new())
    key_id = "".join(secrets.choice(_ALPHABET) for _ in range(10))
    secret = secrets.token_urlsafe(32)
    session.add(keys.Key(id=key_id, tenant_id=owner.id, name=name, secret_hash=_hashed(pepper, secret)))
    session.flush()
    return NewKey(key_id, f"fb_{key_id}_{secret}", tenant)


def check(session: Session, *, pepper: str, key: str) -> Caller | None:
    """Who this key speaks for, or None. Costs the same whether the id is known or not."""
    shape = _SHAPE.fullmatch(key)
    if shape is None:
        return None
    key_id, secret = shape.groups()
    found = keys.live(session, key_id)
    stored = found.secret_hash if found else bytes(32)
    same = hmac.compare_digest(stored, _hashed(pepper, secret))
    return Caller(found.tenant_id, found.id) if found and same else None


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
