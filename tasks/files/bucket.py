"""The store that is a bucket of S3, or of what speaks like it.

Its names are made of ids alone: <prefix>/<tenant>/<part>/<number>.
"""

import datetime as dt
import uuid
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import structlog

from tasks import errors
from tasks.settings import FileSettings

if TYPE_CHECKING:
    from obstore.store import S3Store

log = structlog.get_logger(__name__)

# A chore of the sweep waits for it too.
_CONNECT_S, _ANSWER_S, _RETRIES = 2, 10, 2
_DELETED_AT_ONCE = 1000


@dataclass(frozen=True)
class BucketStore:
    """Connects when first used: its library has threads, which don't outlive a fork."""

    settings: FileSettings
    name: str

    def put(self, tenant_id: uuid.UUID, part_id: uuid.UUID, number: int, piece: bytes) -> None:
        import obstore
        from obstore.exceptions import BaseError

        try:
            obstore.put(self._client, _key(tenant_id, part_id, number), piece, use_multipart=False)
        except (BaseError, FileNotFoundError) as error:
            raise _unavailable(error) from error

    def get(self, tenant_id: uuid.UUID, part_id: uuid.UUID, number: int, start: int, end: int) -> bytes:
        import obstore
        from obstore.exceptions import BaseError

        try:
            found = obstore.get_range(self._client, _key(tenant_id, part_id, number), start=start, end=end)
            return bytes(found)
        except FileNotFoundError:
            return b""
        except BaseError as error:
            raise _unavailable(error) from error

    def discard(self, tenant_id: uuid.UUID, part_id: uuid.UUID) -> None:
        import obstore
        from obstore.exceptions import BaseError

        try:
            for found in obstore.list(self._client, _room(tenant_id, part_id), chunk_size=_DELETED_AT_ONCE):
                obstore.delete(self._client, [one["path"] for one in found])
        except (BaseError, FileNotFoundError) as error:  # not found is the bucket: a room is only a name
            raise _unavailable(error) from error

    @cached_property
    def _client(self) -> "S3Store":
        from obstore.store import S3Store

        given, at = self.settings, urlsplit(self.settings.where)
        said = {
            "endpoint": given.endpoint,
            "region": given.region,
            "access_key_id": given.key,
            "secret_access_key": given.secret,
        }
        own = {name: value for name, value in said.items() if value}
        return S3Store(
            at.netloc,
            prefix=at.path.strip("/") or None,
            client_options={
                "connect_timeout": dt.timedelta(seconds=_CONNECT_S),
                "timeout": dt.timedelta(seconds=_ANSWER_S),
                "allow_http": bool(given.endpoint and given.endpoint.startswith("http://")),
            },
            retry_config={"max_retries": _RETRIES, "retry_timeout": dt.timedelta(seconds=_ANSWER_S)},
            **own,  # type: ignore[arg-type]  # what isn't given is AWS's own environment's, or the machine's role
        )


def _room(tenant_id: uuid.UUID, part_id: uuid.UUID) -> str:
    return f"{tenant_id.hex}/{part_id.hex}/"


def _key(tenant_id: uuid.UUID, part_id: uuid.UUID, number: int) -> str:
    return f"{_room(tenant_id, part_id)}{number}"


def _unavailable(error: Exception) -> errors.Unavailable:
    """What S3 says may name the bucket and who asked: the log is told, and no client."""
    log.warning("files_unreachable", error=" ".join(str(error).split())[:500])
    return errors.Unavailable("the store of files can't be reached; try again")
