"""Batches, stage by stage: on real PostgreSQL and Redis, with echo engines, by workers that die when a test says so."""

import itertools
import json
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import text

from db.session import Sessions
from tasks.batches import batches
from tasks.batches.batches import BatchView, NewBatch
from tasks.files import files, keeping
from tasks.files.files import Wish
from tasks.files.keeping import Room
from tasks.jobs.lifecycle import Status
from tasks.jobs.requests import Submission
from tasks.keys import Caller
from tasks.kinds.batch import BatchRequest
from tasks.models import catalog
from tasks.queues import capacity
from tests import tables
from tests.support import catalogs
from workers import run
from workers.attempt import Attempt
from workers.worker import Worker

CHAT = "/v1/chat/completions"
CATALOG = "\n".join(
    (
        catalogs.echo("alpha", slots=2, context=64),
        catalogs.echo("beta", slots=2, context=64),
        catalogs.echo("embedder", "embed", slots=2, context=64),
    )
)


def chat(name: str, content: str = "some words", **body: Any) -> dict[str, Any]:
    whole = {"model": "alpha", "messages": [{"role": "user", "content": content}], **body}
    return {"custom_id": name, "method": "POST", "url": CHAT, "body": whole}


def chats(number: int) -> list[dict[str, Any]]:
    return [chat(str(n), f"word{n}") for n in range(number)]


class Hall:
    """A control worker and those of models, and what is asked of them."""

    def __init__(self, sessions: Sessions, caller: Caller, make_worker: Any, folder: Path) -> None:
        self.models = folder / "models.toml"
        self.models.write_text(CATALOG)
        self.sessions, self.caller, self._make_worker = sessions, caller, make_worker
        self.workers: dict[str, Worker] = {catalog.CONTROL: make_worker(catalog.CONTROL, models=self.models)}
        for name in ("alpha", "beta", "embedder"):
            self.serve(name, "as it was")
        self.stores = self.workers[catalog.CONTROL].stores

    def serve(self, name: str, identity: str | None) -> None:
        """From now on the model's answers are made by this: a new worker takes the place of the one before."""
        if name in self.workers:
            with self.sessions.begin() as session:
                capacity.remove(session, self.workers[name].id)
        self.workers[name] = self._make_worker(name, models=self.models, identity=identity)

    def send(self, raw: bytes, purpose: str = "batch") -> uuid.UUID:
        room = Room("file", len(raw), 2**40)
        with keeping.kept(self.stores, self.caller.tenant_id, [raw], room) as part, self.sessions.begin() as session:
            return files.add(session, self.caller, part, Wish("lines.jsonl", purpose)).id

    def begin(
        self,
        lines: Sequence[Any] | bytes,
        endpoint: str = CHAT,
        window_s: int = 86_400,
        kept_s: int | None = None,
        known: int = 0,
    ) -> uuid.UUID:
        """`known` is how many lines it has where the one who asks for it knows."""
        raw = lines if isinstance(lines, bytes) else b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        new = NewBatch(endpoint, self.send(raw), "24h", window_s, kept_s, lines=known)
        with self.sessions.begin() as session:
            asked: Submission[Any] = Submission("batch", None, BatchRequest(new), lane="batch")
            return tables.accept(session, self.caller, asked).id

    def waiting(self, queue: str | None = None) -> list[tuple[uuid.UUID, str]]:
        query = "SELECT id, queue FROM jobs WHERE status IN ('queued', 'dispatched') ORDER BY id"
        with self.sessions() as session:
            found = [(row[0], row[1]) for row in session.execute(text(query))]
        return [(id, own) for id, own in found if queue in (None, own)]

    def step(self, queue: str | None = None) -> bool:
        """Runs the job that is next in the queue, or in whichever; False when none waits."""
        for job_id, own in self.waiting(queue)[:1]:
            tables.dispatch(self.sessions, job_id)
            run.run(self.workers[own], job_id)
            return True
        return False

    def run(self, queue: str | None = None) -> None:
        while self.step(queue):
            pass

    def lose(self) -> bool:
        """Runs the stage that is next on the control worker, which dies before its outcome is written."""
        for job_id, _ in self.waiting(catalog.CONTROL)[:1]:
            tables.dispatch(self.sessions, job_id)
            worker = self.workers[catalog.CONTROL]
            claim = run.take(worker, job_id)
            assert claim is not None
            attempt = Attempt(claim)
            run.produce(worker, attempt, run.open_stream(worker, attempt))
            with self.sessions.begin() as session:
                tables.lose(session, job_id, crashes=claim.crashes + 1)
            worker.renew(time.monotonic())
            return True
        return False

    def look(self, batch_id: uuid.UUID) -> BatchView:
        with self.sessions.begin() as session:
            return batches.get(session, self.caller, batch_id)

    def cancel(self, batch_id: uuid.UUID) -> None:
        with self.sessions.begin() as session:
            batches.cancel(session, self.caller, batch_id)

    def expire(self, batch_id: uuid.UUID) -> None:
        """Its window ends, and a sweep finds it."""
        with self.sessions.begin() as session:
            session.execute(text("UPDATE batches SET expires_at = now() WHERE job_id = :id"), {"id": batch_id})
        with self.sessions.begin() as session:
            batches.expire(session, 100)

    def lines(self, file_id: uuid.UUID | None) -> list[dict[str, Any]]:
        """Of a file, in its order; none where there is none."""
        if file_id is None:
            return []
        whole = b"".join(files.content(self.stores, self.caller, file_id).read())
        return [json.loads(line) for line in whole.splitlines()]

    def told(self, batch_id: uuid.UUID) -> tuple[list[str], list[str]]:
        """What the lines of both files are called, in their order."""
        found = self.look(batch_id)
        output, refused = (self.lines(id) for id in (found.output_file_id, found.error_file_id))
        return [line["custom_id"] for line in output], [line["custom_id"] for line in refused]

    def files(self) -> int:
        """How many files there are that batches made."""
        with self.sessions.begin() as session:
            return len(files.page(session, self.caller, limit=100, purpose="batch_output")[0])

    def statuses(self, batch_id: uuid.UUID) -> dict[Status, int]:
        query = "SELECT status FROM jobs WHERE parent_id = :id ORDER BY status"
        with self.sessions() as session:
            found = session.scalars(text(query), {"id": batch_id}).all()
        return {Status(status): len(list(same)) for status, same in itertools.groupby(found)}

    def column(self, batch_id: uuid.UUID, name: str) -> Any:
        return tables.column(self.sessions, batch_id, name)
