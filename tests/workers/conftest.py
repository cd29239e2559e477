"""What tests of a run need: a claim, a pen on a fake Redis, an engine that echoes."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import fakeredis
import pytest

from tasks import ids, stream, transcript
from tasks.engine import Engine
from tasks.jobs import Claim
from tasks.stream import Writer
from tasks.transcript import Entry, Transcript
from workers.attempt import Attempt
from workers.engines.echo import Echo
from workers.generation import Ending, Generation
from workers.pen import Pen
from workers.quarantine import Quarantine


@dataclass(slots=True)
class Bench:
    """One attempt at a time on an engine, with the stream it writes."""

    client: fakeredis.FakeRedis
    job_id: uuid.UUID

    def attempt(self, number: int = 1, checkpoint: Transcript | None = None, **claim: Any) -> Attempt:
        given: dict[str, Any] = {
            "type": "generate",
            "stage": "generate",
            "shown_model": "echo",
            "handed": None,
            "lane": "interactive",
            "seed": 7,
            "input": {"prompt": "one two three four five six seven eight nine ten"},
            "params": {"temperature": 0},
        }
        whole = Claim(
            job_id=self.job_id,
            tenant_id=uuid.UUID(int=1),
            attempt=number,
            checkpoint=checkpoint or Transcript(),
            **(given | claim),
        )
        return Attempt(whole)

    def pen(self, attempt: Attempt, *, newest: bool = True, silent: Callable[[], bool] = lambda: False) -> Pen:
        writer = Writer(self.client, self.job_id, attempt.claim.attempt, 60)
        sent = None
        if attempt.claim.attempt > 1:
            attempt.transcript = stream.take_over(writer, attempt.claim.checkpoint)
            sent = len(attempt.transcript.entries)
        return Pen(writer, attempt.transcript, lambda: newest, silent, sent)

    def run(
        self,
        attempt: Attempt,
        engine: Engine,
        pen: Pen | None = None,
        stall_s: float = 60,
        quarantine: Quarantine | None = None,
    ) -> Ending:
        return Generation(attempt, pen or self.pen(attempt), engine, quarantine or Quarantine(), "w", stall_s).run()

    def entries(self) -> list[Entry]:
        return [event.entry for event in stream.read(self.client, self.job_id)]

    def text(self) -> str:
        return transcript.fold(self.entries()).text


@pytest.fixture
def bench() -> Bench:
    return Bench(fakeredis.FakeRedis(), ids.new())


@pytest.fixture
def echo() -> Echo:
    return Echo("echo", slots=2, context=64)
