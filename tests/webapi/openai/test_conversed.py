"""Responses in a conversation: what they read of it, and what is in it when they have ended, however that was."""

from collections.abc import Callable
from typing import Any

import pytest
import redis
from sqlalchemy import Engine, event, select

from db.jobs import Job
from db.session import Sessions
from tasks import ids
from tasks.conversations import items as room
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Outcome
from tasks.jobs.requests import Stored
from tasks.kinds import preceding
from tasks.kinds.response import ResponseKind
from tasks.limits.spent import Spent
from tests.webapi import byhand
from tests.webapi.conftest import Api
from tests.webapi.openai.test_conversations import error, listed, make, said, texts

Answer = Callable[[str, str], None]  # by which job, with what


@pytest.fixture
def answer(sessions: Sessions, client: redis.Redis) -> Answer:
    """A worker's hand."""

    def end(response_id: str, text: str) -> None:
        run = byhand.run(sessions, client, response_id.replace("resp_", "job_"))
        run.say(text)
        result = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        run.end(Outcome(Status.SUCCEEDED, Spent(2, 1), result))

    return end


def ask(api: Api, conversation: Any, text: Any, **more: Any) -> str:
    """A response that is made in the background, in the conversation."""
    response = api.post("/v1/responses", json={"conversation": conversation, "input": text, "background": True, **more})
    assert response.status_code == 200, response.text
    return str(response.json["id"])


def test_what_was_asked_and_answered_is_in_the_conversation(api: Api, answer: Answer) -> None:
    """In order, with the ids that the response tells; not before it has ended."""
    conversation_id = make(api, said("one"))
    response_id = ask(api, conversation_id, "two")
    assert texts(listed(api, conversation_id)) == ["one"]
    answer(response_id, "three")
    everything = listed(api, conversation_id)["data"]
    assert texts({"data": everything}) == ["one", "two", "three"]
    response = api.get(f"/v1/responses/{response_id}").json
    assert response["conversation"] == {"id": conversation_id}
    assert response["output"][0]["id"] == everything[2]["id"]
    asked = api.get(f"/v1/responses/{response_id}/input_items").json["data"]
    assert [item["id"] for item in asked] == [everything[1]["id"]]


@pytest.mark.parametrize("named", [str, lambda id: {"id": id}], ids=["by its id", "as an object"])
def test_the_model_reads_all_that_is_in_it(api: Api, sessions: Sessions, named: Callable[[str], Any]) -> None:
    """Before what is asked now."""
    conversation_id = make(api, said("one"), said("two", "assistant"))
    job_id = ids.parse(ask(api, named(conversation_id), "three"), ids.RESPONSE)
    with sessions() as session:
        asked, how = session.execute(select(Job.input, Job.params).where(Job.id == job_id)).one()
    turns = ResponseKind().parse(Stored(asked, how)).turns
    assert [(turn.role, turn.text) for turn in turns] == [("user", "one"), ("assistant", "two"), ("user", "three")]


def test_of_two_at_once_each_stands_together(api: Api, answer: Answer) -> None:
    """In the order of their ends; neither reads the other."""
    conversation_id = make(api, said("one"))
    first, second = ask(api, conversation_id, "asked first"), ask(api, conversation_id, "asked second")
    answer(second, "second")
    answer(first, "first")
    assert texts(listed(api, conversation_id)) == ["one", "asked second", "second", "asked first", "first"]


def test_what_came_to_nothing_adds_nothing(api: Api, sessions: Sessions, client: redis.Redis) -> None:
    """Neither what failed nor what was cancelled, of which something had been said: it can be asked again."""
    conversation_id = make(api, said("one"))
    failed, cancelled = ask(api, conversation_id, "two"), ask(api, conversation_id, "three")
    run = byhand.run(sessions, client, failed.replace("resp_", "job_"))
    run.say("a word")
    run.end(Outcome(Status.FAILED, Spent(2, 1), error=("engine_refused", "no")))
    byhand.run(sessions, client, cancelled.replace("resp_", "job_")).say("a word")
    assert api.post(f"/v1/responses/{cancelled}/cancel").json["status"] == "cancelled"
    assert texts(listed(api, conversation_id)) == ["one"]


def test_a_response_outlives_its_conversation(api: Api, answer: Answer) -> None:
    """It ends as it would have, and nothing of the conversation comes back."""
    conversation_id = make(api, said("one"))
    response_id = ask(api, conversation_id, "two")
    api.ask("DELETE", f"/v1/conversations/{conversation_id}")
    answer(response_id, "three")
    response = api.get(f"/v1/responses/{response_id}").json
    assert (response["status"], response["output"][0]["content"][0]["text"]) == ("completed", "three")
    assert api.get(f"/v1/conversations/{conversation_id}").status_code == 404


def test_a_response_that_is_erased_leaves_what_was_said(api: Api, answer: Answer) -> None:
    conversation_id = make(api)
    response_id = ask(api, conversation_id, "one")
    answer(response_id, "two")
    assert api.ask("DELETE", f"/v1/responses/{response_id}").status_code == 200
    assert texts(listed(api, conversation_id)) == ["one", "two"]


def test_a_full_conversation_is_refused_before_it_is_read(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """And before anything is queued: however much has ended into it, it costs one row."""
    monkeypatch.setattr(room, "MAX_ITEMS", 2)
    conversation_id = make(api, said("one"), said("two"))
    sent = list[str]()

    def note(*told: Any) -> None:
        sent.append(told[2])

    event.listen(Engine, "before_cursor_execute", note)
    refused = api.post("/v1/responses", json={"conversation": conversation_id, "input": "three", "background": True})
    event.remove(Engine, "before_cursor_execute", note)
    assert error(refused) == (400, "conversation_full", "conversation")
    assert any("FROM conversations" in each for each in sent)
    assert not any("conversation_items" in each for each in sent)
    assert api.get("/v1/jobs").json["data"] == []


def test_tokens_are_counted_in_a_full_conversation(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is put into it, and so no room is looked for; one with many times as much isn't read."""
    conversation_id = make(api, *(said(str(n)) for n in range(5)))
    counted = {"conversation": conversation_id, "input": "two"}

    def count(most: int) -> Any:
        monkeypatch.setattr(room, "MAX_ITEMS", most)
        return api.post("/v1/responses/input_tokens", json=counted, headers={"Prefer": "respond-async"})

    assert count(2).status_code == 202
    assert error(count(1)) == (400, "conversation_full", "conversation")


@pytest.mark.parametrize("in_conversation", [True, False])
def test_what_is_referred_to_needs_room(
    api: Api, answer: Answer, monkeypatch: pytest.MonkeyPatch, in_conversation: bool
) -> None:
    """Of the items that are named, not of their names; in no conversation too."""
    first = ask(api, None, "x" * 600)
    answer(first, "y" * 600)
    monkeypatch.setattr(room if in_conversation else preceding, "MAX_BYTES", 1000)
    items = [
        api.get(f"/v1/responses/{first}/input_items").json["data"][0],
        api.get(f"/v1/responses/{first}").json["output"][0],
    ]
    named = [{"type": "item_reference", "id": item["id"]} for item in items]
    conversation_id = make(api) if in_conversation else None
    ask(api, conversation_id, named[:1])
    refused = api.post("/v1/responses", json={"conversation": conversation_id, "input": named, "background": True})
    code, param = ("conversation_full", "conversation") if in_conversation else ("invalid_value", "input.1.id")
    assert error(refused) == (400, code, param)


def test_an_id_names_one_item(api: Api, answer: Answer) -> None:
    """Neither two that are asked, nor another one of the conversation; what is in there may be said again, and is
    there once."""
    conversation_id = make(api, said("one", id="a"))

    def refused(*items: dict[str, Any], **more: Any) -> tuple[int, str, str | None]:
        return error(api.post("/v1/responses", json={"input": [*items], "background": True, **more}))

    here = {"conversation": conversation_id}
    assert refused(said("two", id="b"), said("three", id="b"), **here) == (400, "invalid_value", "input.1.id")
    assert refused(said("two", id="b"), said("three", id="b")) == (400, "invalid_value", "input.1.id")
    assert refused(said("two"), said("three", id="a"), **here) == (400, "invalid_value", "input.1.id")
    named = {"type": "item_reference", "id": "a"}
    assert refused(named, named, **here) == (400, "invalid_value", "input.1.id")
    response_id = ask(api, conversation_id, [said("one", id="a"), said("two", id="b")])
    answer(response_id, "three")
    assert api.get(f"/v1/responses/{response_id}").json["status"] == "completed"
    assert texts(listed(api, conversation_id)) == ["one", "two", "three"]


def test_a_retry_is_put_into_the_conversation_too(
    api: Api, answer: Answer, sessions: Sessions, client: redis.Redis
) -> None:
    """What it was asked, after what was before it then; not where the conversation is gone."""
    conversation_id = make(api, said("one"))
    first = ask(api, conversation_id, "two").replace("resp_", "job_")
    byhand.run(sessions, client, first).end(Outcome(Status.FAILED, Spent(2, 1), error=("engine_refused", "no")))
    again = api.post(f"/v1/jobs/{first}/retry").json["id"].replace("job_", "resp_")
    assert api.get(f"/v1/responses/{again}").json["conversation"] == {"id": conversation_id}
    answer(again, "three")
    assert texts(listed(api, conversation_id)) == ["one", "two", "three"]
    api.ask("DELETE", f"/v1/conversations/{conversation_id}")
    refused = api.post(f"/v1/jobs/{first}/retry")
    assert (refused.status_code, refused.json["error"]["code"]) == (422, "conversation_not_found")


def test_what_was_shown_of_a_cancelled_response_is_read_by_the_next(
    api: Api, sessions: Sessions, client: redis.Redis
) -> None:
    """And can be referred to, by the id that was told."""
    first = ask(api, None, "one")
    byhand.run(sessions, client, first.replace("resp_", "job_")).say("a word")
    [shown] = api.post(f"/v1/responses/{first}/cancel").json["output"]
    named = {"type": "item_reference", "id": shown["id"]}
    for response_id in (ask(api, None, "two", previous_response_id=first), ask(api, None, [named, said("two")])):
        with sessions() as session:
            job_id = ids.parse(response_id, ids.RESPONSE)
            asked, how = session.execute(select(Job.input, Job.params).where(Job.id == job_id)).one()
        read = [turn.text for turn in ResponseKind().parse(Stored(asked, how)).turns]
        assert read[-2:] == [shown["content"][0]["text"], "two"]
