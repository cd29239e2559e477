"""Lines that go on from what was said before, and lines that can't be answered when they are made jobs."""

import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text

from db.session import Sessions
from dialects.openai import lines as dialect
from tasks import ids
from tasks.batches import lines
from tasks.conversations import conversations, items
from tasks.doors import retrying
from tasks.jobs import jobs
from tasks.jobs.requests import Submission
from tasks.keys import Caller
from tasks.kinds.batch_check import BatchCheck
from tasks.kinds.response import Asked
from tasks.models import catalog
from tasks.vectorstores import stores as vector_stores
from tests import tables
from tests.workers.batched import CHAT, Hall, chat
from tests.workers.conftest import MakeWorker
from workers.stages import batch_lines

RESPONSES = "/v1/responses"


@pytest.fixture
def hall(sessions: Sessions, caller: Caller, make_worker: MakeWorker, tmp_path: Path) -> Hall:
    return Hall(sessions, caller, make_worker, tmp_path)


@pytest.fixture
def line_by_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each slice has one line."""
    monkeypatch.setattr(batch_lines, "SLICE_S", -1.0)


def line(name: str, said: Any = "word", **body: Any) -> dict[str, Any]:
    whole = {"model": "alpha", "input": said, "max_output_tokens": 3, **body}
    return {"custom_id": name, "method": "POST", "url": RESPONSES, "body": whole}


def item(said: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": said}]}


def responded(hall: Hall, caller: Caller, said: str) -> uuid.UUID:
    """A response that has ended."""
    with hall.sessions.begin() as session:
        made = tables.accept(session, caller, Submission("response", "alpha", Asked((item(said),))))
    hall.run()
    return made.id


def shown(response_id: uuid.UUID) -> str:
    return ids.show(response_id, ids.RESPONSE)


def asked(hall: Hall, batch_id: uuid.UUID, name: str) -> list[str]:
    """What a line's model was asked, text by text."""
    query = text("SELECT input FROM jobs WHERE parent_id = :id AND label = :name")
    with hall.sessions() as session:
        given = session.execute(query, {"id": batch_id, "name": name}).scalar_one()
    return [part["text"] for each in (*given.get("before", ()), *given["items"]) for part in each["content"]]


def refusals(hall: Hall, batch_id: uuid.UUID) -> dict[str, tuple[int, str, str | None]]:
    """Of each line in the error file: status, code and field."""
    told: dict[str, tuple[int, str, str | None]] = {}
    for one in hall.lines(hall.look(batch_id).error_file_id):
        error = one["response"]["body"]["error"]
        told[one["custom_id"]] = one["response"]["status_code"], error["code"], error["param"]
    return told


def conversation(hall: Hall, *said: Mapping[str, Any]) -> uuid.UUID:
    with hall.sessions.begin() as session:
        return conversations.create(session, hall.caller, {}, items.new([dict(each) for each in said])).id


def test_lines_go_on_from_what_was_said_before(hall: Hall) -> None:
    """From a response, also one that an earlier batch made; from an item of one; in a conversation, which has what was
    said when the line has ended."""
    first = responded(hall, hall.caller, "one")
    talk = conversation(hall, {"id": "msg_a", **item("two")})
    named = {"type": "item_reference", "id": f"msg_{first.hex}00000"}
    made = [
        line("previous", "three", previous_response_id=shown(first)),
        line("referring", [item("four"), named]),
        line("conversing", "five", conversation=ids.show(talk, ids.CONVERSATION)),
    ]
    batch_id = hall.begin(made, RESPONSES)
    hall.run()
    assert hall.told(batch_id) == (["previous", "referring", "conversing"], [])
    previous = asked(hall, batch_id, "previous")
    assert (previous[0], previous[-1], len(previous)) == ("one", "three", 3)
    assert asked(hall, batch_id, "referring") == ["four", "one"]
    assert asked(hall, batch_id, "conversing") == ["two", "five"]
    with hall.sessions.begin() as session:
        said = [each["content"][0]["text"] for each in items.context(session, hall.caller, talk)]
    assert (said[:2], len(said)) == (["two", "five"], 3)
    bodies = {one["custom_id"]: one["response"]["body"] for one in hall.lines(hall.look(batch_id).output_file_id)}
    assert bodies["previous"]["previous_response_id"] == shown(first)
    again = hall.begin([line("on", "six", previous_response_id=bodies["previous"]["id"])], RESPONSES)
    hall.run()
    assert asked(hall, again, "on")[:3] == [*previous[:2], "three"]


def test_lines_that_go_on_from_the_same_run_one_after_another(hall: Hall) -> None:
    first, other = responded(hall, hall.caller, "one"), responded(hall, hall.caller, "two")
    made = [line(f"{n}", f"{n} " * 200, previous_response_id=shown(one)) for n, one in enumerate([first, other] * 2)]
    batch_id = hall.begin(made, RESPONSES)
    hall.step(catalog.CONTROL)
    hall.step(catalog.CONTROL)
    with hall.sessions() as session:
        order = session.scalars(text("SELECT label FROM jobs WHERE parent_id = :id ORDER BY id"), {"id": batch_id})
        assert "".join(order) in ("0213", "1302")


def test_what_can_not_be_answered_is_the_error_of_its_line(hall: Hall, sessions: Sessions) -> None:
    """The others run. Each has its row in the ledger, as all that has ended."""
    theirs = responded(hall, tables.tenant(sessions, "theirs"), "secret")
    output = {"type": "function_call_output", "call_id": "call_1", "output": "1"}
    made = [
        line("good"),
        line("theirs", previous_response_id=shown(theirs)),
        line("nowhere", conversation="conv_" + uuid.UUID(int=7).hex),
        line("elsewhere", previous_response_id="resp_68f0"),
        line("item", [{"type": "item_reference", "id": f"msg_{theirs.hex}00000"}]),
        line("loose", [output]),
        line("store", tools=[{"type": "file_search", "vector_store_ids": ["vs_" + uuid.UUID(int=7).hex]}]),
        line("long", "x " * 9999),
        line("last"),
    ]
    batch_id = hall.begin(made, RESPONSES)
    hall.run()
    found = hall.look(batch_id)
    assert (found.status, found.errors) == ("completed", None)
    assert (found.counts.total, found.counts.completed, found.counts.failed) == (9, 2, 7)
    assert hall.told(batch_id)[0] == ["good", "last"]
    assert refusals(hall, batch_id) == {
        "theirs": (400, "previous_response_not_found", "previous_response_id"),
        "nowhere": (404, "conversation_not_found", "conversation"),
        "elsewhere": (400, "previous_response_not_found", "previous_response_id"),
        "item": (400, "invalid_value", "input.0.id"),
        "loose": (400, "invalid_value", "input"),
        "store": (400, "invalid_value", "tools.0.vector_store_ids.0"),
        "long": (400, "context_length_exceeded", "input"),
    }
    with sessions() as session:
        rows = session.execute(text("SELECT count(*), count(DISTINCT job_id) FROM ledger WHERE parent_id IS NOT NULL"))
        assert tuple(rows.one()) == (9, 9)


def test_a_conversation_that_is_deleted_while_its_line_is_planned_is_the_lines_error(
    hall: Hall, sessions: Sessions
) -> None:
    """Not the file's, which is there: the others run."""
    talk = conversation(hall, {"id": "msg_a", **item("two")})
    batch_id = hall.begin([line("1", conversation=ids.show(talk, ids.CONVERSATION)), line("2")], RESPONSES)
    waiting = [talk]

    def delete(*told: Any) -> None:
        if "FROM conversation_items" in told[2] and waiting:
            with sessions.begin() as session:
                conversations.delete(session, hall.caller, waiting.pop())

    event.listen(sessions.kw["bind"], "after_cursor_execute", delete)
    hall.run()
    event.remove(sessions.kw["bind"], "after_cursor_execute", delete)
    assert hall.look(batch_id).status == "completed"
    assert hall.told(batch_id) == (["2"], ["1"])
    assert refusals(hall, batch_id) == {"1": (404, "conversation_not_found", "conversation")}


def test_a_model_that_goes_while_lines_are_made_jobs_fails_those_that_ask_it(hall: Hall, tmp_path: Path) -> None:
    """Once it is back they are asked again, and nothing else is."""
    made = [chat("1"), chat("2", "same", model="beta", temperature=0), chat("3", "same", model="beta", temperature=0)]
    batch_id = hall.begin(made)
    hall.step(catalog.CONTROL)
    models = tmp_path / "models.toml"
    whole = models.read_text()
    models.write_text(whole.split("[beta]")[0])
    hall.run()
    assert hall.look(batch_id).status == "completed"
    assert hall.told(batch_id)[0] == ["1"]
    assert refusals(hall, batch_id) == dict.fromkeys(("2", "3"), (404, "model_not_found", "model"))
    models.write_text(whole)
    with hall.sessions.begin() as session:
        plan = retrying.plan(session, tables.MODELS, hall.caller, batch_id)
        again = jobs.insert(session, hall.caller, plan)[0].id
    hall.run()
    assert hall.told(again) == (["1", "2", "3"], [])
    with hall.sessions() as session:
        ran = session.scalars(text("SELECT model FROM ledger WHERE status = 'succeeded' AND kind = 'chat'"))
        assert sorted(ran) == ["alpha", "beta"]


def test_a_batch_none_of_whose_lines_can_be_answered_ends(hall: Hall) -> None:
    """However often its worker dies: each line has failed once."""
    batch_id = hall.begin([line(str(n), previous_response_id=shown(ids.new())) for n in range(3)], RESPONSES)
    while hall.lose():
        hall.step(catalog.CONTROL)
    assert hall.look(batch_id).status == "completed"
    assert hall.told(batch_id) == ([], ["0", "1", "2"])
    with hall.sessions() as session:
        assert session.scalar(text("SELECT count(*) FROM ledger WHERE parent_id IS NOT NULL")) == 3


def test_what_lines_take_from_elsewhere_is_bounded(
    hall: Hall, line_by_line: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of a batch together, in whichever slice; those that take nothing run all the same."""
    first = responded(hall, hall.caller, "one")
    monkeypatch.setattr(lines, "MAX_COPIED_BYTES", 300)
    made = [line(str(n), previous_response_id=shown(first)) for n in range(3)] + [line("alone")]
    batch_id = hall.begin(made, RESPONSES)
    hall.run()
    assert hall.told(batch_id) == (["0", "alone"], ["1", "2"])
    assert refusals(hall, batch_id) == dict.fromkeys("12", (400, "limit_reached", "previous_response_id"))


def test_what_is_read_for_lines_that_can_not_be_answered_is_bounded(
    hall: Hall, line_by_line: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are refused after that was read: from a response, also from one that runs, in a conversation, of an item.
    Those that found nothing took nothing."""
    first, output = responded(hall, hall.caller, "word " * 20), {"type": "function_call_output", "output": "1"}
    talk = ids.show(conversation(hall, {"id": "msg_a", **item("word " * 20)}), ids.CONVERSATION)
    loose, named = output | {"call_id": "call_1"}, {"type": "item_reference", "id": f"msg_{first.hex}00001"}
    monkeypatch.setattr(lines, "MAX_COPIED_BYTES", 100)
    gone = [line(f"gone {n}", previous_response_id=shown(ids.new())) for n in range(3)]
    with hall.sessions.begin() as session:
        runs = tables.accept(session, hall.caller, Submission("response", "alpha", Asked((item("word " * 20),)))).id
    for refused in (
        line("refused", previous_response_id=shown(runs)),
        line("refused", [loose], previous_response_id=shown(first)),
        line("refused", [loose], conversation=talk),
        line("refused", [named]),
    ):
        beyond = line("beyond", previous_response_id=shown(first))
        batch_id = hall.begin([*gone, refused, beyond, line("alone")], RESPONSES)
        hall.run(catalog.CONTROL)
        hall.run()
        assert hall.told(batch_id)[0] == ["alone"]
        codes = {name: code for name, (_, code, _) in refusals(hall, batch_id).items()}
        assert (codes["refused"], codes["beyond"]) == ("invalid_value", "limit_reached")


@pytest.mark.parametrize(("bound", "most"), [("MAX_ITEMS", 6), ("MAX_BYTES", 620)])
@pytest.mark.parametrize("there", [0, 1, 2])
def test_what_lines_put_into_one_conversation_is_bounded(
    hall: Hall, line_by_line: None, monkeypatch: pytest.MonkeyPatch, bound: str, most: int, there: int
) -> None:
    """All of a batch together, in whichever slice, beside what is there: that is all there is when each is planned.
    Lines in another, and in none, run all the same. A check warns of it."""
    had = [{"id": f"msg_{n}", **item("word " * 12)} for n in range(there)]
    full, other = (ids.show(conversation(hall, *said), ids.CONVERSATION) for said in (had, []))
    monkeypatch.setattr(items, bound, most)
    made = [line(str(n), "word " * 12, conversation=full) for n in range(5)]
    made += [line("other", conversation=other), line("alone")]
    room = (most - there) // 2 if bound == "MAX_ITEMS" else 4 - there
    refused = "01234"[room:]
    assert warned(surveyed(hall, made)) == [(int(n) + 1, "conversation_full", "body.conversation") for n in refused]
    batch_id = hall.begin(made, RESPONSES)
    hall.run(catalog.CONTROL)
    hall.run()
    assert hall.told(batch_id) == ([*"01234"[:room], "other", "alone"], [*refused])
    assert refusals(hall, batch_id) == dict.fromkeys(refused, (400, "conversation_full", "conversation"))


def surveyed(hall: Hall, made: list[dict[str, Any]], endpoint: str = RESPONSES) -> dict[str, Any]:
    """What a check of a file finds."""
    file_id = hall.send(b"".join(json.dumps(one).encode() + b"\n" for one in made))
    with hall.sessions.begin() as session:
        asked: Submission[Any] = Submission("batch_check", None, BatchCheck(endpoint, file_id))
        job_id = tables.accept(session, hall.caller, asked).id
    hall.run()
    with hall.sessions.begin() as session:
        result = jobs.get(session, hall.caller, job_id).result
    assert result is not None
    return result


def warned(result: dict[str, Any]) -> list[tuple[int, str, str]]:
    return [(one["line"], one["code"], one["param"]) for one in result["survey"]["warnings"]]


def test_a_check_warns_of_what_could_not_be_answered(hall: Hall, line_by_line: None) -> None:
    """What goes on from something is as long as all of it."""
    first = responded(hall, hall.caller, "one")
    made = [
        line("0", previous_response_id=shown(ids.new())),
        line("1", previous_response_id=shown(first)),
        line("2"),
        line("3", "x " * 9999),
    ]
    found = surveyed(hall, made)
    assert found["errors"] == []
    assert warned(found) == [
        (1, "previous_response_not_found", "body.previous_response_id"),
        (4, "context_length_exceeded", "body.input"),
    ]
    [model] = found["survey"]["models"].values()
    alone = surveyed(hall, [line("2")])["survey"]["models"]["alpha"]["bytes"]
    assert model["lines"] == 4
    assert surveyed(hall, [made[1]])["survey"]["models"]["alpha"]["bytes"] > 1.5 * alone


def test_a_check_uses_no_vector_store(hall: Hall) -> None:
    """As nothing is searched; a batch of the same lines does."""
    with hall.sessions.begin() as session:
        store_id = vector_stores.create(session, tables.MODELS, hall.caller, vector_stores.Wish(expires_days=1))
        session.execute(text("UPDATE vector_stores SET last_active_at = now() - interval '2 minutes'"))
    search = {"type": "file_search", "vector_store_ids": [ids.show(store_id, ids.VECTOR_STORE)]}

    def used() -> Any:
        with hall.sessions() as session:
            return session.execute(text("SELECT last_active_at, expires_at FROM vector_stores")).one()

    before = used()
    assert warned(surveyed(hall, [line("1", tools=[search])])) == []
    assert used() == before
    hall.begin([line("1", tools=[search])], RESPONSES)
    hall.run()
    assert used() > before


def test_a_check_warns_of_lines_that_are_probably_too_long(hall: Hall) -> None:
    """By the bytes of a token as is usual, or as measured on what a batch has answered; by what is put to the model at
    once."""
    made = [chat(str(n), "abc " * n) for n in (50, 100)]
    assert warned(surveyed(hall, made, CHAT)) == [(2, "context_length_exceeded", "body")]
    hall.begin([chat(str(n), "a b c " * 10) for n in range(20)])
    hall.run()
    found = surveyed(hall, made, CHAT)
    rate = found["survey"]["models"]["alpha"]["rate"]
    assert rate["is_measured"]
    assert 1 < rate["bytes_per_token"] < 4
    assert warned(found) == [(1, "context_length_exceeded", "body"), (2, "context_length_exceeded", "body")]
    texts = {"model": "embedder", "input": ["ab " * 20] * 10}
    embedding = {"custom_id": "0", "method": "POST", "url": "/v1/embeddings", "body": texts}
    assert warned(surveyed(hall, [embedding], "/v1/embeddings")) == []


def test_a_line_that_was_right_when_it_was_checked_may_be_wrong_now(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after an update that reads it more strictly."""
    batch_id = hall.begin([chat("1"), chat("2", seed=7)])
    hall.step(catalog.CONTROL)
    whole = dialect.read

    def stricter(raw: bytes, *rest: Any) -> Any:
        if "seed" in json.loads(raw)["body"]:
            raise dialect.LineRefused("invalid_value", "body.seed", "not now")
        return whole(raw, *rest)

    monkeypatch.setattr(dialect, "read", stricter)
    hall.run()
    assert hall.told(batch_id)[0] == ["1"]
    assert refusals(hall, batch_id) == {"2": (400, "invalid_value", "seed")}
