"""The order in which a batch's lines came to their ends, whoever looks and whenever ends are committed."""

import json
import secrets
import threading
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import event, inspect, text
from sqlalchemy.orm import Session

from db import batch_results, takeovers, twins
from db.session import Sessions
from db.takeovers import Wanted
from tasks import ids
from tasks.keys import Caller
from tests import tables
from tests.support import waiting

_LINE = """
INSERT INTO jobs (id, tenant_id, parent_id, place, label, type, stage, queue, model, status, lane, priority, seed,
                  metadata, input, params, prompt_tokens, started_at, finished_at)
VALUES (:id, :tenant, :parent, :place, :label, 'chat', 'generate', 'm', 'm', :status, 'batch', 5, 1, '{}', '{}', '{}',
        7, now(), CASE WHEN :status = 'queued' THEN NULL ELSE now() END)
"""
_BATCH = """
INSERT INTO batches (job_id, tenant_id, endpoint, input_file_id, completion_window, expires_at)
VALUES (:id, :tenant, '/v1/chat/completions', :id, '24h', now())
"""
_END = "UPDATE jobs SET status = 'succeeded', finished_at = now() WHERE parent_id = :batch AND place = :place"


def batch(sessions: Sessions, caller: Caller, *statuses: str) -> uuid.UUID:
    """One whose lines are in these statuses, the answers of those that succeeded with them."""
    batch_id = ids.new()
    with sessions.begin() as session:
        session.execute(text(_BATCH), {"id": batch_id, "tenant": caller.tenant_id})
        for place, status in enumerate(statuses):
            about = {"id": ids.derived(batch_id, place), "tenant": caller.tenant_id, "parent": batch_id}
            session.execute(text(_LINE), {**about, "place": place, "label": f"r{place}", "status": status})
            if status == "succeeded":
                made = "INSERT INTO job_outputs (job_id, entries, token_ids, result) VALUES (:id, '[]', '{}', :result)"
                session.execute(text(made), {"id": about["id"], "result": f'{{"text": "{place}"}}'})
    return batch_id


def end(session: Session, batch_id: uuid.UUID, place: int) -> None:
    session.execute(text(_END), {"batch": batch_id, "place": place})


def look(sessions: Sessions, batch_id: uuid.UUID, after: int = 0) -> list[tuple[int, int]]:
    """The number and the place of each result after that one."""
    with sessions.begin() as session:
        batch_results.number_ends(session, batch_id, waits=True)
        return [(number, line.place) for number, line in batch_results.page(session, batch_id, after, 100, 2**20)]


@pytest.mark.parametrize(
    ("heavy", "at_once"),
    [
        ("UPDATE job_outputs SET result = :large", 1),
        ("UPDATE jobs SET params = jsonb_build_object('schema', :large ::jsonb) WHERE label IS NOT NULL", 1),
        ('UPDATE jobs SET input = :large, params = \'{"line": {"echo": "x"}}\' WHERE label IS NOT NULL', 1),
        ("UPDATE jobs SET input = :large WHERE label IS NOT NULL", 3),
    ],
)
def test_a_page_has_so_many_bytes(sessions: Sessions, caller: Caller, heavy: str, at_once: int) -> None:
    """Of whatever an answer is made of, which isn't loaded where it isn't. Page by page all come."""
    batch_id, seen = batch(sessions, caller, *["succeeded"] * 3), list[int]()
    with sessions.begin() as session:
        session.execute(text(heavy), {"large": json.dumps(secrets.token_hex(20_000))})
        batch_results.number_ends(session, batch_id, waits=True)
    while len(seen) < 3:
        with sessions.begin() as session:
            page = batch_results.page(session, batch_id, len(seen), 100, 10_000)
            assert len(page) == at_once
            assert all("input" in inspect(line.job).unloaded for _, line in page)
            seen += [number for number, _ in page]
    assert seen == [1, 2, 3]


def test_an_end_that_is_committed_late_comes_after_what_was_seen(sessions: Sessions, caller: Caller) -> None:
    """Though it is older: no number that somebody has seen is given again, and none is left out."""
    batch_id = batch(sessions, caller, "queued", "queued", "queued")
    with sessions.begin() as late:
        end(late, batch_id, 0)
        with sessions.begin() as early:
            end(early, batch_id, 1)
        assert look(sessions, batch_id) == [(1, 1)]
    assert look(sessions, batch_id, after=1) == [(2, 0)]
    with sessions.begin() as session:
        end(session, batch_id, 2)
    assert look(sessions, batch_id) == [(1, 1), (2, 0), (3, 2)]
    assert look(sessions, batch_id, after=3) == []


def test_who_looks_at_the_same_moment_sees_the_same(sessions: Sessions, caller: Caller) -> None:
    """Each of many lines has one number, without a gap, also while others come."""
    batch_id, over = batch(sessions, caller, *["queued"] * 40), threading.Event()
    seen: list[list[tuple[int, int]]] = []

    def look_on() -> None:
        while not over.is_set():
            seen.append(look(sessions, batch_id))

    threads = [threading.Thread(target=look_on) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for place in range(40):
            with sessions.begin() as session:
                end(session, batch_id, place)
            if place == 20:
                waiting.until(lambda: any(len(each) > 20 for each in seen))
    finally:
        over.set()
        for thread in threads:
            thread.join()
    told = look(sessions, batch_id)
    assert [number for number, _ in told] == list(range(1, 41))
    assert all(each == told[: len(each)] for each in seen)
    assert any(0 < len(each) < 40 for each in seen)


def waiters(sessions: Sessions) -> int:
    """How many wait for a lock at this moment."""
    with sessions.begin() as session:
        return session.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")) or 0


def test_who_comes_while_another_numbers_leaves_it_to_that(sessions: Sessions, caller: Caller) -> None:
    """It is held up by nothing; unless it is to wait, and then it numbers nothing again."""
    batch_id, sent = batch(sessions, caller, "succeeded", "queued"), list[str]()
    engine = sessions.kw["bind"]
    event.listen(engine, "before_cursor_execute", lambda _, __, statement, *___: sent.append(statement))
    with ThreadPoolExecutor(1) as pool:
        with sessions.begin() as first:
            batch_results.number_ends(first, batch_id, waits=True)
            with sessions.begin() as second:
                batch_results.number_ends(second, batch_id, waits=False)
                assert batch_results.page(second, batch_id, 0, 100, 2**20) == []
            third = pool.submit(look, sessions, batch_id)
            waiting.until(lambda: waiters(sessions))
        assert third.result() == [(1, 0)]
    assert sum(statement.startswith("INSERT INTO batch_results") for statement in sent) == 1


def test_what_is_left_of_a_batch_is_counted_by_what_is_unfinished(sessions: Sessions, caller: Caller) -> None:
    """However many twins have their answers: none of those is read.

    They are twins of many lines: where a line had thousands, PostgreSQL would be right to read them all.
    """
    batch_id = batch(sessions, caller, "succeeded", "queued")
    twins_of = (
        "INSERT INTO batch_twins (job_id, place, of_place, label)"
        " SELECT :id, place, mod(place, 2000), '' FROM generate_series(2, 20001) AS place"
    )
    with sessions.begin() as session:
        session.execute(text(twins_of), {"id": batch_id})
        session.execute(text("ANALYZE batch_twins"))
        session.execute(text("ANALYZE jobs"))
        assert twins.unfinished(session, batch_id) == 10
        asked = str(twins.left(batch_id).compile(session.get_bind(), compile_kwargs={"literal_binds": True}))
        plan = session.scalar(text(f"EXPLAIN (FORMAT JSON) {asked}"))
    assert "batch_twins_of" in json.dumps(plan)


def test_tokens_are_measured_on_lines_of_the_newest_batches(sessions: Sessions, caller: Caller) -> None:
    """Three of the tenant's own for the model, of which lines that were answered, read whole, and are kept still."""
    other, asked = tables.tenant(sessions, "other"), "UPDATE jobs SET input = :input WHERE parent_id = :id"
    made = [batch(sessions, caller, "succeeded", "succeeded", "failed") for _ in range(5)]
    made += [batch(sessions, other, "succeeded")]
    with sessions.begin() as session:
        for place, batch_id in enumerate(made):
            session.execute(text("UPDATE batches SET model = 'm' WHERE job_id = :id"), {"id": batch_id})
            session.execute(text(asked), {"id": batch_id, "input": json.dumps({"prompt": "x" * 10**place})})
        for table, key in (("batches", "job_id"), ("jobs", "parent_id")):
            session.execute(text(f"UPDATE {table} SET model = 'n' WHERE {key} = :id"), {"id": made[4]})
        session.execute(text(asked + " AND place = 0"), {"id": made[3], "input": "{}"})
        cut = json.dumps({"prompt": "x" * 99, "truncates": True})  # of which only a part may have been read
        session.execute(text(asked + " AND place = 0"), {"id": made[2], "input": cut})
        assert batch_results.measured_lines(session, caller.tenant_id, "m") == (10 + 10 + 100 + 1000, 4 * 7)
        assert batch_results.measured_lines(session, caller.tenant_id, "n") == (2 * 10_000, 2 * 7)


def test_results_come_in_the_order_of_the_ends(sessions: Sessions, caller: Caller) -> None:
    """Also where several have ended since somebody looked."""
    batch_id = batch(sessions, caller, "queued", "queued", "queued")
    for place in (2, 0, 1):
        with sessions.begin() as session:
            end(session, batch_id, place)
    assert look(sessions, batch_id) == [(1, 2), (2, 0), (3, 1)]


def test_who_looks_where_nothing_is_new_waits_for_nobody(sessions: Sessions, upkeep: Sessions, caller: Caller) -> None:
    """Twins whose line hasn't ended are nothing new."""
    batch_id = batch(sessions, caller, "succeeded", "queued")
    with sessions.begin() as session:
        twins.add(session, [{"job_id": batch_id, "place": 2, "of_place": 1, "label": "r2"}])
    assert look(sessions, batch_id) == [(1, 0)]
    with sessions.begin() as holder:
        holder.execute(text("SELECT FROM batches WHERE job_id = :id FOR UPDATE"), {"id": batch_id})
        assert look(upkeep, batch_id) == [(1, 0)]


def test_a_line_of_its_own_isnt_taken_over(sessions: Sessions, caller: Caller) -> None:
    """One that an attempt before made a job, which runs: only what has the earlier answer is told."""
    old, new = batch(sessions, caller, "failed", "succeeded"), batch(sessions, caller, "queued")
    lines = [Wanted(place, f"new{place}", ids.derived(new, place)) for place in range(2)]
    with sessions.begin() as session:
        assert takeovers.of_batch(session, new, old, lines) == {1}


@pytest.mark.parametrize("wanted", [range(4), range(2, 4)])
def test_answers_are_taken_over_once(sessions: Sessions, caller: Caller, wanted: Sequence[int]) -> None:
    """With what they came to, under the new lines' ids; whatever didn't succeed is left."""
    old = batch(sessions, caller, "succeeded", "failed", "succeeded", "cancelled")
    new, under = batch(sessions, caller), {place: ids.new() for place in wanted}
    lines = [Wanted(place, f"new{place}", id) for place, id in under.items()]
    for _ in range(2):
        with sessions.begin() as session:
            taken = takeovers.of_batch(session, new, old, lines)
        assert taken == {0, 2} & set(wanted)
    with sessions() as session:
        rows = session.execute(
            text(
                "SELECT j.place, j.id, j.retry_of, j.label, j.prompt_tokens, o.result FROM jobs j"
                " JOIN job_outputs o ON o.job_id = j.id WHERE j.parent_id = :new ORDER BY place"
            ),
            {"new": new},
        ).all()
    assert [tuple(row) for row in rows] == [
        (place, under[place], ids.derived(old, place), f"new{place}", 7, {"text": str(place)})
        for place in sorted(taken)
    ]
    assert len(look(sessions, new)) == len(taken)
