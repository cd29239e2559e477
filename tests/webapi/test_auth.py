"""Keys: closed by default, good at once, soon forgotten."""

import re
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace

import pytest
from flask import Flask
from sqlalchemy import event

from db.session import Sessions
from tasks import keys
from tasks.errors import ShareUsedUp
from tasks.keys import Caller, KeyCheck
from tests.webapi.conftest import Api, new_key
from webapi import auth
from webapi.app import create_app
from webapi.settings import Settings

OPEN = {"/", "/healthz", "/readyz", "/health", "/openapi.json", "/docs/", "/docs/<path:path>"}


def routes(app: Flask) -> Iterator[tuple[str, str]]:
    """Every route of the app: its rule and one of its methods."""
    for rule in app.url_map.iter_rules():
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            yield rule.rule, method


def path(rule: str, **parts: str) -> str:
    """The rule's path, with these parts in the places of its parameters."""
    return re.sub(r"<(?:path:)?(\w+)>", lambda place: parts.get(place[1], "x"), rule)


def test_every_route_but_the_open_ones_wants_a_key(app: Flask, api: Api) -> None:
    """A route added tomorrow is closed unless somebody opens it."""
    job = api.submit()
    for rule, method in routes(app):
        response = app.test_client().open(path(rule, job_id=job["id"]), method=method)
        expected = {200, 302, 404} if rule in OPEN else {401}
        assert response.status_code in expected, rule
        if response.status_code == 401:
            assert response.headers["WWW-Authenticate"] == "Bearer"
            assert "this needs the header Authorization: Bearer" in response.text


@pytest.mark.parametrize(
    "header",
    [
        "", "Bearer", "Bearer ", "Bearer x", "Basic fb_x", "Bearer fb_0000000000_" + "A" * 43, "Bearer fb_' OR 1=1 --",
        "Bearer " + "x" * 8000, "Bearer fb_\xff\xfe", "Token abc",
    ],
)  # fmt: skip
def test_no_good_key_is_a_401(app: Flask, header: str) -> None:
    """Missing, malformed, unknown: one answer, which names no reason an attacker could use."""
    response = app.test_client().get("/v1/jobs", headers={"Authorization": header})
    assert (response.status_code, response.json["error"]["param"]) == (401, None)


def test_wrong_secret_of_a_known_key_is_a_401(app: Flask, api: Api) -> None:
    """The readable part of a key opens nothing."""
    key = api.key[:-1] + ("A" if api.key[-1] != "A" else "B")
    assert Api(app, key).get("/v1/jobs").status_code == 401


def test_scheme_is_read_in_any_case(app: Flask, api: Api) -> None:
    """RFC 9110: the name of a scheme has no case."""
    response = app.test_client().get("/v1/jobs", headers={"Authorization": f"bearer {api.key}"})
    assert response.status_code == 200


def test_revoked_key_stops_working(app: Flask, api: Api, sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    """A good key is remembered for two seconds and no longer."""
    assert api.get("/v1/jobs").status_code == 200
    with sessions.begin() as session:
        keys.revoke(session, api.key.split("_")[1])
    assert auth.REMEMBER_S <= 5
    later = auth.time.monotonic() + auth.REMEMBER_S
    monkeypatch.setattr(auth.time, "monotonic", lambda: later)
    assert api.get("/v1/jobs").status_code == 401


def test_new_key_works_at_once(app: Flask, sessions: Sessions) -> None:
    """Whatever was asked before it was made."""
    assert Api(app, "fb_0000000000_" + "A" * 43).get("/v1/jobs").status_code == 401
    made = new_key(sessions, "ours")
    wrong = made[:-3] + "xyz"
    assert Api(app, wrong).get("/v1/jobs").status_code == 401
    assert Api(app, made).get("/v1/jobs").status_code == 200


def test_unknown_key_asks_the_database_once(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood of it costs no connections."""
    monkeypatch.setattr(auth.time, "monotonic", lambda: 1.0)  # a moment that lasts
    asked = []
    event.listen(app.extensions["forebay"].engine, "before_cursor_execute", lambda *said: asked.append(said[2]))
    for _ in range(100):
        assert Api(app, "fb_0000000000_" + "A" * 43).get("/v1/jobs").status_code == 401
    assert sum("FROM keys" in statement for statement in asked) == 1


def test_unknown_keys_of_one_address_leave_look_ups_to_others() -> None:
    """Two at a time, each a little slow; more than so many that wait are told to come later. A known key doesn't."""
    known, held, check = auth.KnownKeys(), threading.Event(), KeyCheck(Caller(uuid.uuid4(), "known"), b"")

    def look_up(key_id: str) -> KeyCheck | None:
        if key_id.startswith("unknown"):
            held.wait(60)
            return None
        return check

    known.get("known", "here", look_up)
    with ThreadPoolExecutor(70) as pool:
        flood = [pool.submit(known.get, f"unknown{number}", "there", look_up) for number in range(70)]
        told = next(as_completed(flood)).exception()
        assert isinstance(told, ShareUsedUp)
        assert known.get("known", "there", look_up) == check
        assert known.get("new", "here", look_up) == check
        held.set()


def test_unknown_keys_drive_no_known_ones_out() -> None:
    """A key that this process knows is looked up without a turn, however many others came by."""
    known, check = auth.KnownKeys(), KeyCheck(Caller(uuid.uuid4(), "known"), b"")
    known.get("known", "here", lambda _: check)
    for number in range(10_050):
        known._remembered(f"unknown{number}", None)
    assert "known" in known._known
    assert len(known._unknown) <= 10_000


def test_remembered_checks_are_bounded_and_hold_no_secret(api: Api, sessions: Sessions) -> None:
    """However many keys come by, memory stays small, and nobody who reads it can ask as anyone."""
    known, key_id = auth.KnownKeys(), api.key.split("_")[1]
    with sessions() as session:
        check = keys.key_check(session, key_id)
    assert check is not None
    for i in range(10_050):
        known.get(f"key{i}", "here", lambda _: check)
    assert len(known._known) <= 10_000
    assert known.get("key10049", "here", lambda _: None) == check
    assert api.key.split("_", 2)[2] not in repr(known._known)


def test_wrong_secrets_of_a_known_key_ask_no_database(app: Flask, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten thousand of them can't take the connections that the right key needs."""
    assert api.get("/v1/models").status_code == 200
    monkeypatch.setattr(auth.time, "monotonic", lambda: 0.0)  # a moment that lasts
    asked = []
    event.listen(app.extensions["forebay"].engine, "before_cursor_execute", lambda *said: asked.append(said[2]))
    client, wrong = app.test_client(), api.key[:-4]
    for i in range(1000):
        header = {"Authorization": f"Bearer {wrong}{i:04}"}
        assert client.get("/v1/models", headers=header).status_code == 401
    assert asked == []
    assert api.get("/v1/models").status_code == 200
    assert not any("FROM keys" in statement for statement in asked)


def test_keys_belong_to_their_pepper(sessions: Sessions, settings: Settings, api: Api) -> None:
    """Whoever has the whole database and another pepper opens nothing with it."""
    other = create_app(replace(settings, key_pepper="another"))
    assert Api(other, api.key).get("/v1/jobs").status_code == 401
    other.extensions["forebay"].close()
