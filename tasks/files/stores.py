"""Which store keeps what: the one that the settings name takes what is new, PostgreSQL's can always be read."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote, urlsplit

from db.session import Transactions
from tasks import errors
from tasks.files import postgres
from tasks.files.bucket import BucketStore
from tasks.files.folder import FolderStore
from tasks.files.postgres import PostgresStore
from tasks.files.store import Store
from tasks.settings import FileSettings


@dataclass(frozen=True)
class Stores:
    """One a process. What was kept in PostgreSQL stays readable when the settings name another store from now on."""

    settings: FileSettings
    transactions: Transactions

    @cached_property
    def current(self) -> Store:
        """Where what is new is kept."""
        where = self.settings.where
        if where == postgres.NAME:
            return PostgresStore(self.transactions)
        if where.startswith("file:"):
            folder = Path(unquote(urlsplit(where).path))
            return FolderStore(folder, folder.as_uri())
        return BucketStore(self.settings, _name(self.settings))

    @property
    def names(self) -> set[str]:
        """Of the stores that can be reached."""
        return {postgres.NAME, self.current.name}

    def of(self, name: str) -> Store:
        """The store that a part says it is in. Raises `BytesGone` where the settings don't name it."""
        if name == self.current.name:
            return self.current
        if name == postgres.NAME:
            return PostgresStore(self.transactions)
        raise errors.BytesGone("the file is kept where this process isn't told to look")


def _name(bucket: FileSettings) -> str:
    """One name however it is written; a bucket of the same name elsewhere has another."""
    at, elsewhere = urlsplit(bucket.where), urlsplit(bucket.endpoint or "").netloc.rpartition("@")[2]
    name = f"s3://{at.netloc}/{at.path.strip('/')}".rstrip("/")
    return f"{name} at {elsewhere}" if elsewhere else name
