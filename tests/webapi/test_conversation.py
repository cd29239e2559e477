"""What a message of a chat may say, and what is kept of it."""

from typing import Any

import pytest
from sqlalchemy import select

from db.jobs import Job
from db.session import Sessions
from tasks import ids
from tests.webapi.conftest import Api

TEXT = {"type": "text", "text": "one"}


def kept(api: Api, sessions: Sessions, *messages: dict[str, Any]) -> list[dict[str, str]]:
    """The messages as they are stored."""
    job = api.submit(type="chat", input={"messages": list(messages)})
    with sessions() as session:
        stored = session.scalars(select(Job.input).where(Job.id == ids.parse(job["id"]))).one()
    return list(stored["messages"])


def refusal(api: Api, **message: Any) -> tuple[str, str]:
    """The field and the words with which a chat of this message is refused."""
    response = api.post("/v1/jobs", json={"type": "chat", "input": {"messages": [message]}})
    assert response.status_code == 422
    return response.json["error"]["param"].removeprefix("input.messages.0."), response.json["error"]["message"]


def test_text_parts_become_one_text(api: Api, sessions: Sessions) -> None:
    """Joined with newlines, an empty one too."""
    parts = [TEXT, {"type": "text", "text": ""}, {"type": "text", "text": "two"}]
    assert kept(api, sessions, {"role": "user", "content": parts}) == [{"role": "user", "content": "one\n\ntwo"}]
    assert kept(api, sessions, {"role": "user", "content": [TEXT] * 100})[0]["content"] == "\n".join(["one"] * 100)


def test_same_message_in_parts_is_the_same_request(api: Api) -> None:
    """An idempotency key stands for what was asked, not for how it was written."""
    asked = [
        api.post(
            "/v1/jobs",
            json={"type": "chat", "input": {"messages": [{"role": "user", "content": content}]}},
            headers={"Idempotency-Key": "k"},
        ).json["id"]
        for content in ("one", [TEXT])
    ]
    assert asked[0] == asked[1]


def test_developer_is_kept_as_system(api: Api, sessions: Sessions) -> None:
    """No model's template knows the other word."""
    assert kept(api, sessions, {"role": "developer", "content": "Be brief."}, {"role": "user", "content": "one"}) == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "one"},
    ]


@pytest.mark.parametrize("empty", ["", None, [], [{"type": "text", "text": ""}]])
def test_only_an_assistant_may_say_nothing(api: Api, sessions: Sessions, empty: Any) -> None:
    """Its empty turn is kept; anyone else's is refused."""
    user, silent = {"role": "user", "content": "one"}, {"role": "assistant", "content": empty}
    assert kept(api, sessions, user, silent, user) == [user, {"role": "assistant", "content": ""}, user]
    for role in ("user", "system", "developer"):
        assert refusal(api, role=role, content=empty) == ("content", "the message is empty")


@pytest.mark.parametrize(
    ("content", "field", "said"),
    [
        ([{"type": "image_url", "image_url": {"url": "x"}}], "content.0.type", "image_url isn't supported: this model"),
        ([TEXT, {"type": "input_audio"}], "content.1.type", "input_audio isn't supported: this model reads text"),
        ([{"type": "x" * 5000, "text": "one"}], "content.0.type", "x" * 64 + " isn't supported"),
        ([{"type": 5, "text": "one"}], "content.0.type", "Not a valid string"),
        ([{"text": "one"}], "content.0.type", "Missing data"),
        ([{"type": "text"}], "content.0.text", "Missing data"),
        ([TEXT, {"type": "text", "text": None}], "content.1.text", "may not be null"),
        ([{**TEXT, "cache_control": {}}], "content.0.cache_control", "unknown field"),
        (["one"], "content.0", "Invalid"),
        ([TEXT] * 101, "content", "at most 100 parts"),
        (TEXT, "content", "must be a text or a list of text parts"),
        (5, "content", "must be a text or a list of text parts"),
    ],
)
def test_other_content_is_refused_by_name(api: Api, content: Any, field: str, said: str) -> None:
    """The path goes to the part, and the words to what is wrong with it."""
    refused = refusal(api, role="user", content=content)
    assert refused[0] == field
    assert said in refused[1]


def test_parts_count_against_the_context(api: Api) -> None:
    """A conversation that can't fit is refused however its messages are cut."""
    parts = [{"type": "text", "text": "x" * 64}] * 65
    response = api.post("/v1/jobs", json={"type": "chat", "input": {"messages": [{"role": "user", "content": parts}]}})
    assert response.json["error"]["code"] == "context_length_exceeded"
