"""Conversations: made, noted on, filled, listed, emptied, deleted; refused before anything of them is kept."""

import time
from typing import Any

import pytest
from openai import NotFoundError, OpenAI
from sqlalchemy import text

from db.session import Sessions
from tasks.conversations import items as room
from tests.webapi.conftest import Api

CALL = {"type": "function_call", "call_id": "call_1", "name": "tide", "arguments": '{"at": "Anna"}'}
GAVE = {"type": "function_call_output", "call_id": "call_1", "output": "high"}
SEARCH = {
    "type": "file_search_call",
    "id": "fs_1",
    "queries": ["tide"],
    "results": [{"file_id": "file-1", "filename": "a.txt", "score": 0.5, "text": "high", "attributes": {}}],
}


def said(text: str, role: str = "user", **more: Any) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": text, **more}


def make(api: Api, *items: dict[str, Any], **more: Any) -> str:
    response = api.post("/v1/conversations", json={"items": list(items), **more})
    assert response.status_code == 200, response.text
    return str(response.json["id"])


def put(api: Api, conversation_id: str, *items: dict[str, Any]) -> list[dict[str, Any]]:
    response = api.post(f"/v1/conversations/{conversation_id}/items", json={"items": list(items)})
    assert response.status_code == 200, response.text
    return list(response.json["data"])


def listed(api: Api, conversation_id: str, query: str = "order=asc") -> dict[str, Any]:
    response = api.get(f"/v1/conversations/{conversation_id}/items?{query}")
    assert response.status_code == 200, response.text
    return dict(response.json)


def texts(page: dict[str, Any]) -> list[str]:
    return [item["content"][0]["text"] for item in page["data"]]


def error(response: Any) -> tuple[int, str, str | None]:
    return response.status_code, response.json["error"]["code"], response.json["error"]["param"]


def test_a_conversation_is_as_it_was_made(api: Api) -> None:
    """Its metadata are there, and its items in order, each with an id and in parts."""
    made = api.post(
        "/v1/conversations", json={"items": [said("one"), said("two", "assistant")], "metadata": {"a": "b"}}
    )
    assert made.status_code == 200
    assert made.json["object"] == "conversation"
    assert made.json["metadata"] == {"a": "b"}
    assert abs(made.json["created_at"] - time.time()) < 3600
    assert api.get(f"/v1/conversations/{made.json['id']}").json == made.json
    first, second = listed(api, made.json["id"])["data"]
    assert first.pop("id").startswith("msg_")
    assert first == {
        "type": "message",
        "role": "user",
        "status": "completed",
        "content": [{"type": "input_text", "text": "one"}],
    }
    assert second["content"] == [{"type": "output_text", "text": "two", "annotations": [], "logprobs": []}]


def test_nothing_need_be_said_of_a_conversation(api: Api) -> None:
    made = api.post("/v1/conversations", json={})
    assert (made.status_code, made.json["metadata"]) == (200, {})
    assert listed(api, made.json["id"]) == {
        "object": "list",
        "data": [],
        "first_id": None,
        "last_id": None,
        "has_more": False,
    }


def test_metadata_take_the_place_of_those_before(api: Api) -> None:
    conversation_id = make(api, metadata={"a": "b"})
    noted = api.post(f"/v1/conversations/{conversation_id}", json={"metadata": {"c": "d"}})
    assert (noted.status_code, noted.json["metadata"]) == (200, {"c": "d"})
    assert api.post(f"/v1/conversations/{conversation_id}", json={"metadata": None}).json["metadata"] == {}
    assert api.get(f"/v1/conversations/{conversation_id}").json["metadata"] == {}


def test_items_come_at_the_end(api: Api) -> None:
    """What is put in is told as it is kept; the newest is listed first unless it is asked otherwise."""
    conversation_id = make(api, said("one"))
    call, gave = put(api, conversation_id, CALL, GAVE)
    put(api, conversation_id, said("two", id="msg_mine"))
    everything = listed(api, conversation_id)["data"]
    assert everything[1:3] == [call, gave]
    assert call == {"id": call["id"], "status": "completed", **CALL}
    assert gave == {"id": gave["id"], "status": "completed", **GAVE}
    assert everything[3]["id"] == "msg_mine"
    assert listed(api, conversation_id, "")["data"] == everything[::-1]


def test_pages_follow_each_other(api: Api) -> None:
    """In either order, after an item that stands between."""
    conversation_id = make(api, *(said(f"{number}") for number in range(5)))
    for order, wanted in (("asc", list("01234")), ("desc", list("43210"))):
        found, after = list[str](), ""
        while True:
            page = listed(api, conversation_id, f"limit=2&order={order}{after}")
            found += texts(page)
            assert (page["first_id"], page["last_id"]) == (page["data"][0]["id"], page["data"][-1]["id"])
            after = f"&after={page['last_id']}"
            if not page["has_more"]:
                break
        assert found == wanted


def test_a_page_may_be_empty(api: Api) -> None:
    """Whether there is something is told all the same."""
    page = listed(api, make(api, said("one")), "limit=0")
    assert (page["data"], page["first_id"], page["has_more"]) == ([], None, True)
    assert not listed(api, make(api), "limit=0")["has_more"]


def test_a_page_of_large_items_is_short(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many bytes and no more are in memory for it; the rest comes on the next."""
    monkeypatch.setattr(room, "_PAGE_BYTES", 2400)
    conversation_id = make(api, *(said("x" * 900 + str(number)) for number in range(3)), said("y" * 3000))
    page = listed(api, conversation_id)
    assert (len(page["data"]), page["has_more"]) == (2, True)
    page = listed(api, conversation_id, f"order=asc&after={page['last_id']}")
    assert (len(page["data"]), page["has_more"]) == (1, True)
    page = listed(api, conversation_id, f"order=asc&after={page['last_id']}")
    assert (len(page["data"]), page["has_more"]) == (1, False)


def test_an_item_is_read_and_taken_out_by_its_id(api: Api) -> None:
    """The answer to the second is the conversation; its other items stay in their order."""
    conversation_id = make(api, said("one"), said("two"), said("three"))
    second = listed(api, conversation_id)["data"][1]
    url = f"/v1/conversations/{conversation_id}/items/{second['id']}"
    assert api.get(url).json == second
    assert api.ask("DELETE", url).json == api.get(f"/v1/conversations/{conversation_id}").json
    assert error(api.get(url)) == error(api.ask("DELETE", url)) == (404, "not_found", None)
    put(api, conversation_id, said("four"))
    assert texts(listed(api, conversation_id)) == ["one", "three", "four"]


@pytest.mark.parametrize("name", ["include", "include[]"])
def test_what_a_search_found_is_told_when_it_is_asked_for(api: Api, name: str) -> None:
    """As either client writes it."""
    conversation_id = make(api)
    url = f"/v1/conversations/{conversation_id}/items"
    asked = {name: "file_search_call.results"}
    assert put(api, conversation_id, SEARCH)[0]["results"] is None
    assert listed(api, conversation_id)["data"][0]["results"] is None
    assert api.get(url, query_string=asked).json["data"][0]["results"] == SEARCH["results"]
    assert api.get(f"{url}/fs_1", query_string=asked).json["results"] == SEARCH["results"]
    other = SEARCH | {"id": "fs_2"}
    assert api.post(url, query_string=asked, json={"items": [other]}).json["data"][0]["results"] == SEARCH["results"]
    assert error(api.get(url, query_string={name: "everything"}))[:2] == (400, "invalid_value")


def test_a_deleted_conversation_is_gone_with_its_items(api: Api, sessions: Sessions) -> None:
    conversation_id, kept = make(api, said("one")), make(api, said("two"))
    deleted = api.ask("DELETE", f"/v1/conversations/{conversation_id}")
    assert deleted.json == {"id": conversation_id, "object": "conversation.deleted", "deleted": True}
    for path in ("", "/items", "/items/msg_1"):
        assert error(api.get(f"/v1/conversations/{conversation_id}{path}")) == (404, "not_found", None)
    assert error(api.ask("DELETE", f"/v1/conversations/{conversation_id}"))[0] == 404
    added = api.post(f"/v1/conversations/{conversation_id}/items", json={"items": [said("three")]})
    assert error(added)[0] == 404
    with sessions() as session:
        assert session.scalar(text("SELECT count(*) FROM conversation_items")) == 1
    assert texts(listed(api, kept)) == ["two"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"items": [said("x")] * 21}, "items"),
        ({"items": [said("one", id="a"), said("two", id="a")]}, "items.1.id"),
        ({"items": [said("one"), {"type": "message", "role": "user"}]}, "items.1.content"),
        ({"items": [{"type": "web_search_call", "id": "w"}]}, "items.0.type"),
        ({"items": [{"type": "item_reference", "id": "msg_1"}]}, "items.0.type"),
        (
            {"items": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]},
            "items.0.content.0.type",
        ),
        ({"items": ["x"]}, "items.0"),
        ({"items": {"role": "user"}}, "items"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"metadata": {str(number): "" for number in range(17)}}, "metadata"),
        ({"topic": "x"}, "topic"),
    ],
)
def test_a_wrong_field_is_named_and_nothing_kept(api: Api, sessions: Sessions, body: Any, param: str) -> None:
    assert error(api.post("/v1/conversations", json=body))[::2] == (400, param)
    with sessions() as session:
        assert session.scalar(text("SELECT count(*) FROM conversations")) == 0


def test_an_id_that_is_there_is_refused(api: Api) -> None:
    """None of the items that come with it is kept."""
    conversation_id = make(api, said("one", id="msg_1"))
    url = f"/v1/conversations/{conversation_id}/items"
    refused = api.post(url, json={"items": [said("two"), said("three", id="msg_1")]})
    assert error(refused) == (400, "invalid_value", "items.1.id")
    assert texts(listed(api, conversation_id)) == ["one"]
    assert make(api, said("one", id="msg_1")) != conversation_id  # it is another conversation's own


@pytest.mark.parametrize(("bound", "most"), [("MAX_ITEMS", 2), ("MAX_BYTES", 400)])
def test_a_full_conversation_takes_no_more(api: Api, monkeypatch: pytest.MonkeyPatch, bound: str, most: int) -> None:
    """Until something is taken out."""
    monkeypatch.setattr(room, bound, most)
    conversation_id = make(api, said("one"), said("two"))
    url = f"/v1/conversations/{conversation_id}/items"
    assert error(api.post(url, json={"items": [said("three")]})) == (400, "conversation_full", "items")
    first = listed(api, conversation_id)["data"][0]
    api.ask("DELETE", f"{url}/{first['id']}")
    put(api, conversation_id, said("three"))
    assert texts(listed(api, conversation_id)) == ["two", "three"]


@pytest.mark.parametrize("query", ["limit=-1", "limit=101", "limit=x", "order=up", "after=msg_unknown", "before=x"])
def test_a_list_is_asked_for_by_what_there_is(api: Api, query: str) -> None:
    conversation_id = make(api, said("one"))
    refused = api.get(f"/v1/conversations/{conversation_id}/items?{query}")
    assert error(refused)[::2] == (400, query.partition("=")[0])


def test_the_stock_client_reads_all_of_it(sdk: OpenAI) -> None:
    """Through its own types, which say what they miss."""
    made = sdk.conversations.create(
        items=[{"type": "message", "role": "user", "content": "one"}], metadata={"topic": "tides"}
    )
    assert sdk.conversations.retrieve(made.id) == made
    assert sdk.conversations.update(made.id, metadata={}).metadata == {}
    more = [{"type": "message", "role": "user", "content": f"{number}"} for number in range(4)]
    added = sdk.conversations.items.create(made.id, items=more)  # type: ignore[arg-type]
    assert [item.type for item in added.data] == ["message"] * 4
    found = [item.id for item in sdk.conversations.items.list(made.id, order="asc", limit=2)]
    assert found[1:] == [item.id for item in added.data]
    assert sdk.conversations.items.retrieve(found[0], conversation_id=made.id).id == found[0]
    assert sdk.conversations.items.delete(found[0], conversation_id=made.id).id == made.id
    assert sdk.conversations.delete(made.id).deleted
    with pytest.raises(NotFoundError):
        sdk.conversations.retrieve(made.id)
