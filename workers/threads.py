"""The threads of a worker beside its slots, without any of which it ends.

They are the heartbeat, the sign of life to who watches the process, the sweep, the refiller of windows, the listener
for cancellations, what has batch work yield where a model writes, an embedding worker's care for indexes, and the
control worker's courier.
"""

import os
import threading
import time
from collections.abc import Callable

import redis
import structlog
from sqlalchemy.exc import SQLAlchemyError

from db.session import told
from tasks.models.engine import Generator
from workers import cancellations, heartbeat, indexing
from workers.webhooks.courier import Courier
from workers.worker import Worker
from workers.yielding import Yielding

log = structlog.get_logger(__name__)

_PAUSE_S = 1.0
_THREAD_ENDED = 70  # the status with which the process ends: EX_SOFTWARE of sysexits.h


def start(worker: Worker) -> list[threading.Thread]:
    """Starts the threads; they end once `worker.gone` is set."""
    loops: dict[str, Callable[[], None]] = {
        "heartbeat": lambda: every(worker, worker.settings.heartbeat_s, lambda: go_round(worker)),
        "sweep": lambda: every(worker, worker.settings.sweep_s, worker.sweeper.sweep),
        "refiller": lambda: worker.refiller.run(worker.gone),
        "cancellations": lambda: every(worker, _PAUSE_S, lambda: cancellations.listen(worker)),
    }
    if worker.heart.watched:
        loops["heart"] = lambda: every(worker, worker.settings.heartbeat_s, worker.heart.beat)
    if isinstance(worker.engine, Generator) and not (worker.embeds or worker.reranks):
        yielding = Yielding(worker)
        loops["yielding"] = lambda: every(worker, _PAUSE_S, yielding.run)
    if worker.embeds:
        loops["indexing"] = lambda: every(worker, indexing.EVERY_S, lambda: indexing.tend(worker))
    if worker.settings.webhooks:
        courier = Courier(worker.sessions, worker.settings.webhooks)
        loops["courier"] = lambda: deliver(worker, courier)
    threads = [
        threading.Thread(target=vital, args=(worker, loop), name=name, daemon=True) for name, loop in loops.items()
    ]
    for thread in threads:
        thread.start()
    return threads


def go_round(worker: Worker) -> None:
    """One heartbeat. Raises what it raises."""
    with worker.heart.round():
        heartbeat.beat(worker)


def deliver(worker: Worker, courier: Courier) -> None:
    """Sends what is due until the worker drains, and lets what is under way come to its end."""
    while not worker.draining.is_set():
        if not _guarded(courier.round):
            worker.draining.wait(_PAUSE_S)
    courier.finish(worker.settings.grace_s)


def vital(worker: Worker, loop: Callable[[], None]) -> None:
    """Runs the loop, and ends the process when it ends before it should.

    A worker without one of its threads would live on without a sign that it can't do its work.
    """
    try:
        loop()
    except BaseException:  # the thread's boundary, the last one
        log.exception("thread_ended", thread=threading.current_thread().name)
    if not (worker.gone.is_set() or worker.draining.is_set()):
        log.error("worker_ends", reason=f"its thread {threading.current_thread().name} has ended")
        os._exit(_THREAD_ENDED)


def every(worker: Worker, seconds: float, act: Callable[[], None]) -> None:
    """Calls `act` again and again, whatever goes wrong in it, until the worker is gone.

    Loops of as many seconds act at the same moments: threads that wake together cost a process less than one after the
    other. Other processes have other moments, so that not all look at once for a round of the sweep.
    """
    phase = seconds * (hash(worker.id) % 1000) / 1000
    while not worker.gone.is_set():
        _guarded(act)
        worker.gone.wait(seconds - (time.monotonic() + phase) % seconds)


def _guarded(act: Callable[[], None]) -> bool:
    """Whether it went well; what went wrong is logged."""
    try:
        act()
    except (SQLAlchemyError, redis.RedisError, OSError) as error:
        log.warning("interrupted", thread=threading.current_thread().name, error=told(error))
    except Exception:  # the thread's boundary: it must not stop for a slip
        log.exception("interrupted", thread=threading.current_thread().name)
    else:
        return True
    return False
