"""Whether this process lives, and whether it can take jobs. Both answer within a second, whatever else hangs."""

import threading
import time
from collections.abc import Callable
from concurrent import futures
from concurrent.futures import Future
from typing import Annotated, Any, Literal, NamedTuple, TypedDict

import redis
import structlog
from flask import Response, current_app
from sqlalchemy.exc import SQLAlchemyError

from tasks import errors
from tasks.models import catalog
from tasks.queues import capacity
from webapi import service
from webapi.api import Blueprint, reply
from webapi.service import Service

log = structlog.get_logger(__name__)

blueprint = Blueprint("health", __name__, description="For whoever keeps this running.")

_LIMIT_S = 0.8
_COUNT_TO = 10_000  # so many take some ten milliseconds
_NO_WRITE = "a write fails"
_WRITTEN_FOR_S = 2.0


class Health(TypedDict):
    status: Literal["ok"]


class Parts(TypedDict):
    postgres: Annotated[str, {"enum": ["ok", _NO_WRITE, "down"]}]
    schema: Annotated[
        str | None,
        "`ok`, or in one line why this version can't work with the database's tables and what to do; null where"
        " PostgreSQL can't be asked.",
    ]
    redis: Literal["ok", "down"]
    workers: Annotated[
        dict[str, int | None],
        "Workers alive, for each model and for `control`; null where PostgreSQL can't be asked, or `schema`"
        " isn't `ok`.",
    ]
    unserved: Annotated[
        dict[str, int] | None,
        f"Jobs that wait for models that the catalogue doesn't have, counted to {_COUNT_TO}; null where PostgreSQL"
        " can't be asked, or `schema` isn't `ok`.",
    ]


class Readiness(TypedDict):
    status: Literal["ready", "unavailable"]
    parts: Parts


class Tables(NamedTuple):
    """What the tables say of themselves, and of the workers where they can be read."""

    trouble: str | None
    workers: dict[str, int]


class Probe:
    """A question that may hang, asked in a thread of its own, and never twice at the same time."""

    def __init__(self, ask: Callable[[], Any]) -> None:
        self._ask = ask
        self._pending: Future[Any] | None = None
        self._lock = threading.Lock()

    def begin(self) -> Future[Any]:
        """The answer to come; what is on its way already is shared."""
        with self._lock:
            if self._pending is None or self._pending.done():
                self._pending = Future()
                threading.Thread(target=self._run, args=(self._pending,), name="probe", daemon=True).start()
            return self._pending

    def _run(self, answer: Future[Any]) -> None:
        try:
            answer.set_result(self._ask())
        except (SQLAlchemyError, redis.RedisError):
            answer.set_result(None)
        except Exception:  # the thread's boundary: an answer that never came would say "down" for ever
            log.exception("probe_failed")
            answer.set_result(None)


class Probes:
    """What readiness depends on."""

    def __init__(self, serving: Service) -> None:
        self._serving = serving
        self._written_at = -_WRITTEN_FOR_S
        self.postgres = Probe(self._tables)
        self.disk = Probe(self._write)
        self.redis = Probe(self._note)
        self.unserved = Probe(self._unserved)

    def _note(self) -> object:
        """A write: Redis answers a PING also when its disk or its memory is full."""
        return self._serving.redis.set("forebay:probe", b"", ex=60)

    def _tables(self) -> "Tables":
        """Whether they are the right ones, and if so, which workers they say are alive."""
        trouble = self._serving.trouble()
        return Tables(trouble, {} if trouble else self._alive_workers())

    def _alive_workers(self) -> dict[str, int]:
        with self._serving.sessions.begin() as session:
            strengths = capacity.strengths(session, self._serving.settings.shared.lease_s)
        return {model: strength.workers for model, strength in strengths.items()}

    def _write(self) -> bool:
        """PostgreSQL answers a question also when its disk is full; this one it can answer only when it can write."""
        if time.monotonic() - self._written_at > _WRITTEN_FOR_S:
            with self._serving.sessions.begin() as session:
                if not capacity.write(session):
                    return False
            self._written_at = time.monotonic()
        return True

    def _unserved(self) -> dict[str, int] | None:
        """By a probe of its own: that it takes long doesn't mean that PostgreSQL is down."""
        if self._serving.trouble():
            return None
        with self._serving.sessions.begin() as session:
            return capacity.unserved(session, [*self._serving.catalog, catalog.CONTROL], _COUNT_TO)


@blueprint.route("/healthz", methods=["GET"])
@blueprint.response(200, Health)
@blueprint.doc(security=[])
def healthz() -> Response:
    """Say that the process lives"""
    return reply({"status": "ok"})


@blueprint.route("/readyz", methods=["GET"])
@blueprint.response(200, Readiness)
@blueprint.alt_response(503, schema=Readiness, description="Jobs can't be accepted.")
@blueprint.doc(security=[])
def readyz() -> Response:
    """Say which parts are there

    Ready means that jobs are accepted: that takes PostgreSQL with the tables that this version works with (`schema`),
    and nothing else.
    """
    parts = found()
    if accepts(parts):
        return reply({"status": "ready", "parts": parts})
    response = reply({"status": "unavailable", "parts": parts}, 503)
    response.headers["Retry-After"] = str(errors.Unavailable.retry_after_s)
    return response


def accepts(parts: Parts) -> bool:
    """Whether jobs are accepted."""
    return parts["postgres"] == "ok" and parts["schema"] == "ok"


def found() -> Parts:
    """Which parts are there, within a second."""
    serving, probes = service.current(), current_app.extensions["forebay_probes"]
    asked = (probes.postgres, probes.redis, probes.unserved, probes.disk)
    pending = [probe.begin() for probe in asked]
    futures.wait(pending, _LIMIT_S)
    tables, pong, unserved, written = (answer.result() if answer.done() else None for answer in pending)
    alive = None if tables is None or tables.trouble else tables.workers
    return {
        "postgres": "down" if tables is None else "ok" if written or not pending[-1].done() else _NO_WRITE,
        "schema": None if tables is None else tables.trouble or "ok",
        "redis": "ok" if pong else "down",
        "workers": {
            name: None if alive is None else alive.get(name, 0) for name in (*serving.catalog, catalog.CONTROL)
        },
        "unserved": unserved,
    }
