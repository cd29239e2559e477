"""What tests of a run need: a claim, a publisher on a fake Redis, an engine that echoes."""

import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import fakeredis
import pytest
import redis

from db.session import Sessions
from tasks import ids
from tasks.files.stores import Stores
from tasks.functions.toolbox import Toolbox
from tasks.jobs.attempts import Claim
from tasks.jobs.requests import Stored
from tasks.models.engine import Engine
from tasks.settings import FunctionSettings
from tasks.shapes.parent import Shaper
from tasks.streams import stream, transcript
from tasks.streams.stream import Writer
from tasks.streams.transcript import Entry, Transcript
from tests import tables
from tests.support import workers
from tests.support.post import Post
from tests.workers.runs import MODEL
from workers.attempt import Attempt
from workers.courtesy import Courtesy
from workers.cutting.parent import Cutter
from workers.engines import loading
from workers.engines.echo import Echo
from workers.engines.llamacpp import LlamaCpp
from workers.publisher import Publisher
from workers.quarantine import Quarantine
from workers.slot import Slot
from workers.speaking import Speaking
from workers.stages.generation import Ending, Generation
from workers.turns import Turns
from workers.worker import Worker

TEN_WORDS = {"prompt": "one two three four five six seven eight nine ten"}
GREEDY = {"temperature": 0}
# Their children start with the first question and end with this process.
SHAPER = Shaper()
TOOLBOX = Toolbox(FunctionSettings(modules=("tests.tasks.functions.modules.odd_tools",), limit_s=2.0))


@dataclass(slots=True)
class Bench:
    """One attempt at a time on an engine, with the stream it writes."""

    client: fakeredis.FakeRedis
    job_id: uuid.UUID
    shaper: Shaper = SHAPER
    toolbox: Toolbox = TOOLBOX

    def attempt(
        self,
        number: int = 1,
        checkpoint: Transcript | None = None,
        *,
        input: Mapping[str, Any] = TEN_WORDS,
        params: Mapping[str, Any] = GREEDY,
        **claim: Any,
    ) -> Attempt:
        given: dict[str, Any] = {
            "type": "generate",
            "stage": "generate",
            "model": "echo",
            "stage_input": None,
            "lane": "interactive",
            "seed": 7,
        }
        whole = Claim(
            crashes=0,
            asked=Stored(input, params),
            job_id=self.job_id,
            tenant_id=uuid.UUID(int=1),
            attempt=number,
            checkpoint=checkpoint or Transcript(),
            **(given | claim),
        )
        return Attempt(whole)

    def publisher(
        self, attempt: Attempt, *, newest: bool = True, silent: Callable[[], bool] = lambda: False
    ) -> Publisher:
        writer = Writer(self.client, self.job_id, attempt.claim.attempt, 60)
        sent = None
        if attempt.claim.attempt > 1:
            attempt.transcript = stream.take_over(writer, attempt.claim.checkpoint)
            sent = len(attempt.transcript.entries)
        return Publisher(writer, attempt.transcript, lambda: newest, silent, sent)

    def run(
        self,
        attempt: Attempt,
        engine: Engine,
        publisher: Publisher | None = None,
        stall_s: float = 60,
        quarantine: Quarantine | None = None,
    ) -> Ending:
        return self.generation(attempt, engine, publisher, stall_s, quarantine).run()

    def generation(
        self,
        attempt: Attempt,
        engine: Engine,
        publisher: Publisher | None = None,
        stall_s: float = 60,
        quarantine: Quarantine | None = None,
        speaking: Speaking | None = None,
    ) -> Generation:
        slot = self.slot(engine, stall_s, quarantine, speaking)
        return Generation(slot, attempt, publisher or self.publisher(attempt), slot.generator)

    def slot(
        self,
        engine: Engine,
        stall_s: float = 60,
        quarantine: Quarantine | None = None,
        speaking: Speaking | None = None,
    ) -> Slot:
        """A slot of a worker that has no database."""
        return Slot(
            queue="echo",
            worker_id="w",
            sessions=cast(Sessions, None),
            stores=cast(Stores, None),
            stall_s=stall_s,
            quarantine=quarantine or Quarantine(),
            speaking=speaking or Speaking(),
            courtesy=Courtesy(),
            cutter=cast(Cutter, None),
            shaper=self.shaper,
            toolbox=self.toolbox,
            turns=Turns(1),
            plain_turns=Turns(1),
            line_turns=Turns(1),
            models=dict,
            identities=lambda session: {},
            end_lines=lambda job_id, error: 0,
            full=lambda: False,
            wake=lambda queue: None,
            engine=engine,
            embedding=None,
        )

    def entries(self) -> list[Entry]:
        return [event.entry for event in stream.read(self.client, self.job_id)]

    def text(self) -> str:
        return transcript.fold(self.entries()).text


MakeWorker = Callable[..., Worker]


@pytest.fixture
def make_worker(
    sessions: Sessions, upkeep: Sessions, client: redis.Redis, postgres_url: str, redis_url: str
) -> Iterator[MakeWorker]:
    """Makes workers of a model, on real PostgreSQL and Redis, with the echo engine unless told otherwise."""
    made: list[Worker] = []

    def make(
        model: str = "alpha",
        engine: Engine | None = None,
        lease_s: float = tables.LEASE_S,
        models: Path = Path("none"),
        identity: str | None = None,
    ) -> Worker:
        shared = workers.settings(postgres_url, redis_url, models, lease_s)
        own = f"w{len(made) + 1}"
        made.append(workers.made(own, model, sessions, upkeep, client, shared, Post(), engine, identity))
        return made[-1]

    yield make
    for worker in made:
        workers.close(worker)


@pytest.fixture
def worker(make_worker: MakeWorker) -> Worker:
    return make_worker()


@pytest.fixture
def bench() -> Bench:
    return Bench(fakeredis.FakeRedis(), ids.new())


@pytest.fixture
def echo() -> Echo:
    return Echo("echo", slots=2, context=64)


@pytest.fixture(scope="module")
def engine() -> Iterator[LlamaCpp]:
    """The demo model, in a host of its own; as one module's tests leave it, another never finds it."""
    loaded = loading.load(MODEL, slots=4, threads=1)
    assert isinstance(loaded, LlamaCpp)
    yield loaded
    loaded.close()
