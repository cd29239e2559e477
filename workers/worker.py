"""A worker: what its slots and its threads share."""

import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import redis
from sqlalchemy.orm import Session

from db.session import Sessions
from tasks.files.stores import Stores
from tasks.functions.toolbox import Toolbox
from tasks.jobs import attempts, endings, family, finishing
from tasks.jobs.attempts import Claim
from tasks.jobs.finishing import Finish
from tasks.jobs.settlement import Closing
from tasks.models.catalog import Catalog
from tasks.models.engine import Embedder, Engine, KeepsPrompts, Reranker
from tasks.models.registry import Models
from tasks.queues import capacity
from tasks.queues.dispatch import Dispatcher, Refiller
from tasks.shapes.parent import Shaper
from tasks.sweep.sweeper import Sweeper
from workers.attempt import Attempt, Stop
from workers.batcher import Batcher
from workers.courtesy import Courtesy
from workers.cutting.parent import Cutter
from workers.groups import Groups
from workers.heart import Heart
from workers.patience import Patience
from workers.quarantine import Quarantine
from workers.settings import WorkerSettings
from workers.slot import Slot
from workers.speaking import Speaking
from workers.together import Together
from workers.turns import Turns

PARTS_AT_ONCE = 3  # of documents: a tenant's two keep the engine busy while one of them is being stored
PLAIN_TEXTS_AT_ONCE = 2
LINES_AT_ONCE = 1  # batches whose lines are read, or written: all that takes is the interpreter, which there is one of
LOCKED_S = 0.5  # so long at most do statements of the heartbeat and the sweep wait for a lock

LINES_ENDED_AT_ONCE = 2000

_SMOOTHING = 0.2  # the weight of the newest job in the mean
_GATHER_S = 0.01  # the window is twice the slots: its refill can wait until the claimed job has its first token
_SHAPING = 2  # schemas read at a time: a slow one of one job has others wait no longer than for the processor


@dataclass(slots=True)
class Worker:
    """One process: the queue it serves, its engine, what runs in its slots, and its lease.

    The queue is named like its model; the control worker serves `catalog.CONTROL` and has no engine. `identity` is what
    its answers are made by (`loading.identity`).
    """

    id: str
    queue: str
    slots: int
    engine: Engine | None
    settings: WorkerSettings
    sessions: Sessions
    client: redis.Redis
    upkeep: Sessions  # the heartbeat's and the sweep's
    dispatcher: Dispatcher
    sweeper: Sweeper
    embeds: bool = False
    reranks: bool = False
    identity: str | None = None
    attempts: dict[uuid.UUID, Attempt] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    draining: threading.Event = field(default_factory=threading.Event)
    gone: threading.Event = field(default_factory=threading.Event)
    unusable: threading.Event = field(default_factory=threading.Event)  # its engine can't be brought back
    batch_runs: threading.Event = field(default_factory=threading.Event)  # perhaps: whoever looks finds out
    beat_at: float = field(default_factory=time.monotonic)
    silent: bool = False  # it missed its lease, and its jobs may have been taken as if it had died
    heart: Heart = field(default_factory=Heart)
    quarantine: Quarantine = field(default_factory=Quarantine)
    speaking: Speaking = field(default_factory=Speaking)
    courtesy: Courtesy = field(default_factory=Courtesy)
    unheld: set[tuple[uuid.UUID, int]] = field(default_factory=set)  # what the last heartbeat found missing here
    job_s: float | None = None
    turns: Turns = field(default_factory=lambda: Turns(PARTS_AT_ONCE))
    plain_turns: Turns = field(default_factory=lambda: Turns(PLAIN_TEXTS_AT_ONCE))  # which other files never hold up
    line_turns: Turns = field(default_factory=lambda: Turns(LINES_AT_ONCE))
    cutter: Cutter = field(default_factory=Cutter)
    shaper: Shaper = field(default_factory=lambda: Shaper(children=_SHAPING))
    patience: Patience = field(default_factory=Patience)
    refiller: Refiller = field(init=False)
    claim: Together[uuid.UUID, Claim] = field(init=False)
    finish_untold: Together[Finish, Closing] = field(init=False)
    toolbox: Toolbox = field(init=False)
    stores: Stores = field(init=False)
    groups: Groups | None = field(init=False)  # where the engine's slots keep prompts
    _batcher: Batcher | None = field(init=False)
    _models: Models | None = None

    def __post_init__(self) -> None:
        self.refiller = Refiller(self.dispatcher, _GATHER_S)
        self.toolbox = Toolbox(self.settings.functions)
        self.stores = Stores(self.settings.shared.files, self.sessions)
        self.claim, self.finish_untold = Together(self._claim), Together(self._finish_untold)
        self._batcher = self._made_batcher()
        writes = not (self.embeds or self.reranks)
        self.groups = Groups(self.sessions, self.engine) if writes and isinstance(self.engine, KeepsPrompts) else None

    def _made_batcher(self) -> Batcher | None:
        pools = self.embeds or self.reranks
        return Batcher(self.engine) if pools and isinstance(self.engine, Embedder | Reranker) else None

    def _claim(self, job_ids: Sequence[uuid.UUID]) -> Sequence[Claim | None]:
        with self.sessions.begin() as session:
            return attempts.claim(session, job_ids, queue=self.queue, worker_id=self.id)

    def _finish_untold(self, ends: Sequence[Finish]) -> Sequence[Closing | None]:
        with self.sessions.begin() as session:
            return finishing.finish_untold(session, ends)

    def go_on(self, closing: Closing) -> None:
        """Has the parent go on whose last child this was. It follows the commit of its end.

        Those whose ends were written in the same statement don't wait for it: a parent may be locked for a while.
        """
        for queue in family.go_on(self.sessions, [closing.view]):
            self.refiller.ask(queue)

    def models(self) -> Catalog:
        """The models that there are now; read when that is first asked."""
        with self.lock:
            if self._models is None:
                self._models = Models(self.settings.shared.catalog)
        return self._models.current()

    def _identities(self, session: Session) -> Mapping[str, str]:
        return capacity.identities(session, self.settings.shared.lease_s)

    def _end_lines(self, job_id: uuid.UUID, error: endings.Error) -> int:
        with self.sessions.begin() as session:
            if unstarted := endings.end_unstarted(session, job_id, error, LINES_ENDED_AT_ONCE):
                return unstarted
        ttl_s = self.settings.shared.stream_ttl_s
        ended = endings.end_children(self.sessions, self.client, [job_id], endings.CHILDREN_AT_ONCE, ttl_s, error)
        endings.announce(self.client, ended, ttl_s)  # their parent is who ends them
        return len(ended)

    def slot(self) -> Slot:
        """What an attempt may use while it runs in one of the slots."""
        return Slot(
            queue=self.queue,
            worker_id=self.id,
            sessions=self.sessions,
            stall_s=self.settings.stall_s,
            quarantine=self.quarantine,
            speaking=self.speaking,
            courtesy=self.courtesy,
            cutter=self.cutter,
            shaper=self.shaper,
            toolbox=self.toolbox,
            turns=self.turns,
            plain_turns=self.plain_turns,
            line_turns=self.line_turns,
            stores=self.stores,
            models=self.models,
            identities=self._identities,
            end_lines=self._end_lines,
            full=lambda: len(self.held()) >= self.slots,
            wake=self.refiller.ask,
            engine=self.engine,
            embedding=self._batcher,
        )

    @property
    def cut_off(self) -> bool:
        """No heartbeat reached PostgreSQL for a lease: others may have its jobs, so it must not publish."""
        return time.monotonic() - self.beat_at > self.settings.shared.lease_s

    def renew(self, began_at: float) -> None:
        """A heartbeat that began at `began_at` reached PostgreSQL: the lease ends here before it ends there."""
        self.beat_at = began_at

    def held(self) -> list[Attempt]:
        with self.lock:
            return list(self.attempts.values())

    def enter(self, attempt: Attempt) -> None:
        """Notes what runs. An older attempt of the same job, which was taken from this worker, is over."""
        with self.lock:
            older = self.attempts.get(attempt.claim.job_id)
            self.attempts[attempt.claim.job_id] = attempt
            if attempt.claim.lane == "batch":
                self.batch_runs.set()
        if older:
            older.stop(Stop.ENDED)

    def leave(self, attempt: Attempt, took_s: float) -> None:
        with self.lock:
            if self.attempts.get(attempt.claim.job_id) is attempt:
                del self.attempts[attempt.claim.job_id]
            known = self.job_s if self.job_s is not None else took_s
            self.job_s = known + _SMOOTHING * (took_s - known)

    def stop(self, job_id: uuid.UUID, why: Stop) -> None:
        """Stops the job's run if it is here. Idempotent."""
        with self.lock:
            attempt = self.attempts.get(job_id)
        if attempt:
            attempt.stop(why)

    def drain(self) -> None:
        """Claims nothing more; after the grace the jobs that still run are released. Idempotent."""
        if self.draining.is_set():
            return
        self.draining.set()
        timer = threading.Timer(self.settings.grace_s, self.release_all)
        timer.daemon = True
        timer.start()

    def close(self) -> None:
        """Frees the model. Idempotent."""
        self.cutter.close()
        self.shaper.close()
        self.toolbox.close()
        if self._batcher:
            self._batcher.close()
        if self.engine:
            self.engine.close()

    def release_all(self) -> None:
        for attempt in self.held():
            attempt.stop(Stop.DRAIN)
