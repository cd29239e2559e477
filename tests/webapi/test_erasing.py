"""A tenant is erased: `forebay tenants erase` leaves nothing of it but what it used, in whichever table that was."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from typing import Any

import pytest
import redis
from click.testing import CliRunner, Result
from flask import Flask
from sqlalchemy import Uuid, text

from cli.main import main
from cli.operator import tenants as command
from db import tables as all_tables
from db import turns, windows
from db.session import Sessions
from db.webhooks import deliveries
from tasks import errors, keys
from tasks.files.stores import Stores
from tasks.jobs import erasing
from tasks.settings import IN_POSTGRES
from tests import tables
from tests.support.post import Post
from tests.support.waiting import until
from tests.tasks.sweep.sweeping import made, sweep
from tests.webapi import byhand
from tests.webapi.conftest import new_key
from tests.webapi.sides import Side, World

EVERYBODYS = {"workers", "model_changes", "rounds", "windows", "usage_mark", "epochs"}
STAYS = {"ledger", "usage_days", "tenants"}

# What no request makes without a worker.
BY_HAND = (
    "INSERT INTO job_checkpoints (job_id, first, entries) VALUES (:job, 1, '[]')",
    "INSERT INTO job_vectors (job_id, dimensions, data) VALUES (:job, 1, '')",
    "INSERT INTO summary_results (summary_id, number, job_id) VALUES (:job, 1, :job)",
    "INSERT INTO batch_results (batch_id, number, place) VALUES (:job, 1, 0)",
    "INSERT INTO batch_twins SELECT job_id, 1, 0, 'words' FROM batches WHERE tenant_id = :tenant",
    "INSERT INTO line_digests SELECT job_id, 0, job_id, now() FROM batches WHERE tenant_id = :tenant",
    "INSERT INTO turns (queue, lane, tenant_id, taken) VALUES ('alpha', 'batch', :tenant, 1)",
    "INSERT INTO summary_steps (tenant_id, digest, text) VALUES (:tenant, 'd', 'words')",
    "INSERT INTO word_counts (collection_id, term, tenant_id, chunks) VALUES (:collection, 1, :tenant, 1)",
    "INSERT INTO reembeddings (collection_id, tenant_id, job_id, model) VALUES (:collection, :tenant, :job, 'm')",
    "INSERT INTO reembedded (document_id, tenant_id, collection_id, chunks)"
    " VALUES (:document, :tenant, :collection, 1)",
    "INSERT INTO chunks (document_id, number, tenant_id, collection_id, text, tokens, terms, words)"
    " VALUES (:document, 1, :tenant, :collection, 'words', 1, '{}', '{}/5')",
)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other process knows the keys of these tests."""
    monkeypatch.setattr(command, "_KNOWN_S", 0)


@pytest.fixture
def world(app: Flask, sessions: Sessions, client: redis.Redis) -> World:
    return World(app, sessions, client)


def filled(world: World, word: str) -> Side:
    """A tenant with something in every table, and jobs that wait and run."""
    side = world.tenant(word).make_everything()
    side.api.submit(input={"prompt": word}, webhook={"url": "https://one.example.com/"})
    running = side.api.post("/v1/jobs", json={"type": "generate", "input": {"prompt": word}}, headers=KEYED).json["id"]
    byhand.run(world.sessions, world.client, running).say(word)
    with world.sessions.begin() as session:
        query = "SELECT d.id, d.collection_id, t.id, d.job_id FROM documents d JOIN tenants t ON t.id = d.tenant_id"
        found = session.execute(text(f"{query} WHERE t.name = :name AND d.collection_id IS NOT NULL"), {"name": word})
        document, collection, tenant, job = found.first() or (None,) * 4
        given = {"document": document, "collection": collection, "tenant": tenant, "job": job}
        for statement in BY_HAND:
            session.execute(text(statement), given)
    return side


KEYED = {"Idempotency-Key": "k"}


def erase(name: str, postgres_url: str, redis_url: str, *options: str) -> Result:
    servers = ("--database-url", postgres_url, "--redis-url", redis_url)
    return CliRunner().invoke(main, ["tenants", "erase", name, *servers, *(options or ("--yes",))])


def own_ids(sessions: Sessions, name: str) -> set[uuid.UUID]:
    """The tenant's id, and that of everything it has."""
    with sessions() as session:
        tenant_id = session.scalar(text("SELECT id FROM tenants WHERE name = :name"), {"name": name})
        found = {tenant_id}
        for table in all_tables.metadata.sorted_tables:
            if "tenant_id" in table.columns and "id" in table.columns and isinstance(table.columns["id"].type, Uuid):
                rows = session.scalars(text(f"SELECT id FROM {table.name} WHERE tenant_id = :id"), {"id": tenant_id})
                found.update(rows)
    return found


def rows(sessions: Sessions, own: set[uuid.UUID]) -> dict[str, int]:
    """How many rows of each table name one of these, in whichever column."""
    counts = {}
    with sessions() as session:
        for table in all_tables.metadata.sorted_tables:
            columns = [column.name for column in table.columns if isinstance(column.type, Uuid)]
            which = " OR ".join(f"{name} = ANY(:own)" for name in columns) or "false"
            counts[table.name] = session.scalar(
                text(f"SELECT count(*) FROM {table.name} WHERE {which}"), {"own": [*own]}
            )
    return {name: count for name, count in counts.items() if count}


def ledger(sessions: Sessions) -> dict[uuid.UUID, Any]:
    with sessions() as session:
        return {row.job_id: tuple(row) for row in session.execute(text("SELECT * FROM ledger"))}


def test_nothing_is_left_of_a_tenant_but_what_it_used(
    world: World, sessions: Sessions, client: redis.Redis, postgres_url: str, redis_url: str
) -> None:
    """In no table of ours, one that is added tomorrow too; all is left of its neighbour."""
    filled(world, "going")
    staying = filled(world, "staying")
    own, others = own_ids(sessions, "going"), own_ids(sessions, "staying")
    names = {table.name for table in all_tables.metadata.sorted_tables} - EVERYBODYS - {"usage_days"}
    assert rows(sessions, own).keys() == names
    before, spent = rows(sessions, others), ledger(sessions)
    result = erase("going", postgres_url, redis_url)
    assert result.exit_code == 0, result.output
    assert rows(sessions, own).keys() <= STAYS
    assert (rows(sessions, others), own_ids(sessions, "staying")) == (before, others)
    assert {job_id: row for job_id, row in ledger(sessions).items() if job_id in spent} == spent
    assert not [key for key in client.scan_iter("forebay:stream:*") if uuid.UUID(key.decode()[-32:]) in own]
    counted = dict(line.split(maxsplit=1) for line in result.stdout.splitlines()[1:] if line.split()[-1].isdigit())
    assert {name for name in counted if name != "jobs"} >= {"documents", "collections", "keys", "webhook_endpoints"}
    assert staying.api.get("/v1/jobs").status_code == 200


def test_its_name_may_be_given_to_another(world: World, sessions: Sessions, postgres_url: str, redis_url: str) -> None:
    """The ledger's rows have a name that says what became of the old one."""
    old = world.tenant("going")
    old.make("jobs")
    assert erase("going", postgres_url, redis_url).exit_code == 0
    assert erase("going", postgres_url, redis_url).exit_code == 1
    new = world.tenant("going")
    assert new.api.get("/v1/usage").json["total"]["jobs"] == 0
    used = CliRunner().invoke(main, ["usage", "--database-url", postgres_url]).stdout
    assert "going (erased 20" in used


def test_suspended_tenant_is_let_in_nowhere(world: World, app: Flask, sessions: Sessions) -> None:
    """Its keys are refused, it gets no new one, and none of its webhooks is due."""
    side = world.tenant("going")
    side.make("deliveries")
    erasing.suspend(sessions, "going")
    app.extensions["forebay_keys"]._known.clear()  # two seconds later
    assert side.api.get("/v1/jobs").status_code == 401
    with pytest.raises(errors.Conflict), sessions.begin() as session:
        keys.create(session, pepper=tables.PEPPER, tenant="going", name="")
    with sessions.begin() as session:
        assert not deliveries.any_due(session)
        assert deliveries.claim(session, limit=9, per_target=9, per_tenant=9, lease_s=9) == []


def test_it_goes_on_where_it_was_cut_off(
    world: World, sessions: Sessions, client: redis.Redis, postgres_url: str, redis_url: str
) -> None:
    """After any of its lots: what was done is done, and another run does the rest."""
    filled(world, "going")
    own = own_ids(sessions, "going")
    tenant_id = erasing.suspend(sessions, "going")
    for _ in range(6):
        lots = erasing.erase(Stores(IN_POSTGRES, sessions), client, tenant_id, 60)
        next(lots)
        lots.close()
    assert erase("going", postgres_url, redis_url).exit_code == 0
    assert rows(sessions, own).keys() <= STAYS


@pytest.mark.parametrize("after_lots", [0, 3])
def test_what_was_cut_off_the_sweep_goes_on_with(
    world: World, sessions: Sessions, client: redis.Redis, after_lots: int
) -> None:
    """Until nothing is left and the name is free, though nobody runs the command again."""
    filled(world, "going")
    own, tenant_id = own_ids(sessions, "going"), erasing.suspend(sessions, "going")
    with closing(erasing.erase(Stores(IN_POSTGRES, sessions), client, tenant_id, 60)) as lots:
        assert len([*islice(lots, after_lots)]) == after_lots
    sweeper = made(sessions, client, Post(client))

    def done() -> bool:
        sweep(sweeper)
        return not _tenants(sessions, "going")

    until(done)
    assert rows(sessions, own).keys() <= STAYS


def test_nothing_of_a_suspended_tenant_is_started(sessions: Sessions) -> None:
    """Whether it was in its queue or in the window, and it takes no room there."""
    callers = [tables.tenant(sessions, name) for name in ("going", "staying")]
    job_ids = [tables.submit(sessions, caller).id for caller in callers]
    tables.worker(sessions)
    erasing.suspend(sessions, "going")
    with sessions.begin() as session:
        assert [found.job_id for found in turns.next_queued(session, "alpha", "interactive", 9)] == job_ids[1:]
    tables.dispatch(sessions, *job_ids)
    with sessions.begin() as session:
        assert windows.look(session, "alpha", tables.LEASE_S, ())[1] == 1
    assert [tables.claim(sessions, job_id) is None for job_id in job_ids] == [True, False]


def test_parent_ends_before_the_children_it_waits_for(sessions: Sessions, client: redis.Redis) -> None:
    """Else the last child's end would move it on."""
    parent_id = tables.parent(sessions, tables.tenant(sessions, "going"), children=1, goes_on_in="alpha")
    with closing(erasing.erase(Stores(IN_POSTGRES, sessions), client, erasing.suspend(sessions, "going"), 60)) as lots:
        assert next(lots) == ("jobs ended", 1)
    assert tables.column(sessions, parent_id, "status") == "cancelled"


@pytest.mark.parametrize("table", ["jobs", "documents"])
def test_what_others_hold_is_named_until_they_let_go(
    world: World,
    sessions: Sessions,
    client: redis.Redis,
    postgres_url: str,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    table: str,
) -> None:
    """Nothing that it is a part of is waited for without a word; all else goes meanwhile."""
    monkeypatch.setattr(command, "_SAY_EVERY_S", 0)
    filled(world, "going")
    own, tenant_id = own_ids(sessions, "going"), erasing.suspend(sessions, "going")
    said: list[str] = []

    def waits() -> bool:
        said.append(capsys.readouterr().err)
        return f"hold rows of {table}" in "".join(said)

    with ThreadPoolExecutor() as pool:
        with sessions.begin() as holding:
            held = text(f"SELECT id FROM {table} WHERE tenant_id = :id LIMIT 1 FOR UPDATE")
            assert holding.scalar(held, {"id": tenant_id})
            ends = pool.submit(
                main,
                ["tenants", "erase", "going", "--yes", "--database-url", postgres_url, "--redis-url", redis_url],
                standalone_mode=False,
            )
            until(waits)
        ends.result()
    assert "so far: " in "".join(said)
    assert rows(sessions, own).keys() <= STAYS


def test_what_comes_late_is_erased_by_the_sweep(
    world: World, sessions: Sessions, client: redis.Redis, postgres_url: str, redis_url: str
) -> None:
    """A request that was under way when its tenant was suspended may end after all was erased."""
    side = filled(world, "going")
    caller = keys.Caller(next(iter(own_ids(sessions, "going") & _tenants(sessions, "going"))), "")
    assert erase("going", postgres_url, redis_url).exit_code == 0
    late = tables.submit(sessions, caller).id
    assert side.api.key
    sweep(made(sessions, client, Post(client)))
    assert tables.column(sessions, late, "id") is None
    with sessions() as session:
        assert session.scalar(text("SELECT status FROM ledger WHERE job_id = :id"), {"id": late}) == "cancelled"


def _tenants(sessions: Sessions, name: str) -> set[uuid.UUID]:
    with sessions() as session:
        return set(session.scalars(text("SELECT id FROM tenants WHERE name = :name"), {"name": name}))


def test_nobody_is_erased_by_a_slip(world: World, sessions: Sessions, postgres_url: str, redis_url: str) -> None:
    """Where nobody can be asked it takes `--yes`; a tenant that isn't there is told so."""
    world.tenant("going").make("jobs")
    refused = erase("going", postgres_url, redis_url, "--ttl-s", "60")
    assert (refused.exit_code, "--yes" in refused.stderr) == (2, True)
    nobody = erase("nobody", postgres_url, redis_url)
    assert (nobody.exit_code, "no tenant nobody" in nobody.stderr) == (1, True)
    assert world.tenant("going").api.get("/v1/usage").json["total"]["jobs"] == 1


def test_revoked_keys_are_forgotten_after_a_while(sessions: Sessions, client: redis.Redis) -> None:
    """Until then they can be looked up; those that are good are never."""
    days = {new_key(sessions, "ours").split("_")[1]: day for day in (None, 1, 89, 91)}
    with sessions.begin() as session:
        for key_id, day in days.items():
            age = "UPDATE keys SET revoked_at = now() - make_interval(days => :days) WHERE id = :id"
            session.execute(text(age), {"days": day, "id": key_id})
    sweep(made(sessions, client, Post(client)))
    with sessions() as session:
        left = {key.id for key in keys.list_keys(session)}
    assert left == {key_id for key_id, day in days.items() if day != 91}
