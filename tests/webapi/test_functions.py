"""Functions of the server over HTTP."""

import contextlib
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from db.session import Sessions
from tasks import errors
from tasks.settings import FunctionSettings
from tests import weather
from tests.support import waiting
from tests.support.platform import ROOT
from tests.weather import Service as Weather
from tests.webapi.conftest import Api, new_key
from tests.webapi.serving import Served, gunicorn
from webapi.app import create_app, equip
from webapi.service import Service
from webapi.settings import Settings

MODULES = ROOT / "tests" / "tasks" / "functions" / "modules"
OURS = ["current_time", "convert_time", "add_to_date", "date_difference", "weather", "find_place"]


@pytest.fixture
def sky() -> Iterator[Weather]:
    with weather.serving() as service:
        yield service


@pytest.fixture
def odd(
    app: Flask, api: Api, settings: Settings, sky: Weather, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Api, Service]]:
    """The API with an operator's odd functions, and with a weather service."""
    monkeypatch.syspath_prepend(str(MODULES))
    before = app.extensions["forebay"]
    functions = FunctionSettings(("odd_tools",), limit_s=20, weather_url=sky.url, geocoding_url=sky.url)
    serving = Service(replace(settings, functions=functions))
    equip(app, serving)
    yield api, serving
    serving.close()
    equip(app, before)


def called(api: Api, function: str, /, **arguments: Any) -> dict[str, Any]:
    response = api.post(f"/v1/functions/{function}", json={"arguments": arguments})
    assert response.status_code == 200, response.text
    return dict(response.json or {})


def test_functions_are_listed_as_they_are_looked_at(api: Api) -> None:
    """With all that a client needs to offer one to a model as a tool."""
    listed = api.get("/v1/functions").json
    assert listed["object"] == "list"
    assert [each["name"] for each in listed["data"]] == OURS
    for each in listed["data"]:
        assert each["object"] == "function"
        assert each["description"]
        assert each["parameters"]["type"] == "object"
        assert api.get(f"/v1/functions/{each['name']}").json == each


def test_function_is_called(api: Api) -> None:
    """With arguments, with none of them, and without the word."""
    answer = called(api, "current_time", timezone="Asia/Tokyo")
    assert (answer["object"], answer["name"], answer["error"]) == ("function_result", "current_time", None)
    assert datetime.fromisoformat(answer["result"]["time"]).utcoffset().total_seconds() == 9 * 3600
    assert called(api, "current_time")["result"]["timezone"] == "UTC"
    assert api.post("/v1/functions/current_time", json={}).json["result"]["timezone"] == "UTC"


def test_weather_is_that_of_the_service_of_the_settings(odd: tuple[Api, Service], sky: Weather) -> None:
    """By the place that was found; a service that answers oddly is an error of the function's."""
    api, _ = odd
    [place] = called(api, "find_place", name="Berlin")["result"]
    where = {"latitude": place["latitude"], "longitude": place["longitude"]}
    assert called(api, "weather", **where)["result"]["current"]["sky"] == "light rain"
    sky.answer = (503, b"<html>")
    answer = called(api, "weather", **where)
    assert answer["result"] is None
    assert answer["error"] == {"code": "tool_failed", "message": "the weather service's answer can't be understood"}


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"arguments": {"latitude": "5", "longitude": 3}}, 422, "arguments.latitude"),
        ({"arguments": {"latitude": 5}}, 422, "arguments.longitude"),
        ({"arguments": {"latitude": 5, "longitude": 3, "url": "http://x"}}, 422, "arguments.url"),
        ({"arguments": None}, 422, "arguments"), ({"arguments": []}, 422, "arguments"),
        ({"arguments": "{}"}, 422, "arguments"), ({"latitude": 5, "longitude": 3}, 422, "latitude"),
        ({"arguments": {"latitude": "\0"}}, 400, "arguments.latitude"),
    ],
)  # fmt: skip
def test_wrong_argument_is_named(api: Api, body: dict[str, Any], status: int, param: str) -> None:
    """In the one shape of all errors."""
    response = api.post("/v1/functions/weather", json=body)
    assert (response.status_code, response.json["error"]["param"]) == (status, param), response.text


def test_too_many_arguments_are_a_413(api: Api) -> None:
    """A function's arguments are small."""
    response = api.post("/v1/functions/find_place", json={"arguments": {"name": "x" * 70_000}})
    assert (response.status_code, response.json["error"]["details"]) == (413, {"max_bytes": 65_536})


@pytest.mark.parametrize("name", ["nothing", "x" * 100, "a b", "..%2Fetc"])
def test_unknown_function_is_a_404(api: Api, name: str) -> None:
    """However it is asked for."""
    for response in (api.get(f"/v1/functions/{name}"), api.post(f"/v1/functions/{name}", json={})):
        assert (response.status_code, response.json["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("fail", {}, "fail failed: RuntimeError"), ("die", {"status": 1}, "die ended the process it ran in"),
        ("many", {"count": 70_000}, "many returned more than 64 KiB"),
        ("odd", {"what": "nan"}, "odd returned what isn't JSON"),
        ("refuse", {}, "no such\N{REPLACEMENT CHARACTER}order"),
    ],
)  # fmt: skip
def test_function_that_fails_is_told_as_an_error_of_its_own(
    odd: tuple[Api, Service], name: str, arguments: dict[str, Any], message: str
) -> None:
    """No status by which a client would ask again."""
    api, _ = odd
    assert called(api, name, **arguments) == {
        "object": "function_result", "name": name, "result": None,
        "error": {"code": "tool_failed", "message": message},
    }  # fmt: skip


def test_tenant_whose_functions_hang_leaves_places_to_others(
    odd: tuple[Api, Service], theirs: Api, tmp_path: Path
) -> None:
    """One alone has half of them; the others find theirs at once."""
    api, serving = odd
    half = serving.calling.places // 2
    file = tmp_path / "go"
    with ThreadPoolExecutor(half) as pool:
        hanging = [pool.submit(called, api, "wait_for", file=str(file)) for _ in range(half)]
        try:
            waiting.until(lambda: sum(serving.calling._held.values()) == half)
            refused = api.post("/v1/functions/current_time", json={})
            assert (refused.status_code, refused.json["error"]["code"]) == (429, "share_used_up")
            assert refused.headers["Retry-After"] == "1"
            assert called(theirs, "current_time")["error"] is None
            assert api.get("/v1/functions").status_code == 200
        finally:
            file.touch()
        assert all(each.result()["error"] is None for each in hanging)
    assert called(api, "current_time")["error"] is None


def test_module_that_cannot_be_used_ends_the_start(settings: Settings) -> None:
    """Before anybody is served."""
    with pytest.raises(errors.SettingsError, match="nowhere: ModuleNotFoundError"):
        create_app(replace(settings, functions=FunctionSettings(("nowhere",))))


def test_call_whose_client_is_gone_is_ended(
    settings: Settings, sessions: Sessions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under gunicorn: its place is free again long before the function's time is over."""
    for name, value in (("FUNCTIONS", "odd_tools"), ("FUNCTION_S", "300")):
        monkeypatch.setenv(f"FOREBAY_{name}", value)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{MODULES}")
    with gunicorn(settings, new_key(sessions, "ours")) as served:
        for number in range(5):  # more than there are places for one tenant
            file = tmp_path / str(number)
            with contextlib.closing(_asking(served, "hang", file)):
                waiting.until(file.exists)
        waiting.until(lambda: served.client.post("/v1/functions/current_time", json={}).status_code == 200)


def _asking(served: Served, name: str, file: Path) -> socket.socket:
    """A call whose answer isn't read."""
    connection = socket.create_connection(("127.0.0.1", served.port))
    body = f'{{"arguments": {{"file": "{file}"}}}}'
    head = f"POST /v1/functions/{name} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {served.key}\r\n"
    rest = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    connection.sendall((head + rest).encode())
    return connection
