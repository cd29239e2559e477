"""Lines of batches that an earlier batch of their tenant has answered."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from db import removing as removing_table
from db.jobs import Job
from db.session import Sessions
from tasks.jobs import removing
from tasks.jobs.requests import Stored, Submission
from tasks.keys import Caller
from tasks.kinds.batch import BatchKind, BatchRequest
from tasks.models import catalog
from tests import tables
from tests.workers.batched import Hall, chat
from tests.workers.conftest import MakeWorker
from workers.stages import batch_lines

LATER = "UPDATE model_changes SET since = since - interval '1 min'"


@pytest.fixture
def hall(sessions: Sessions, caller: Caller, make_worker: MakeWorker, tmp_path: Path) -> Hall:
    return Hall(sessions, caller, make_worker, tmp_path)


def greedy(*names: str, **body: Any) -> list[dict[str, Any]]:
    """Lines, each called and saying so."""
    return [chat(name, f"say {name}", temperature=0, **body) for name in names]


def ran(hall: Hall) -> int:
    """How many lines have been run, by what was charged."""
    with hall.sessions() as session:
        return session.scalar(text("SELECT count(*) FROM ledger WHERE model <> 'control'")) or 0


def said(hall: Hall, batch_id: Any) -> list[str]:
    lines = hall.lines(hall.look(batch_id).output_file_id)
    return [line["response"]["body"]["choices"][0]["message"]["content"] for line in lines]


def test_what_was_answered_is_not_run_again(hall: Hall) -> None:
    """It is told under the new names, and what it took is in `usage` as it was; but it is charged once."""
    first = hall.begin(greedy("a", "b"))
    hall.run()
    lines = greedy("b", "a", "c")
    renamed = [line | {"custom_id": f"new {line['custom_id']}"} for line in lines]
    second = hall.begin(renamed)
    hall.run()
    found = hall.look(second)
    assert ran(hall) == 3
    assert (found.status, found.counts.completed, found.counts.failed) == ("completed", 3, 0)
    assert hall.told(second) == (["new b", "new a", "new c"], [])
    assert said(hall, second) == ["say b", "say a", "say c"]
    assert found.spent.completion == 6
    told = [line for id in (first, second) for line in hall.lines(hall.look(id).output_file_id)]
    assert len({line["id"] for line in told}) == len({line["response"]["body"]["id"] for line in told}) == 5


def test_a_batch_of_which_all_is_answered_ends_without_its_model(hall: Hall) -> None:
    """Twins too, whose lines are answered."""
    hall.begin(greedy("a"))
    hall.run()
    second = hall.begin([*greedy("a"), chat("b", "say a", temperature=0)])
    hall.run(catalog.CONTROL)
    assert hall.told(second) == (["a", "b"], [])
    assert (hall.look(second).status, ran(hall)) == ("completed", 1)


def test_answers_outlive_the_batch_that_ran_them(hall: Hall) -> None:
    """In those that took them over: from these, later ones take them."""
    first = hall.begin(greedy("a"))
    hall.run()
    second = hall.begin(greedy("a"))
    hall.run()
    erase(hall, first)
    third = hall.begin(greedy("a"))
    hall.run()
    assert (said(hall, third), ran(hall)) == (["say a"], 1)
    erase(hall, second)
    erase(hall, third)
    hall.begin(greedy("a"))
    hall.run()
    assert ran(hall) == 2


def erase(hall: Hall, batch_id: Any) -> None:
    removing.erase(hall.sessions, hall.workers[catalog.CONTROL].client, hall.caller, batch_id)


def test_vectors_are_taken_over(hall: Hall) -> None:
    def embedding(name: str) -> dict[str, Any]:
        body = {"model": "embedder", "input": ["a b", "c"]}
        return {"custom_id": name, "method": "POST", "url": "/v1/embeddings", "body": body}

    made = []
    for name in ("a", "b"):
        batch_id = hall.begin([embedding(name)], "/v1/embeddings")
        hall.run()
        [line] = hall.lines(hall.look(batch_id).output_file_id)
        made.append(line["response"]["body"]["data"])
    assert made[0] == made[1]
    assert ran(hall) == 1


def test_another_tenant_is_answered_by_itself(hall: Hall) -> None:
    """Whatever is equal."""
    hall.begin(greedy("a"))
    hall.run()
    hall.caller = tables.tenant(hall.sessions, "theirs")
    hall.begin(greedy("a"))
    hall.run()
    assert ran(hall) == 2
    with hall.sessions() as session:
        assert session.scalar(text("SELECT count(DISTINCT digest) FROM line_digests")) == 2


@pytest.mark.parametrize("lines", [[chat("a", "say a", temperature=1)], [chat("a", "w " * 70, temperature=0)]])
def test_what_is_drawn_or_went_wrong_is_asked_again(hall: Hall, lines: list[Any]) -> None:
    hall.begin(lines)
    hall.run()
    hall.begin(lines)
    hall.run()
    assert ran(hall) == 2


def test_batches_of_one_time_run_beside_each_other(hall: Hall) -> None:
    """Nobody waits for a line of another batch, whose window may be a longer one, or which may be cancelled."""
    both = [hall.begin(greedy("a"), window_s=window_s) for window_s in (86_400, 3600)]
    hall.run(catalog.CONTROL)
    hall.run()
    assert [said(hall, id) for id in both] == [["say a"]] * 2
    assert ran(hall) == 2


def test_a_model_that_was_replaced_answers_anew(hall: Hall) -> None:
    """And when the one before is back, what that had answered is known again."""
    for identity, run in (("as it was", 1), ("another", 2), ("as it was", 2), (None, 3)):
        hall.serve("alpha", identity)
        with hall.sessions.begin() as session:
            session.execute(text(LATER))
        hall.begin(greedy("a"))
        hall.run()
        assert ran(hall) == run


def test_while_workers_of_two_models_serve_under_one_name_all_is_run(hall: Hall, make_worker: MakeWorker) -> None:
    hall.begin(greedy("a"))
    hall.run()
    make_worker("alpha", models=hall.models, identity="another")
    hall.begin(greedy("a"))
    hall.run()
    assert ran(hall) == 2


def test_what_another_model_answered_than_was_thought_is_not_told_again(hall: Hall) -> None:
    """The model was replaced while a line waited."""
    hall.begin(greedy("a"))
    hall.run(catalog.CONTROL)
    hall.serve("alpha", "another")
    hall.run()
    hall.serve("alpha", "as it was")
    hall.begin(greedy("a"))
    hall.run()
    assert ran(hall) == 2


def test_a_model_that_is_served_for_the_first_time_was_not_replaced(hall: Hall) -> None:
    with hall.sessions() as session:
        assert set(session.scalars(text("SELECT extract(epoch FROM since) FROM model_changes"))) == {0}


def test_a_lot_that_is_written_again_takes_over_once(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was answered elsewhere between the two."""
    monkeypatch.setattr(batch_lines, "SLICE_S", -1.0)
    first = hall.begin(greedy("a", "b"))
    hall.run(catalog.CONTROL)
    hall.step("alpha")
    second = hall.begin(greedy("c", "b", "a"))
    while hall.lose():
        hall.step("alpha")
        hall.step(catalog.CONTROL)
    hall.run()
    assert hall.told(first) == (["a", "b"], [])
    assert hall.told(second) == (["c", "b", "a"], [])
    assert said(hall, second) == ["say c", "say b", "say a"]


def test_what_answered_a_line_that_was_noted_too_late_is_unknown(hall: Hall) -> None:
    """Its lot was written again."""
    hall.serve("alpha", None)
    hall.begin(greedy("a"))
    hall.step(catalog.CONTROL)
    hall.lose()
    hall.step("alpha")
    hall.serve("alpha", "as it was")
    hall.run()
    with hall.sessions() as session:
        assert session.scalar(text("SELECT count(*) FROM line_digests")) == 1
    hall.begin(greedy("a"))
    hall.run()
    assert ran(hall) == 2


@pytest.mark.parametrize("how", [Hall.cancel, Hall.expire])
def test_answers_that_were_taken_over_are_told_by_a_batch_that_ends_early(hall: Hall, how: Callable[..., None]) -> None:
    hall.begin(greedy("a", "c"))
    hall.run()
    second = hall.begin(greedy("a", "b", "c"))
    hall.step(catalog.CONTROL)
    hall.step(catalog.CONTROL)
    how(hall, second)
    hall.run(catalog.CONTROL)
    assert hall.told(second) == (["a", "c"], ["b"])
    counts = hall.look(second).counts
    assert (counts.completed, counts.failed) == (2, 1)


@pytest.mark.parametrize(
    "forgotten", ["DELETE FROM job_outputs", "UPDATE job_outputs SET result = NULL", "UPDATE jobs SET store = false"]
)
def test_what_is_forgotten_is_not_told_again(hall: Hall, forgotten: str) -> None:
    hall.begin(greedy("a"))
    hall.run()
    with hall.sessions.begin() as session:
        session.execute(text(forgotten))
    hall.begin(greedy("a"))
    hall.run()
    assert ran(hall) == 2


def test_a_line_that_is_being_erased_is_taken_over_whole(hall: Hall) -> None:
    first = hall.begin(greedy("a", "b"))
    hall.run()
    second = hall.begin(greedy("a", "b"))
    hall.step(catalog.CONTROL)
    with hall.sessions.begin() as session:
        removing_table.remove(session, removing_table.youngest(session, first, 100))
        hall.run(catalog.CONTROL)
    assert said(hall, second) == ["say a", "say b"]
    assert ran(hall) == 2


def test_what_a_retry_took_over_is_not_known_to_others(hall: Hall) -> None:
    """It may be of a model that was replaced: then a retry keeps the answers that there are."""
    first = hall.begin([*greedy("a"), chat("b", "w " * 70, temperature=0)])
    hall.run()
    hall.serve("alpha", "another")
    with hall.sessions.begin() as session:
        session.execute(text(LATER))
        old = session.get_one(Job, first)
        asked = BatchRequest(replace(BatchKind().parse(Stored(old.input, old.params)).new, takes_over=first))
        second = tables.accept(session, hall.caller, Submission("batch", None, asked, lane="batch")).id
    hall.run()
    assert hall.told(second) == (["a"], ["b"])
    hall.begin(greedy("a"))
    hall.run()
    assert ran(hall) == 4
