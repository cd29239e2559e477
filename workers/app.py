"""The worker's composition root, which `workers.serve` starts.

The model is read from the queues, its slots from `--concurrency`. Everything is made when the worker starts, in a
step of Celery's own start-up that comes before anything is consumed; importing this module does nothing.
"""

import os
import secrets
import socket
import sys
import threading
import time
import uuid
from contextlib import nullcontext
from functools import partial
from typing import Any

import redis
import structlog
from celery import bootsteps, signals
from celery.exceptions import Ignore
from sqlalchemy.exc import SQLAlchemyError

from db import session as db_session
from db.session import Sessions, told
from tasks import errors, failpoints, logs, stopping, telemetry
from tasks.jobs.lifecycle import Status
from tasks.jobs.view import JobView
from tasks.models import catalog, cores
from tasks.models.catalog import Model
from tasks.models.registry import Models
from tasks.operating import brokers, connections
from tasks.queues import broker, capacity, epochs
from tasks.queues.dispatch import Dispatcher
from tasks.streams import stream
from tasks.sweep.sweeper import Sweeper
from workers import heartbeat, messenger, run, settings, tables, threads, transport
from workers.engines import loading
from workers.heart import Heart
from workers.notices import Events, Notices
from workers.settings import WorkerSettings
from workers.worker import LOCKED_S, Worker

log = structlog.get_logger(__name__)

_REDIS_TIMEOUT_S = 2.0
_QUIET = ("celery.app.trace", "celery.worker.strategy", "alembic", "kombu", "httpx")
_EARLY = 0.9  # a look that comes just before the round is due would find it overdue only at the next
_current: Worker | None = None
_notices: Notices | None = None


app = messenger.make()


@app.task(name=broker.RUN)  # type: ignore[untyped-decorator]
def run_job(job_id: str) -> None:
    """The message's end: a wake-up that carries a job id and nothing else.

    Raises `Ignore` where the job hasn't succeeded, or another ran in its turn: Celery says nothing then, and Flower was
    told how it went.
    """
    assert _current is not None
    assert _notices is not None
    in_a_hurry = run_job.request.delivery_info["routing_key"].endswith(".interactive")
    named, (ran, ended) = broker.received(job_id), receive(_current, job_id, in_a_hurry=in_a_hurry)
    succeeded = ended.status == Status.SUCCEEDED if ended else _notices.left(ran)
    if ran != named:
        _notices.exchanged(named, ran, succeeded=succeeded)
    if ran != named or not succeeded:
        raise Ignore


def receive(worker: Worker, job_id: str, *, in_a_hurry: bool = True) -> tuple[uuid.UUID, JobView | None]:
    """Runs the job that the message names, and has the worker end where its engine can't be brought back.

    Batch generations stand still for one that is `in_a_hurry`; in the turn of another, another line of its batch may
    run. Which job ran, and the job as its run ended it; None where it didn't.
    """
    named = broker.received(job_id)
    with worker.courtesy.awaiting(named) if in_a_hurry else nullcontext():
        ran, ended = run.run_in_turn(worker, named, itself=in_a_hurry)
    if worker.unusable.is_set():
        transport.stop()
    return ran, ended


@signals.setup_logging.connect(weak=False)  # type: ignore[untyped-decorator]
def log_as_we_do(**_: Any) -> None:
    """Celery's own lines look like ours, instead of being set up by Celery."""
    logs.configure(quiet=_QUIET)


class Serving(bootsteps.StartStopStep):  # type: ignore[misc]
    """Loads the model before the worker consumes, and puts everything down after it has stopped."""

    requires = ("celery.worker.components:Pool",)

    def start(self, parent: Any) -> None:
        """Exits non-zero, saying why, when the worker can't serve."""
        global _current, _notices
        try:
            _current = compose(list(parent.app.amqp.queues.consume_from), parent.concurrency)
            _notices = notices_of(_current, parent)
            self._threads = begin(_current)
        except (errors.ForebayError, SQLAlchemyError) as error:
            log.error("cannot_start", reason=told(error))
            sys.stderr.flush()
            os._exit(1)

    def stop(self, parent: Any) -> None:  # noqa: ARG002 Celery's signature
        if _current is not None:
            finish(_current, self._threads)

    terminate = stop


app.steps["worker"].add(Serving)


@signals.worker_shutting_down.connect(weak=False)  # type: ignore[untyped-decorator]
def drain(**_: Any) -> None:
    """SIGTERM: nothing more is claimed, and after the grace the jobs that still run are released."""
    if _current is not None:
        _current.drain()


def compose(lanes: list[str], slots: int) -> Worker:
    """A worker for the queue whose lanes these are, its engine loaded. Raises our errors when that can't be.

    Waits first for the tables that it works with, so that it may start before `forebay migrate` has run.
    """
    queue = _queue_of(lanes)
    found = settings.read(control=queue == catalog.CONTROL)
    heart = Heart(found.heart, found.watchdog)
    heart.open()
    entry, threads_each = (None, 0) if queue == catalog.CONTROL else _entry(found, queue)
    tables.wait(found.shared)
    engine = loading.load(entry, slots=slots, threads=threads_each) if entry else None
    failpoints.passed("worker.after_model_ready")
    opened = partial(
        db_session.open_engine,
        found.shared.database_url,
        pool_timeout_s=5,
        by_transaction=found.shared.pooled_by_transaction,
        name=connections.named(queue, connections.of_worker(slots, embeds=entry is not None and entry.embeds)),
    )
    sessions = db_session.open_sessions(opened(pool_size=connections.of_runs(slots)))
    upkeep = db_session.open_sessions(opened(pool_size=connections.WORKER_UPKEEP, lock_timeout_s=LOCKED_S))
    client = stream.connect(found.shared.redis_url, timeout_s=_REDIS_TIMEOUT_S, max_connections=slots + 8)
    sender = broker.Sender(found.shared.broker_url, timeout_s=messenger.TIMEOUT_S)
    dispatcher = Dispatcher(sender, sessions, found.shared.lease_s)
    return Worker(
        id=f"{queue}@{socket.gethostname()}:{os.getpid()}.{secrets.token_hex(3)}",
        queue=queue,
        slots=slots,
        engine=engine,
        embeds=entry is not None and entry.embeds,
        reranks=entry is not None and entry.reranks,
        identity=loading.identity(entry, engine) if entry and engine else None,
        settings=found,
        heart=heart,
        sessions=sessions,
        client=client,
        upkeep=upkeep,
        dispatcher=dispatcher,
        sweeper=_sweeper(found, dispatcher, upkeep, client),
    )


def _sweeper(found: WorkerSettings, dispatcher: Dispatcher, upkeep: Sessions, client: redis.Redis) -> Sweeper:
    return Sweeper(
        dispatcher,
        upkeep,
        client,
        _queues(found, client),
        found.shared.lease_s,
        found.shared.stream_ttl_s,
        every_s=_EARLY * found.sweep_s,
        kept_s=found.kept_s,
        files=found.shared.files,
    )


def notices_of(worker: Worker, controller: Any) -> Notices:
    """What Flower hears of this worker's jobs and of those that its sweep ends."""

    def events() -> Events | None:
        """The consumer's: it has another after every reconnection."""
        return getattr(getattr(controller, "consumer", None), "event_dispatcher", None)

    notices = Notices(events, worker.sessions)
    telemetry.register(notices.ended)
    return notices


def _queues(found: WorkerSettings, client: redis.Redis) -> redis.Redis:
    """The Redis that Celery's queues are in: the one of the streams, unless the settings say otherwise."""
    if found.shared.broker_url == found.shared.redis_url:
        return client
    return stream.connect(found.shared.broker_url, timeout_s=_REDIS_TIMEOUT_S, max_connections=3)


def begin(worker: Worker) -> list[threading.Thread]:
    """Enters the worker, hands waiting jobs to it, starts its threads."""
    epochs.settle(worker.upkeep, (worker.client, worker.sweeper.queues))
    heartbeat.beat(worker)
    worker.heart.begin()
    if not worker.settings.shared.pooled_by_transaction:
        connections.warn(worker.upkeep)
    if worker.queue == catalog.CONTROL:
        brokers.warn(worker.client, worker.sweeper.queues)
    worker.refiller.ask(worker.queue)  # by its thread, which goes on trying should PostgreSQL go away right now
    return threads.start(worker)


def finish(worker: Worker, started: list[threading.Thread]) -> None:
    """Lets the runs end or release their jobs, ends the threads, takes the worker out, frees the model."""
    worker.drain()
    deadline = time.monotonic() + worker.settings.grace_s + stopping.HAND_BACK_S
    while worker.held() and time.monotonic() < deadline:
        time.sleep(0.02)
    worker.gone.set()
    deadline = time.monotonic() + stopping.THREADS_S
    for thread in started:
        thread.join(max(0.0, deadline - time.monotonic()))
    try:
        with worker.sessions.begin() as session:
            capacity.remove(session, worker.id)
    except SQLAlchemyError as error:
        log.warning("not_taken_out", error=told(error))
    worker.close()


def _queue_of(lanes: list[str]) -> str:
    served = {lane.rpartition(".")[0] for lane in lanes}
    if len(served) != 1 or "" in served:
        raise errors.SettingsError(
            f"a worker holds one model and serves MODEL.interactive and MODEL.batch, not {', '.join(sorted(lanes))}"
        )
    return served.pop()


def _entry(found: WorkerSettings, name: str) -> tuple[Model, int]:
    """The model, and how many threads its engine may compute with."""
    served = Models(found.shared.catalog).current()
    if (model := served.get(name)) is None:
        raise errors.CatalogError(f"{found.shared.catalog} has no model {name!r}")
    return model, found.threads or cores.own(served.values())
