"""A batch's stages, whatever becomes of them: each line is in one of its two files, once."""

import json
from pathlib import Path

import pytest
from sqlalchemy import text

from db import batch_results
from db import batches as table
from db.session import Sessions
from tasks import ids
from tasks.batches import answers, batches, results
from tasks.batches.batches import Tally
from tasks.batches.counting import Counting
from tasks.files import files
from tasks.jobs import removing, stages
from tasks.keys import Caller
from tasks.models import catalog
from tests import tables
from tests.workers.batched import Hall, chat, chats
from tests.workers.conftest import MakeWorker
from workers import run
from workers.stages import batch_lines, write_lines


@pytest.fixture
def hall(sessions: Sessions, caller: Caller, make_worker: MakeWorker, tmp_path: Path) -> Hall:
    return Hall(sessions, caller, make_worker, tmp_path)


@pytest.fixture
def line_by_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each slice has one line."""
    monkeypatch.setattr(batch_lines, "SLICE_S", -1.0)


def test_lines_are_answered_in_the_order_of_the_file(hall: Hall) -> None:
    batch_id = hall.begin([chat("b", "one two"), chat("a", "three"), chat("c", "four", n=2)])
    hall.run()
    found = hall.look(batch_id)
    assert (found.status, found.model, found.errors) == ("completed", "alpha", None)
    assert (found.counts.total, found.counts.completed, found.counts.failed) == (3, 3, 0)
    lines = hall.lines(found.output_file_id)
    assert [line["custom_id"] for line in lines] == ["b", "a", "c"]
    assert len({line["id"] for line in lines}) == 3
    assert [len(line["response"]["body"]["choices"]) for line in lines] == [1, 1, 2]
    assert found.error_file_id is None
    assert (hall.column(batch_id, "status"), hall.files()) == ("succeeded", 1)


def test_every_stage_may_die_anywhere_between_its_slices(hall: Hall, line_by_line: None) -> None:
    """What was done is done again or found done: no line runs twice, no file is made twice."""
    batch_id = hall.begin(chats(6))
    while hall.lose():
        hall.step(catalog.CONTROL)
        hall.run("alpha")
    found = hall.look(batch_id)
    assert found.status == "completed"
    assert hall.told(batch_id) == ([str(n) for n in range(6)], [])
    assert hall.files() == 1
    with hall.sessions() as session:
        ran = session.scalar(text("SELECT count(*) FROM ledger WHERE model = 'alpha'"))
        left = session.scalar(text("SELECT count(*) FROM file_parts WHERE left_over OR NOT whole"))
    assert (ran, left) == (6, 0)


def test_a_slice_takes_back_the_crashes_before_it(hall: Hall, line_by_line: None) -> None:
    """Only what takes workers with it in one place, again and again, is poison."""
    batch_id = hall.begin(chats(3))
    hall.lose()
    hall.lose()
    assert hall.column(batch_id, "crashes") == 2
    hall.step(catalog.CONTROL)
    assert hall.column(batch_id, "crashes") == 0
    while hall.column(batch_id, "stage") != stages.WRITE_LINES:
        hall.step(catalog.CONTROL)
    hall.lose()
    hall.step(catalog.CONTROL)
    assert (hall.column(batch_id, "stage"), hall.column(batch_id, "crashes")) == (stages.WRITE_LINES, 0)


def test_every_error_of_a_file_is_told_and_nothing_runs(hall: Hall, line_by_line: None) -> None:
    """Blank lines aside, whose numbers count."""
    lines = [
        json.dumps(line).encode()
        for line in (chat("1"), chat("1"), chat("2", model="none"), chat("3", seed="none"), chat("4", "x " * 9999))
    ]
    batch_id = hall.begin(b"\n".join([lines[0], b" ", *lines[1:], b"no json"]))
    hall.run()
    found = hall.look(batch_id)
    assert (found.status, found.counts.total, hall.statuses(batch_id)) == ("failed", 0, {})
    assert [(error["line"], error["code"]) for error in found.errors or ()] == [
        (3, "duplicate_custom_id"),
        (4, "model_not_found"),
        (5, "invalid_value"),
        (7, "invalid_json_line"),
    ]
    assert (hall.column(batch_id, "status"), hall.column(batch_id, "error_code")) == ("failed", "duplicate_custom_id")
    assert (found.output_file_id, found.error_file_id, hall.files()) == (None, None, 0)


def test_a_prompt_that_is_too_long_is_the_error_of_its_line(hall: Hall) -> None:
    """However much too long it is, and whatever it asks for."""
    lines = [chat("0"), chat("1", "x " * 9999), chat("2", "x " * 9999, n=2), chat("3", "x " * 65)]
    texts = {"model": "embedder", "input": ["a", "x " * 9999]}
    embedding = {"custom_id": "0", "method": "POST", "url": "/v1/embeddings", "body": texts}
    batch_id, other = hall.begin(lines), hall.begin([embedding], "/v1/embeddings")
    hall.run()
    assert hall.told(batch_id) == (["0"], ["1", "2", "3"])
    for id in (batch_id, other):
        found = hall.look(id)
        assert found.status == "completed"
        for line in hall.lines(found.error_file_id):
            assert line["response"]["status_code"] == 400
            assert line["response"]["body"]["error"]["code"] == "context_length_exceeded"


@pytest.mark.parametrize("raw", [b"", b"\n", b" \n\n  "])
def test_an_empty_file_is_an_error(hall: Hall, raw: bytes) -> None:
    batch_id = hall.begin(raw)
    hall.run()
    assert [error["code"] for error in hall.look(batch_id).errors or ()] == ["empty_file"]


def test_only_so_many_errors_are_told(hall: Hall) -> None:
    batch_id = hall.begin(b"no json\n" * 1000)
    hall.run()
    found = hall.look(batch_id)
    assert (found.status, len(found.errors or ())) == ("failed", 100)


def test_a_file_has_so_many_lines_at_most(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    """And so many texts to be embedded, in all its lines together."""
    monkeypatch.setattr("tasks.batches.lines.MAX_LINES", 2)
    monkeypatch.setattr("dialects.openai.lines.MAX_INPUTS", 5)
    most, more = hall.begin(chats(2)), hall.begin(chats(6))
    texts = [
        {
            "custom_id": str(n),
            "method": "POST",
            "url": "/v1/embeddings",
            "body": {"model": "embedder", "input": ["a", "b", "c"]},
        }
        for n in range(2)
    ]
    embedding = hall.begin(texts, "/v1/embeddings")
    hall.run()
    assert hall.look(most).status == "completed"
    assert [(error["line"], error["code"]) for error in hall.look(more).errors or ()] == [(3, "too_many_lines")]
    assert [error["code"] for error in hall.look(embedding).errors or ()] == ["too_many_inputs"]


def test_lines_may_ask_different_models(hall: Hall) -> None:
    batch_id = hall.begin([chat("1"), chat("2", model="beta")])
    hall.run()
    found = hall.look(batch_id)
    assert (found.status, found.model) == ("completed", None)
    assert [line["response"]["body"]["model"] for line in hall.lines(found.output_file_id)] == ["alpha", "beta"]


@pytest.mark.parametrize("steps", range(9))
@pytest.mark.parametrize("how", ["cancel", "expire"])
@pytest.mark.parametrize("known", [0, 3])
def test_a_batch_may_be_told_to_end_at_any_moment(
    hall: Hall, line_by_line: None, how: str, steps: int, known: int
) -> None:
    """Once its number of lines is known each is in one of the files; what had been answered by then is in the output
    file."""
    batch_id = hall.begin(chats(3), known=known)
    for _ in range(steps):
        hall.step(catalog.CONTROL)
    hall.step("alpha")
    done = hall.statuses(batch_id).get("succeeded", 0)  # type: ignore[call-overload]
    (hall.cancel if how == "cancel" else hall.expire)(batch_id)
    total = hall.look(batch_id).counts.total
    before = hall.look(batch_id).status
    assert before in ("cancelling", "finalizing")
    hall.run(catalog.CONTROL)
    found = hall.look(batch_id)
    assert found.status == ("cancelled" if how == "cancel" else "expired")
    answered, refused = hall.told(batch_id)
    assert (found.counts.total, found.counts.completed, found.counts.failed) == (total, done, total - done)
    assert (len(answered), len(refused)) == (done, total - done)
    assert sorted(answered + refused) == [str(n) for n in range(total)]
    code = "batch_cancelled" if how == "cancel" else "batch_expired"
    errors = [(line["response"], line["error"]["code"]) for line in hall.lines(found.error_file_id)]
    assert errors == [(None, code)] * (total - done)
    assert hall.column(batch_id, "status") == found.status
    assert hall.waiting() == []


def test_how_lines_had_ended_is_told_as_it_was_at_the_end(hall: Hall) -> None:
    """Those that failed, and those that were ended: nothing is counted again."""
    batch_id = hall.begin([chat("0"), chat("1", "w " * 70), chat("2"), chat("3")])
    hall.run(catalog.CONTROL)
    hall.step("alpha")
    hall.step("alpha")
    hall.cancel(batch_id)
    hall.run(catalog.CONTROL)  # which ends the others before a worker has them
    with hall.sessions.begin() as session:
        session.execute(text("UPDATE jobs SET status = 'failed' WHERE parent_id = :id"), {"id": batch_id})
        found = batches.get(session, hall.caller, batch_id)
        assert batches.tally(session, found, Counting()) == Tally(succeeded=1, failed=1, ended_with_it=2)


def test_twins_are_counted_with_the_lines_that_answer_them(hall: Hall) -> None:
    batch_id = hall.begin([chat(str(n), "same", temperature=0) for n in range(3)] + [chat("3")])
    hall.run()
    with hall.sessions.begin() as session:
        found = batches.get(session, hall.caller, batch_id)
        assert batches.tally(session, found, Counting()) == Tally(succeeded=4)


def test_what_several_answers_use_is_told_as_each_ends(hall: Hall) -> None:
    """Of the line itself nothing is charged; at its end it is what its answers used."""
    batch_id = hall.begin([chat("0", "one two", n=3)])
    hall.run(catalog.CONTROL)
    used = []
    while hall.step():
        used.append(hall.look(batch_id).spent.completion)
    assert used == sorted(used)
    assert 0 < used[0] < used[2] == hall.look(batch_id).spent.completion


def test_a_batch_that_is_to_end_may_die_anywhere(hall: Hall, line_by_line: None) -> None:
    batch_id = hall.begin(chats(4))
    hall.run(catalog.CONTROL)
    hall.step("alpha")
    hall.cancel(batch_id)
    while hall.lose():
        hall.step(catalog.CONTROL)
    assert hall.told(batch_id) == (["0"], ["1", "2", "3"])
    assert (hall.look(batch_id).status, hall.files()) == ("cancelled", 2)


def test_files_that_were_made_are_not_made_again(hall: Hall) -> None:
    """By the attempt after one that died when both were there, and the batch hadn't ended yet."""
    batch_id = hall.begin([chat("0"), chat("1", "w " * 70)])
    hall.run(catalog.CONTROL)
    hall.run("alpha")
    hall.lose()
    before = hall.look(batch_id)
    with hall.sessions.begin() as session:
        table.note(session, batch_id, ended_at=None, totals=None)
    hall.run(catalog.CONTROL)
    found = hall.look(batch_id)
    assert found.ended_at is not None
    assert (found.output_file_id, found.error_file_id) == (before.output_file_id, before.error_file_id)
    assert hall.files() == 2


def test_lines_that_never_ran_are_results_after_all_others(hall: Hall, line_by_line: None) -> None:
    """Whoever has read up to a number gets exactly the rest, as the error file has it."""
    batch_id = hall.begin(chats(5))
    for _ in range(9):
        hall.step(catalog.CONTROL)
    assert sum(hall.statuses(batch_id).values()) == 3
    hall.step("alpha")
    hall.cancel(batch_id)
    hall.run(catalog.CONTROL)
    found = hall.look(batch_id)
    with hall.sessions.begin() as session:
        results.look(session, hall.caller, batch_id, Counting())
        assert [result.number for result in results.page(session, batch_id, 0, 100)] == [1, 2, 3]
    assert list(results.unrun(hall.stores, hall.caller, found, 2)) == []
    for after in (3, 4, 5):
        rest = list(results.unrun(hall.stores, hall.caller, found, after))
        assert [number for number, _ in rest] == list(range(after + 1, 6))
        assert [json.loads(line)["custom_id"] for _, line in rest] == ["3", "4"][after - 3 :]


def test_a_batch_that_ends_takes_no_other_reason(hall: Hall) -> None:
    batch_id = hall.begin(chats(1))
    hall.run(catalog.CONTROL)
    hall.expire(batch_id)
    hall.cancel(batch_id)
    hall.run()
    assert hall.look(batch_id).status == "expired"
    hall.cancel(batch_id)
    assert hall.look(batch_id).status == "expired"


def test_a_file_that_is_deleted_while_it_is_read_fails_its_batch(hall: Hall, line_by_line: None) -> None:
    """In the midst of its checks, and while its lines are made jobs: then what had been answered is kept."""
    checking, writing = hall.begin(chats(3)), hall.begin(chats(3))
    for id, steps in ((checking, 1), (writing, 5)):
        for _ in range(steps):
            tables.dispatch(hall.sessions, id)
            run.run(hall.workers[catalog.CONTROL], id)
    hall.run("alpha")
    with hall.sessions.begin() as session:
        sent = [file.id for file in files.page(session, hall.caller, limit=10, purpose="batch")[0]]
    for file_id in sent:
        files.delete(hall.stores, hall.caller, file_id)
    hall.run()
    for id in (checking, writing):
        found = hall.look(id)
        assert found.status == "failed"
        assert [error["code"] for error in found.errors or ()] == ["input_file_gone"]
    assert hall.told(writing)[0] == ["0"]
    assert hall.told(checking) == ([], [])


def test_children_are_erased_with_their_batch(hall: Hall, sessions: Sessions) -> None:
    """Its files stay: they are the client's."""
    batch_id = hall.begin(chats(3))
    hall.run()
    removing.erase(sessions, hall.workers[catalog.CONTROL].client, hall.caller, batch_id)
    with sessions() as session:
        assert session.scalar(text("SELECT count(*) FROM jobs")) == 0
        assert session.scalar(text("SELECT count(*) FROM batches")) == 0
    assert hall.files() == 1


def test_what_tells_of_lines_goes_some_at_a_time(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twins, digests and numbers of results, before their batch."""
    monkeypatch.setattr(removing, "_ROWS_AT_ONCE", 2)
    batch_id = hall.begin([chat(str(n), word, temperature=0) for n, word in enumerate(["same"] * 4 + ["a", "b"])])
    hall.run()
    with hall.sessions.begin() as session:
        batch_results.number_ends(session, batch_id, waits=True)
    left = []
    for _ in removing.family(hall.sessions, batch_id):
        with hall.sessions() as session:
            tables_of = ("batch_twins", "line_digests", "batch_results", "batches")
            left.append([session.scalar(text(f"SELECT count(*) FROM {name}")) for name in tables_of])
    assert left == [[3, 3, 6, 1], [1, 1, 4, 1], [0, 0, 2, 1], [0, 0, 0, 1], [0, 0, 0, 0]]


def test_embeddings_are_told_as_they_were_asked_for(hall: Hall) -> None:
    """As numbers or as base64."""

    def line(name: str, **body: str) -> dict[str, object]:
        whole = {"model": "embedder", "input": ["a b", "c"], **body}
        return {"custom_id": name, "method": "POST", "url": "/v1/embeddings", "body": whole}

    batch_id = hall.begin([line("numbers"), line("text", encoding_format="base64")], "/v1/embeddings")
    hall.run()
    numbers, coded = (line["response"]["body"] for line in hall.lines(hall.look(batch_id).output_file_id))
    assert [type(row["embedding"]) for row in numbers["data"]] == [list, list]
    assert [type(row["embedding"]) for row in coded["data"]] == [str, str]


def test_files_expire_as_was_asked(hall: Hall) -> None:
    batch_id = hall.begin(chats(1), kept_s=3600)
    hall.run()
    output = hall.look(batch_id).output_file_id
    assert output is not None
    with hall.sessions.begin() as session:
        file = files.get(session, hall.caller, output)
    assert file.filename == f"{ids.show(batch_id, ids.BATCH)}_output.jsonl"
    assert file.expires_at is not None
    assert (file.expires_at - file.created_at).total_seconds() == 3600


def test_large_answers_are_written_a_few_at_a_time(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    """And large lines are made jobs a few at a time; all the same each is there once."""
    monkeypatch.setattr(answers, "_AT_ONCE_BYTES", 1)
    monkeypatch.setattr(write_lines, "_LOT_BYTES", 1)
    batch_id = hall.begin(chats(5))
    hall.run()
    assert hall.told(batch_id) == ([str(n) for n in range(5)], [])
    with hall.sessions.begin() as session:
        lot = table.ended_lines(session, batch_id, succeeded=True, after=0, limit=200, most_bytes=1)
    assert [line.place for line in lot] == [1]
