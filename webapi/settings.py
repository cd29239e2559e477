"""The API's settings."""

import os
import re
from dataclasses import dataclass

from environs import Env, ValidationError, validate

from tasks import settings
from tasks.settings import OUR_FUNCTIONS, FunctionSettings, WebhookSettings
from tasks.settings import Settings as Shared

MAX_READERS = 1024
KEPT_FREE = 976  # threads of a process that streams and waits may never take
MAX_BODY_BYTES = 4 * 1024 * 1024  # 2,048 texts of a whole context each fit
MAX_UPLOAD_BYTES = 32 * 1024 * 1024
MAX_FILE_BYTES = 200 * 1024 * 1024
MAX_KEPT_FILE_BYTES = 10 * 1024**3  # of a tenant
_LIMITS_S = {"API_HEAD_S": 10.0, "API_SILENT_S": 10.0, "API_UNREAD_S": 20.0}
# As browsers send it: in small letters, without the scheme's own port.
_ORIGIN = re.compile(r"(?!http:.*:80$|https:.*:443$)[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class Settings:
    """What an API process must know. `max_readers` bounds the requests that hold a thread: streams and waits.

    `cors_origins` are those whose pages may read answers; `*` among them is any.
    """

    shared: Shared
    key_pepper: str
    webhooks: WebhookSettings
    max_body_bytes: int = MAX_BODY_BYTES
    max_upload_bytes: int = MAX_UPLOAD_BYTES
    max_file_bytes: int = MAX_FILE_BYTES
    max_kept_file_bytes: int = MAX_KEPT_FILE_BYTES
    max_readers: int = MAX_READERS
    cors_origins: frozenset[str] = frozenset()
    functions: FunctionSettings = OUR_FUNCTIONS


@dataclass(frozen=True, slots=True)
class Serving:
    """What gunicorn must know. Threads are started as they are needed: each open stream or wait holds one.

    A client may take `head_s` for a request's head, from its connection's first moment or the answer before; be silent
    for `silent_s` within a body; and leave what it is sent unread for `unread_s`. Then its connection is closed.
    """

    processes: int
    threads: int
    head_s: float
    silent_s: float
    unread_s: float


def read_serving() -> Serving:
    """Reads the environment. Raises `SettingsError`."""
    env = settings.environment()
    processes = env.int("API_PROCESSES", min(2, os.cpu_count() or 1), validate=validate.Range(1, 64))
    max_readers = _max_readers(env)
    limits_s = [env.float(name, usual, validate=validate.Range(0.1, 3600)) for name, usual in _LIMITS_S.items()]
    settings.seal(env)
    return Serving(processes, max_readers + KEPT_FREE, *limits_s)


def read() -> Settings:
    """Reads the environment. Raises `SettingsError` naming every variable that is missing or wrong."""
    env = settings.environment()
    shared, key_pepper = settings.read_shared(env), settings.read_secret(env, "KEY_PEPPER")
    max_body_bytes = env.int("MAX_BODY_BYTES", MAX_BODY_BYTES)
    max_upload_bytes = env.int("MAX_UPLOAD_BYTES", MAX_UPLOAD_BYTES)
    max_file_bytes = env.int("MAX_FILE_BYTES", MAX_FILE_BYTES)
    max_kept_file_bytes = env.int("MAX_KEPT_FILE_BYTES", MAX_KEPT_FILE_BYTES)
    max_readers = _max_readers(env)
    webhooks, functions = settings.read_webhooks(env), settings.read_functions(env)
    origins = _origins(env.str("CORS_ORIGINS", "", validate=_refuse_odd_origins) or "")  # None for one that is wrong
    settings.seal(env)
    return Settings(
        shared=shared,
        key_pepper=key_pepper,
        webhooks=webhooks,
        max_body_bytes=max_body_bytes,
        max_upload_bytes=max_upload_bytes,
        max_file_bytes=max_file_bytes,
        max_kept_file_bytes=max_kept_file_bytes,
        max_readers=max_readers,
        cors_origins=origins,
        functions=functions,
    )


def _max_readers(env: Env) -> int:
    return int(env.int("API_STREAMS", MAX_READERS, validate=validate.Range(2, 8192)) or 0)  # None for one that is wrong


def _origins(named: str) -> frozenset[str]:
    return frozenset(origin.strip() for origin in named.split(",") if origin.strip())


def _refuse_odd_origins(named: str) -> None:
    for origin in sorted(_origins(named)):
        if origin != "*" and not _ORIGIN.fullmatch(origin):
            raise ValidationError(f"{origin!r} must be an origin as browsers send it, https://host[:port], or *")
