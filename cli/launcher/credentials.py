"""The secrets that a data folder keeps: made once, readable only by who runs the launcher."""

import json
import os
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path

FLOWER_USER = "forebay"
TENANT = "default"  # whose the local key is


@dataclass(frozen=True, slots=True)
class Credentials:
    """`key` is the local API key, None until the database has seen it made, and while its tenant is being erased."""

    pepper: str
    flower_password: str
    key: str | None = None
    webhook_key: str = field(default_factory=lambda: secrets.token_urlsafe(32))

    @property
    def flower_login(self) -> str:
        """`user:password`, as Flower and a browser take it."""
        return f"{FLOWER_USER}:{self.flower_password}"


def open_or_make(path: Path) -> Credentials:
    """What the file says; new random secrets, written down, for what it doesn't say."""
    if path.exists():
        known = read(path)
    else:
        known = Credentials(pepper=secrets.token_urlsafe(32), flower_password=secrets.token_urlsafe(12))
    write(path, known)
    return known


def read(path: Path) -> Credentials:
    """What the file says. Raises `FileNotFoundError`."""
    return Credentials(**json.loads(path.read_text()))


def write(path: Path, credentials: Credentials) -> None:
    """Replaces the file whole or not at all; no one else can ever read it."""
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(asdict(credentials), file)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
