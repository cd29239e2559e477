"""A worker's slot, as a stage has it: what the attempt in it may use, and when it is to be given back."""

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.orm import Session

from db.session import Sessions
from tasks import errors
from tasks.files.stores import Stores
from tasks.functions.toolbox import Toolbox
from tasks.jobs import endings
from tasks.jobs.outcomes import Onward
from tasks.models.catalog import Catalog
from tasks.models.engine import Engine, Generator
from tasks.queues import places
from tasks.shapes.parent import Shaper
from workers.attempt import Attempt
from workers.batcher import Batcher
from workers.courtesy import Courtesy
from workers.cutting.parent import Cutter
from workers.quarantine import Quarantine
from workers.speaking import Speaking
from workers.turns import Turns

_LOOK_S = 0.5


@dataclass(slots=True)
class Slot:
    """Made for each attempt, from its worker; used by the attempt's thread.

    The control worker has no `engine`, and only a worker whose model embeds or reranks has a `batcher`. `full` says
    whether every slot of the worker is taken; `wake` has a queue's window refilled soon, after a commit that put jobs
    there. `identities` tells what the answers of each queue are made by now, where that is known. `stores` have the
    bytes of kept files. `end_lines` ends some children of a job that haven't ended, with this error; how many.
    """

    queue: str
    worker_id: str
    sessions: Sessions
    stall_s: float
    quarantine: Quarantine
    speaking: Speaking
    courtesy: Courtesy
    cutter: Cutter
    shaper: Shaper
    toolbox: Toolbox
    turns: Turns
    plain_turns: Turns
    line_turns: Turns
    stores: Stores
    models: Callable[[], Catalog]
    identities: Callable[[Session], Mapping[str, str]]
    end_lines: Callable[[uuid.UUID, endings.Error], int]
    full: Callable[[], bool]
    wake: Callable[[str], None]
    engine: Engine | None
    embedding: Batcher | None
    _looked_at: float = field(default_factory=time.monotonic)

    @property
    def generator(self) -> Generator:
        """The engine of a worker whose model writes, which its queues see to."""
        assert isinstance(self.engine, Generator)
        return self.engine

    @property
    def batcher(self) -> Batcher:
        """The batcher of a worker whose model embeds or reranks, which its queues see to."""
        assert self.embedding is not None
        return self.embedding

    def check(self, attempt: Attempt) -> None:
        """Raises `Cancelled` when the attempt is to stop, `GaveWay` when its job is to give the slot back.

        For stages that are done in parts, each kept when it is done: asked between two parts, and while a part waits
        for its turn. The slot is given back when a tenant waits who has fewer. It isn't while the worker has another
        that is free; if it has none, the database is asked now and then.
        """
        attempt.check()
        now, claim = time.monotonic(), attempt.claim
        if now - self._looked_at < _LOOK_S or not self.full():
            return
        self._looked_at = now
        with self.sessions.begin() as session:
            wanted = places.slot_is_wanted(session, self.queue, claim.lane, claim.tenant_id)
        if wanted:
            raise errors.GaveWay(f"a slot of {self.queue} is wanted")

    def back(self, attempt: Attempt, stage_input: dict[str, Any] | None = None) -> Onward:
        """The end of an attempt that gives its slot back: the job waits for its stage again, with this input."""
        return Onward(attempt.claim.stage, self.queue, stage_input)
