"""The weather, from a service that answers as Open-Meteo does, or doesn't."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tasks.errors import InvalidField, ToolFailed
from tasks.functions import weather
from tests import weather as standin
from tests.support.platform import free_port
from tests.weather import Service

BERLIN = {"latitude": 52.52, "longitude": 13.41}


@pytest.fixture
def service() -> Iterator[Service]:
    with standin.serving() as service:
        yield service


def told(service: Service | str, tool: str, /, **arguments: Any) -> Any:
    url = service if isinstance(service, str) else service.url
    asked = next(each for each in weather.functions(url, url) if each.name == tool)
    return asked.run(asked.parameters.read(json.dumps(arguments)))


def test_weather_is_told_in_words_and_units(service: Service) -> None:
    """Now, and on as many days as are asked for."""
    answer = told(service, "weather", **BERLIN, days=2)
    assert answer["timezone"] == "Europe/Berlin"
    assert answer["current"] == {
        "time": "2026-11-27T10:00", "sky": "light rain", "temperature_c": 3.4, "feels_like_c": -0.5,
        "humidity_percent": 81, "precipitation_mm": 0.1, "wind_kmh": 14.8,
    }  # fmt: skip
    assert answer["forecast"] == [
        {"date": "2026-11-27", "sky": "light rain", "low_c": 1.1, "high_c": 5.2, "precipitation_mm": 2.5},
        {"date": "2026-11-28", "sky": "overcast", "low_c": -2.0, "high_c": 0.4, "precipitation_mm": 0.0},
    ]
    [(path, query)] = service.asked
    assert path == "/v1/forecast"
    assert (query["latitude"], query["longitude"], query["timezone"]) == ("52.52", "13.41", "auto")
    assert told(service, "weather", **BERLIN, days=0)["forecast"] == []


def test_place_is_found_by_its_name(service: Service) -> None:
    """With what the weather is asked by; one that isn't known is in no list."""
    [place] = told(service, "find_place", name="Berlin")
    assert (place["latitude"], place["longitude"], place["timezone"]) == (52.52437, 13.41053, "Europe/Berlin")
    assert told(service, "find_place", name="Nowhere & nothing=1") == []
    assert service.asked[1] == (
        "/v1/search", {"name": "Nowhere & nothing=1", "count": "5", "language": "en", "format": "json"}
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"latitude": 91}, "latitude"), ({"longitude": "13"}, "longitude"), ({"days": 8}, "days"), ({"url": "x"}, "url")],
)
def test_place_that_is_none_is_never_asked_for(service: Service, changes: dict[str, Any], field: str) -> None:
    """Nobody but the operator says where the service is."""
    with pytest.raises(InvalidField) as wrong:
        told(service, "weather", **{**BERLIN, **changes})
    assert (wrong.value.field, service.asked) == (f"arguments.{field}", [])


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((400, b'{"error": true, "reason": "Daily quota exceeded"}'), "refused with status 400: Daily quota exceeded"),
        ((500, b"{}"), "refused with status 500"), ((502, b"<html>"), "can't be understood"),
        ((200, b"<html>"), "can't be understood"), ((200, b"[]"), "can't be understood"),
        ((200, b"\xff"), "can't be understood"), ((200, b'{"results": 5}'), "can't be understood"),
        ((200, b'{"current": {}, "results": [5]}'), "can't be understood"),
        ((200, b" " * (300 * 1024)), "can't be understood"), ((302, b"{}"), "refused with status 302"),
    ],
)  # fmt: skip
@pytest.mark.parametrize(("name", "arguments"), [("weather", BERLIN), ("find_place", {"name": "Berlin"})])
def test_odd_answer_is_a_clear_failure(
    service: Service, name: str, arguments: dict[str, Any], answer: tuple[int, bytes], said: str
) -> None:
    """Whatever the service, or what stands before it, says."""
    service.answer = answer
    with pytest.raises(ToolFailed, match=said):
        told(service, name, **arguments)


def test_service_that_cannot_be_reached_is_a_clear_failure() -> None:
    """Without its address, which is the operator's affair."""
    with pytest.raises(ToolFailed) as failed:
        told(f"http://127.0.0.1:{free_port()}", "weather", **BERLIN)
    assert str(failed.value) == "the weather service can't be reached"


def test_service_that_says_nothing_is_a_clear_failure(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a time of its own, which is shorter than a call's."""
    service.hangs = True
    monkeypatch.setattr(weather, "_TIMEOUT_S", 0.1)
    with pytest.raises(ToolFailed, match=r"didn't answer within 0\.1 seconds"):
        told(service, "weather", **BERLIN)
