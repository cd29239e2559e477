"""Files of requests that came in one body: each is a batch's, or gone."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from db.batches import Batch
from tests.webapi.conftest import Api

URL = "/v1/messages/batches"


def asked(words: str = "word") -> dict[str, Any]:
    params = {"model": "alpha", "max_tokens": 4, "messages": [{"role": "user", "content": words}]}
    return {"requests": [{"custom_id": "one", "params": params}]}


def files(api: Api) -> list[str]:
    return [file["id"] for file in api.get("/v1/files").json["data"]]


def inputs(api: Api) -> list[str]:
    return [batch["input_file_id"] for batch in api.get("/v1/batches").json["data"]]


def test_one_key_is_one_batch(api: Api) -> None:
    """Of one file, however often it comes; another body with it is refused, and not kept."""
    once = {"Idempotency-Key": "one"}
    first, again = (api.post(URL, json=asked(), headers=once) for _ in range(2))
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json["id"] == again.json["id"]
    assert api.post(URL, json=asked("other"), headers=once).status_code == 400
    assert len(inputs(api)) == 1
    assert files(api) == inputs(api)


def test_a_batch_is_known_by_its_key_where_there_is_no_room_for_its_file_twice(
    api: Api, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was answered is answered again, and nothing is kept; other requests are refused, and take no key."""
    serving, roomy = app.extensions["forebay"], app.extensions["forebay"].settings
    first = api.post(URL, json=asked(), headers={"Idempotency-Key": "one"})
    monkeypatch.setattr(serving, "settings", replace(roomy, max_kept_file_bytes=1_000))
    again = api.post(URL, json=asked(), headers={"Idempotency-Key": "one"})
    assert (again.status_code, again.json["id"]) == (200, first.json["id"])
    for headers, status in (({"Idempotency-Key": "one"}, 400), ({"Idempotency-Key": "two"}, 409), ({}, 409)):
        assert api.post(URL, json=asked("other"), headers=headers).status_code == status
    assert (len(inputs(api)), files(api)) == (1, inputs(api))
    monkeypatch.setattr(serving, "settings", roomy)
    assert api.post(URL, json=asked("other"), headers={"Idempotency-Key": "two"}).status_code == 200


@pytest.fixture
def unheard() -> Iterator[None]:
    """The answer to each commit that makes a batch is lost."""

    def note(session: Session, _: object) -> None:
        session.info["batch"] = any(isinstance(row, Batch) for row in session.new)

    def lose(session: Session) -> None:
        if session.info.pop("batch", False):
            raise OperationalError("COMMIT", {}, Exception("server closed the connection"))

    event.listen(Session, "after_flush", note)
    event.listen(Session, "after_commit", lose)
    yield
    event.remove(Session, "after_flush", note)
    event.remove(Session, "after_commit", lose)


def test_a_batch_that_was_made_unheard_keeps_its_file(api: Api, unheard: None) -> None:
    """Though its client is told of an error."""
    assert api.post(URL, json=asked()).status_code >= 500
    assert len(inputs(api)) == 1
    assert files(api) == inputs(api)
