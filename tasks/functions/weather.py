"""The weather and where places are, as Open-Meteo's two services tell them (open-meteo.com/en/docs)."""

from collections.abc import Mapping
from typing import Annotated, Any

import httpx
from pydantic import Field

from tasks.errors import ToolFailed
from tasks.functions.registry import Function, function

_Query = Mapping[str, str | int | float]

_TIMEOUT_S = 5.0
_MAX_BYTES = 256 * 1024
_PLACE = ("name", "admin1", "country", "latitude", "longitude", "timezone", "population")
# What is asked, and how the answer calls it; the units are the service's own where none is asked for.
_NOW = {
    "temperature_2m": "temperature_c",
    "apparent_temperature": "feels_like_c",
    "relative_humidity_2m": "humidity_percent",
    "precipitation": "precipitation_mm",
    "wind_speed_10m": "wind_kmh",
}
_DAY = {
    "temperature_2m_min": "low_c",
    "temperature_2m_max": "high_c",
    "precipitation_sum": "precipitation_mm",
}
_CODE = "weather_code"
# WMO's code table 4677, as far as the service uses it.
_SKIES = {
    0: "clear", 1: "mostly clear", 2: "partly cloudy", 3: "overcast", 45: "fog", 48: "freezing fog",
    51: "light drizzle", 53: "drizzle", 55: "heavy drizzle", 56: "light freezing drizzle", 57: "freezing drizzle",
    61: "light rain", 63: "rain", 65: "heavy rain", 66: "light freezing rain", 67: "freezing rain",
    71: "light snow", 73: "snow", 75: "heavy snow", 77: "snow grains", 80: "light showers", 81: "showers",
    82: "violent showers", 85: "light snow showers", 86: "snow showers", 95: "thunderstorm",
    96: "thunderstorm with hail", 99: "thunderstorm with heavy hail",
}  # fmt: skip


def functions(weather_url: str, geocoding_url: str) -> list[Function]:
    """Those that ask services at these addresses."""

    @function
    def weather(
        latitude: Annotated[float, Field(ge=-90, le=90)],
        longitude: Annotated[float, Field(ge=-180, le=180)],
        days: Annotated[int, Field(ge=0, le=7)] = 1,
    ) -> dict[str, Any]:
        """Tells the weather at a place now and on the next days. Times are those of the place.

        Args:
            latitude: Degrees north; south is negative.
            longitude: Degrees east; west is negative.
            days: How many days the forecast has, today included.
        """
        return _weather(weather_url, latitude, longitude, days)

    @function
    def find_place(name: Annotated[str, Field(min_length=2, max_length=100)]) -> list[dict[str, Any]]:
        """Finds towns and cities by name, with their latitude, longitude and time zone; the likeliest first.

        Args:
            name: The name alone, as in Berlin, or a postal code.
        """
        asked: _Query = {"name": name, "count": 5, "language": "en", "format": "json"}
        return _places(_asked(geocoding_url, "/v1/search", asked))

    return [weather, find_place]


def _weather(address: str, latitude: float, longitude: float, days: int) -> dict[str, Any]:
    where: _Query = {"latitude": latitude, "longitude": longitude, "timezone": "auto"}
    wanted = {"current": ",".join([*_NOW, _CODE]), "daily": ",".join([*_DAY, _CODE])}
    told = _asked(address, "/v1/forecast", {**where, **wanted, "forecast_days": max(days, 1)})
    try:
        now = told["current"]
        current = {"time": now["time"], "sky": _sky(now), **{name: now[key] for key, name in _NOW.items()}}
        forecast = [_day(told["daily"], number) for number in range(len(told["daily"]["time"]))]
        return {"timezone": told["timezone"], "current": current, "forecast": forecast[:days]}
    except (KeyError, IndexError, TypeError) as error:
        raise _odd() from error


def _places(told: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Those in the answer; where there are none, it has no list of them."""
    try:
        return [{key: place[key] for key in _PLACE if key in place} for place in told.get("results", [])]
    except TypeError as error:
        raise _odd() from error


def _day(daily: Mapping[str, Any], number: int) -> dict[str, Any]:
    day = {key: values[number] for key, values in daily.items()}
    return {"date": day["time"], "sky": _sky(day), **{name: day[key] for key, name in _DAY.items()}}


def _sky(told: Mapping[str, Any]) -> str:
    return _SKIES.get(told[_CODE], "unknown")


def _asked(address: str, path: str, asked: _Query) -> dict[str, Any]:
    """The service's answer. Raises `ToolFailed`, which tells neither its address nor what a proxy of ours said."""
    try:
        with httpx.stream("GET", address.rstrip("/") + path, params=asked, timeout=_TIMEOUT_S) as response:
            raw = _read(response)
        answer = httpx.Response(response.status_code, content=raw).json()
    except httpx.TimeoutException as error:
        raise ToolFailed(f"the weather service didn't answer within {_TIMEOUT_S:g} seconds") from error
    except httpx.HTTPError as error:
        raise ToolFailed("the weather service can't be reached") from error
    except ValueError as error:
        raise _odd() from error
    if not isinstance(answer, dict):
        raise _odd()
    if response.status_code != 200:
        raise _refused(response.status_code, answer)
    return answer


def _read(response: httpx.Response) -> bytes:
    raw = bytearray()
    for piece in response.iter_bytes():
        raw += piece
        if len(raw) > _MAX_BYTES:
            raise _odd()
    return bytes(raw)


def _refused(status: int, answer: Mapping[str, Any]) -> ToolFailed:
    reason = answer.get("reason")
    said = f": {reason[:200]}" if isinstance(reason, str) else ""
    return ToolFailed(f"the weather service refused with status {status}{said}")


def _odd() -> ToolFailed:
    return ToolFailed("the weather service's answer can't be understood")
