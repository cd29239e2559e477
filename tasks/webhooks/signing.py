"""What proves that a message is ours: Standard Webhooks 1.0.0, symmetric (https://www.standardwebhooks.com).

A secret isn't stored but derived: HMAC-SHA256 of its id, which is random and stored, under a key that stays outside
the database. So it is shown once, signs for as long as its id is kept, and a leaked database signs nothing.
"""

import base64
import hashlib
import hmac
import uuid
from collections.abc import Sequence

PREFIX = "whsec_"
_PURPOSE = b"forebay webhook secret\0"


def secret(key: str, secret_id: uuid.UUID) -> str:
    """The secret as its owner is shown it: `whsec_` and 32 bytes in base64."""
    return PREFIX + base64.b64encode(_derived(key, secret_id)).decode()


def signed(key: str, secret_ids: Sequence[uuid.UUID], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers of a message: one signature for each secret, of exactly these bytes at this time (Unix seconds)."""
    content = f"{message_id}.{timestamp}.".encode() + body
    signatures = [hmac.digest(_derived(key, id), content, hashlib.sha256) for id in secret_ids]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{base64.b64encode(signature).decode()}" for signature in signatures),
    }


def _derived(key: str, secret_id: uuid.UUID) -> bytes:
    return hmac.digest(key.encode(), _PURPOSE + secret_id.bytes, hashlib.sha256)
