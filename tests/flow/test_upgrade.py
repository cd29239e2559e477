"""What the version before left half done, gone on with by this one: nothing lost, nothing told or counted twice.

Its tables and keys are in `version_before`, as it left them when it was killed in the midst of them.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from sqlalchemy import text

from db import migrate
from db import session as db_session
from db.jobs import LANES
from db.session import Sessions
from tasks import ids
from tasks.queues import broker
from tasks.settings import Settings as Shared
from tasks.streams import stream
from tests import receiver, tables
from tests.receiver import Receiver
from tests.support import catalogs, databases, revisions, waiting, workers
from tests.support.events import Event, told
from tests.tasks.sweep import sweeping
from tests.webapi.conftest import Api
from webapi.app import create_app
from webapi.settings import Settings
from workers import app as workers_app
from workers import heartbeat
from workers.webhooks.courier import Courier
from workers.worker import Worker

LEASE_S = 60.0  # nobody beats by itself here; those of the version before have been silent for an hour
LEFT = Path(__file__).parent / "version_before"
RECEIVER = "http://127.0.0.1:9000/hooks"
KEY = "fb_versionold_a-key-that-the-version-before-has-given-out"
SECRET = "whsec_84Z2ze4V26KKOdUSGUk0vE3G9zIPmGG5lNQuxzRFRv4="
BOAT = "The boat costs 42 coins."
CATALOG = catalogs.echo("alpha", slots=2, context=64, default=True) + catalogs.echo("embedder", "embed", slots=2)
SUCCEEDED, CANCELLED, INGEST, LATER, DUE, HALF_TOLD, DRAWN, QUESTION, SENT, WAITING = (
    f"job_019000000000700080000000000000{number:02}" for number in range(1, 11)
)
ENDED_NOW = (INGEST, DUE, HALF_TOLD, DRAWN, QUESTION, SENT, WAITING)


@dataclass(frozen=True, slots=True)
class Upgraded:
    """What this version made of it. `by_message` had ended before the first sweep, by the messages that were there.

    `rest` is what a client was told that was connected all the time, and had the first four events before.
    """

    api: Api
    sessions: Sessions
    by_message: list[str]
    rest: list[Event]
    there: Receiver

    def job(self, job_id: str) -> dict[str, Any]:
        return dict(self.api.get(f"/v1/jobs/{job_id}").json)


@pytest.fixture(scope="module")
def upgraded(postgres_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upgraded]:
    catalog = tmp_path_factory.mktemp("upgrade") / "catalog.toml"
    catalog.write_text(CATALOG)
    with receiver.listening() as there, left_behind(postgres_url, redis_url, there.url) as url:
        migrate.upgrade(url)
        shared = workers.settings(url, redis_url, catalog, LEASE_S)
        with served(shared) as api, working(shared) as (sessions, crew), ThreadPoolExecutor(1) as reader:
            deliver(crew)
            by_message = ended(sessions)
            reading = reader.submit(events, api, HALF_TOLD, had="1-4")
            waiting.until(lambda: go_on(crew) == sorted((SUCCEEDED, CANCELLED, *ENDED_NOW)))
            carry(sessions)
            yield Upgraded(api, sessions, by_message, reading.result(), there)


def events(api: Api, job_id: str, had: str = "0-0") -> list[Event]:
    """The job's events after the one that the client had last, to the end; without its places in the queue."""
    answer = api.get(f"/v1/jobs/{job_id}/events", headers={"Last-Event-ID": had})
    return [event for event in told(answer.text) if event.type != "queued"]


@contextmanager
def left_behind(postgres_url: str, redis_url: str, receives_at: str) -> Iterator[str]:
    """The URL of a database of its own, as the version before left it; and what it left in Redis."""
    with databases.beside(postgres_url, "version_before") as own:
        with databases.pool(own) as engine, engine.begin() as connection:
            revisions.moved(connection, "0009")
            connection.exec_driver_sql((LEFT / "rows.sql").read_text().replace(RECEIVER, receives_at))
        fill(redis_url)
        yield own


def fill(redis_url: str) -> None:
    """Puts what the version before left into Redis, and nothing else."""
    client = stream.connect(redis_url, timeout_s=5, max_connections=1)
    client.flushall()
    for line in (LEFT / "redis.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            words = line.split(" ", 4 if line.startswith("XADD") else 2)
            client.execute_command(*words)
    client.close()


@contextmanager
def served(shared: Shared) -> Iterator[Api]:
    api = create_app(Settings(shared, key_pepper=tables.PEPPER, webhooks=tables.WEBHOOKS))
    try:
        yield Api(api, KEY)
    finally:
        api.extensions["forebay"].close()


@contextmanager
def working(shared: Shared) -> Iterator[tuple[Sessions, list[Worker]]]:
    """This version's workers, none of whose threads run."""
    client = stream.connect(shared.redis_url, timeout_s=5, max_connections=10)
    post = broker.Sender(shared.broker_url, timeout_s=5)
    with databases.pool(shared.database_url) as engine, ExitStack() as closing:
        sessions, crew = db_session.open_sessions(engine), []
        for model in ("control", "alpha", "embedder"):
            crew.append(workers.made(f"{model}@new", model, sessions, sessions, client, shared, post, None))
            closing.callback(workers.close, crew[-1])
        yield sessions, crew


def deliver(crew: Sequence[Worker]) -> None:
    """Has each worker run what the broker holds for it, as Celery would hand it over."""
    app = Celery("receiver", set_as_current=False)
    app.conf.update(broker.configuration(crew[0].settings.shared.broker_url, timeout_s=5))
    for worker in crew:
        with app.connection_for_read() as connection:
            for lane in LANES:
                while message := connection.default_channel.basic_get(broker.lane(worker.queue, lane)):
                    assert message.headers["task"] == broker.RUN
                    [job_id], _, _ = message.payload
                    workers_app.receive(worker, job_id)
                    message.ack()


def go_on(crew: Sequence[Worker]) -> list[str]:
    """Every worker beats, one sweeps, and all run what that has sent. The jobs that have ended by then."""
    for worker in crew:
        heartbeat.beat(worker)
    sweeping.sweep(crew[0].sweeper)
    deliver(crew)
    return ended(crew[0].sessions)


def ended(sessions: Sessions) -> list[str]:
    """The jobs that have an end, in the order of their ids."""
    with sessions() as session:
        found = session.scalars(text("SELECT id FROM jobs WHERE finished_at IS NOT NULL ORDER BY id"))
        return [ids.show(job_id) for job_id in found]


def carry(sessions: Sessions) -> None:
    courier = Courier(sessions, tables.WEBHOOKS, limit_s=30)
    while courier.send_due():
        courier.finish(30)


def test_messages_that_waited_are_taken(upgraded: Upgraded) -> None:
    """Without a sweep that sends them again: both jobs ended by what the version before had sent."""
    assert upgraded.by_message == [SUCCEEDED, CANCELLED, QUESTION, SENT]


def test_everything_ends_but_what_is_for_later(upgraded: Upgraded) -> None:
    with upgraded.sessions() as session:
        rows = session.execute(text("SELECT id, status, due_at > now() + interval '28 days' FROM jobs"))
        found = {ids.show(job_id): (status, waits) for job_id, status, waits in rows}
    assert (found[CANCELLED], found[LATER]) == (("cancelled", True), ("scheduled", True))
    assert {found[job_id][0] for job_id in (SUCCEEDED, *ENDED_NOW)} == {"succeeded"}
    assert len(found) == 10


TEXTS = {
    SUCCEEDED: "all is well",
    DUE: "now is the time",
    HALF_TOLD: "one two three four five six seven eight nine ten",
    DRAWN: "five tenfour nine seven six one nine three eight ",
    SENT: "I was sent for",
    WAITING: "we wait in line",
}


@pytest.mark.parametrize("job_id", TEXTS)
def test_answers_are_what_they_would_have_been(upgraded: Upgraded, job_id: str) -> None:
    """Numbered without a gap, and nothing of them told anew."""
    heard = events(upgraded.api, job_id)
    result = upgraded.job(job_id)["result"]
    assert result.get("text") or result["message"]["content"] == TEXTS[job_id]
    assert "".join(event.data["text"] for event in heard if event.type == "delta") == TEXTS[job_id]
    assert [event.number for event in heard] == list(range(1, len(heard) + 1))
    assert "restarted" not in {event.type for event in heard}


def test_reader_that_had_read_half_is_told_the_rest(upgraded: Upgraded) -> None:
    """It was connected while the job changed hands."""
    assert [event.number for event in upgraded.rest] == list(range(5, 5 + len(upgraded.rest)))
    assert "".join(event.data["text"] for event in upgraded.rest if event.type == "delta") == (
        "four five six seven eight nine ten"
    )
    assert upgraded.rest[-1].type == "succeeded"


@pytest.mark.parametrize(("job_id", "token_ids"), [(HALF_TOLD, [*range(10)]), (DRAWN, [4, 9, 3, 8, 6, 5, 0, 8, 2, 7])])
def test_tokens_of_both_versions_are_kept_by_their_ids(upgraded: Upgraded, job_id: str, token_ids: list[int]) -> None:
    """Those that an engine would go on from, if the job were taken over once more."""
    with upgraded.sessions() as session:
        found = text("SELECT token_ids FROM job_outputs WHERE job_id = :id")
        assert session.scalar(found, {"id": ids.parse(job_id)}) == token_ids


def test_question_keeps_its_passages(upgraded: Upgraded) -> None:
    """The version before had found them, and handed them to the stage that answers."""
    result = upgraded.job(QUESTION)["result"]
    assert [(passage["text"], passage["score"]) for passage in result["passages"]] == [(BOAT, 0.308607)]
    assert "[1] Boats\nThe boat" in result["text"]  # it says again what it was asked
    heard = events(upgraded.api, QUESTION)
    assert [event.number for event in heard] == list(range(1, len(heard) + 1))
    assert "".join(event.data["text"] for event in heard if event.type == "delta") == result["text"]


def test_ingest_goes_on_after_the_first_text(upgraded: Upgraded) -> None:
    """What was ready is neither embedded nor paid for again."""
    job = upgraded.job(INGEST)
    assert [(document["status"], document["chunks"]) for document in job["result"]["documents"]] == [
        ("ready", 1),
        ("ready", 3),
    ]
    with upgraded.sessions() as session:
        rows = session.execute(text("SELECT number, tokens FROM chunks ORDER BY document_id, number"))
        assert [tuple(row) for row in rows] == [(0, 5), (0, 64), (1, 64), (2, 27)]
    assert job["usage"]["prompt_tokens"] == 5 + 64 + 64 + 27


def test_ledger_has_a_row_for_each_end(upgraded: Upgraded) -> None:
    """With what both versions spent, once: those that had rows before are kept as they were."""
    with upgraded.sessions() as session:
        columns = "job_id, status, prompt_tokens, completion_tokens, embedding_tokens, attempts"
        rows = session.execute(text(f"SELECT {columns} FROM ledger ORDER BY job_id"))
        assert {ids.show(job_id): tuple(rest) for job_id, *rest in rows} == {
            SUCCEEDED: ("succeeded", 3, 3, 0, {"succeeded": 1}),
            CANCELLED: ("cancelled", 0, 0, 0, {}),
            INGEST: ("succeeded", 5 + 64 + 64 + 27, 0, 0, {"lost": 1, "succeeded": 1}),
            DUE: ("succeeded", 4, 4, 0, {"succeeded": 1}),
            HALF_TOLD: ("succeeded", 10, 10, 0, {"lost": 1, "succeeded": 1}),
            DRAWN: ("succeeded", 10, 10, 0, {"lost": 1, "succeeded": 1}),
            QUESTION: ("succeeded", 37, 27, 6, {"passed_on": 1, "succeeded": 1}),
            SENT: ("succeeded", 4, 4, 0, {"succeeded": 1}),
            WAITING: ("succeeded", 4, 4, 0, {"succeeded": 1}),
        }


def test_request_under_a_key_that_was_used_is_answered_with_its_job(upgraded: Upgraded) -> None:
    asked = {"type": "generate", "model": "alpha", "input": {"prompt": "all is well"}}
    asked |= {"params": {"temperature": 0}, "metadata": {"order": "7"}}
    again = upgraded.api.post("/v1/jobs", json=asked, headers={"Idempotency-Key": "order-7"})
    assert (again.status_code, again.headers["Idempotency-Replayed"], again.json["id"]) == (202, "true", SUCCEEDED)
    other = upgraded.api.post("/v1/jobs", json=asked | {"priority": 6}, headers={"Idempotency-Key": "order-7"})
    assert other.status_code == 422


def test_webhooks_are_delivered(upgraded: Upgraded) -> None:
    """The one that had been refused twice as it was, under its id; one for each later end; all by the old secret."""
    ends = {message.id: message.verified(SECRET) for message in upgraded.there.messages}
    assert ends["msg_019000000000700080000000000000f1"] == {
        "type": "job.succeeded",
        "timestamp": "2026-11-26T20:45:10.327499Z",
        "data": {"id": SUCCEEDED},
    }
    assert sorted(end["data"]["id"] for end in ends.values()) == sorted((SUCCEEDED, *ENDED_NOW))
    assert len(upgraded.there.messages) == len(ends)
