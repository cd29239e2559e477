"""In which order a batch's lines run, and which of them needn't."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from db.session import Sessions
from tasks.batches import results
from tasks.batches.counting import Counting
from tasks.keys import Caller
from tasks.models import catalog
from tests.workers.batched import Hall, chat
from tests.workers.conftest import MakeWorker
from workers.stages import batch_lines

RULES = " ".join(f"rule{n}" for n in range(20))


@pytest.fixture
def hall(sessions: Sessions, caller: Caller, make_worker: MakeWorker, tmp_path: Path) -> Hall:
    return Hall(sessions, caller, make_worker, tmp_path)


def opened(name: str, system: str, **body: Any) -> dict[str, Any]:
    turns = [{"role": "system", "content": f"{system} {RULES}"}, {"role": "user", "content": name}]
    return chat(name, messages=turns, **body)


def ran(hall: Hall) -> list[str]:
    """What the lines are called that became jobs, in the order in which they run."""
    with hall.sessions() as session:
        return list(session.scalars(text("SELECT label FROM jobs WHERE label IS NOT NULL ORDER BY id")))


@pytest.mark.parametrize("slice_s", [1.0, -1.0])
def test_lines_of_one_system_prompt_run_together(hall: Hall, monkeypatch: pytest.MonkeyPatch, slice_s: float) -> None:
    """Also where each slice of the file has one line. They are told in the order of the file."""
    monkeypatch.setattr(batch_lines, "SLICE_S", slice_s)
    names = ["a1", "b1", "a2", "b2", "a3"]
    batch_id = hall.begin([opened(name, name[0]) for name in names])
    hall.run()
    assert ran(hall) == ["a1", "a2", "a3", "b1", "b2"]
    assert hall.told(batch_id) == (names, [])


def test_a_batch_that_ends_earlier_runs_before_one_that_was_asked_for_first(hall: Hall) -> None:
    hall.begin([chat(f"day{n}") for n in range(2)])
    hall.begin([chat(f"hour{n}") for n in range(2)], window_s=3600)
    hall.run(catalog.CONTROL)
    assert ran(hall) == ["hour0", "hour1", "day0", "day1"]


@pytest.mark.parametrize("slice_s", [1.0, -1.0])
def test_equal_lines_run_once_and_are_each_answered(
    hall: Hall, monkeypatch: pytest.MonkeyPatch, slice_s: float
) -> None:
    """Each under its own name and id; what the one spent is spent once."""
    monkeypatch.setattr(batch_lines, "SLICE_S", slice_s)
    asked = [("a", "same"), ("b", "other"), ("c", "same"), ("d", "same")]
    batch_id = hall.begin([chat(name, words, temperature=0) for name, words in asked])
    hall.run(catalog.CONTROL)
    assert hall.look(batch_id).counts.total == 4
    hall.run()
    found = hall.look(batch_id)
    assert (found.status, found.counts.completed, found.counts.failed) == ("completed", 4, 0)
    assert ran(hall) == ["a", "b"]
    lines = hall.lines(found.output_file_id)
    assert [line["custom_id"] for line in lines] == ["a", "b", "c", "d"]
    assert len({line["id"] for line in lines}) == len({line["response"]["body"]["id"] for line in lines}) == 4
    said = [line["response"]["body"]["choices"][0]["message"]["content"] for line in lines]
    assert said[0] == said[2] == said[3] != said[1]
    one = lines[0]["response"]["body"]["usage"]["completion_tokens"]
    other = lines[1]["response"]["body"]["usage"]["completion_tokens"]
    assert found.spent.completion == one + other


def test_counts_move_for_twins_too(hall: Hall) -> None:
    batch_id = hall.begin([chat(name, "same", temperature=0) for name in "abc"] + [chat("d", "other")])
    hall.run(catalog.CONTROL)
    hall.step("alpha")
    assert hall.look(batch_id).counts.completed == 3


def test_equal_lines_that_draw_run_each(hall: Hall) -> None:
    hall.begin([chat(name, "same", temperature=1) for name in "ab"])
    hall.run()
    assert ran(hall) == ["a", "b"]


def test_twin_has_the_error_of_the_line_that_ran(hall: Hall) -> None:
    """It would have come to the same."""
    batch_id = hall.begin([chat(name, "w " * 70, temperature=0) for name in "ab"])  # more than the context holds
    hall.run()
    found = hall.look(batch_id)
    assert (found.counts.completed, found.counts.failed) == (0, 2)
    refused = hall.lines(found.error_file_id)
    assert [line["custom_id"] for line in refused] == ["a", "b"]
    assert refused[0]["response"]["body"]["error"] == refused[1]["response"]["body"]["error"]


@pytest.mark.parametrize("how", ["cancel", "expire"])
@pytest.mark.parametrize("steps", range(7))
def test_twins_end_with_their_batch(hall: Hall, monkeypatch: pytest.MonkeyPatch, how: str, steps: int) -> None:
    """Whatever was written by then: each line is in one of the files, once."""
    monkeypatch.setattr(batch_lines, "SLICE_S", -1.0)
    batch_id = hall.begin([chat(name, "same", temperature=0) for name in "abc"])
    for _ in range(steps):
        hall.step(catalog.CONTROL)
    if hall.look(batch_id).status == "validating":
        return
    hall.cancel(batch_id) if how == "cancel" else hall.expire(batch_id)
    hall.run(catalog.CONTROL)
    answered, refused = hall.told(batch_id)
    assert sorted(answered + refused) == ["a", "b", "c"]


def test_twins_are_erased_with_their_batch(hall: Hall) -> None:
    batch_id = hall.begin([chat(name, "same", temperature=0) for name in "ab"])
    hall.run()
    with hall.sessions.begin() as session:
        session.execute(text("DELETE FROM batches WHERE job_id = :id"), {"id": batch_id})
        assert session.scalar(text("SELECT count(*) FROM batch_twins")) == 0


def test_results_tell_of_twins_as_their_line_ends(hall: Hall) -> None:
    """Each has a number of its own, and comes once."""
    batch_id = hall.begin([chat(name, "same", temperature=0) for name in "abc"] + [chat("d", "other", temperature=0)])
    hall.run(catalog.CONTROL)
    seen = list[str]()
    for _ in range(3):
        with hall.sessions.begin() as session:
            results.look(session, hall.caller, batch_id, Counting())
            found = results.page(session, batch_id, len(seen), 100)
        assert [each.number for each in found] == list(range(len(seen) + 1, len(seen) + 1 + len(found)))
        seen += [each.line.custom_id for each in found]
        hall.step("alpha")
    assert seen == ["a", "b", "c", "d"]
