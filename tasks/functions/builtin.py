"""The functions that every server has."""

from tasks.functions import dates, weather
from tasks.functions.registry import Function


def functions(weather_url: str, geocoding_url: str) -> list[Function]:
    """All of them; two ask services at these addresses."""
    ours = [dates.current_time, dates.convert_time, dates.add_to_date, dates.date_difference]
    return [*ours, *weather.functions(weather_url, geocoding_url)]
