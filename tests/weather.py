"""A stand-in for Open-Meteo: a real HTTP server that answers in the shape of its two services, or as it is told."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

BERLIN = {
    "id": 2950159, "name": "Berlin", "latitude": 52.52437, "longitude": 13.41053, "elevation": 74.0,
    "feature_code": "PPLC", "country_code": "DE", "timezone": "Europe/Berlin", "population": 3426354,
    "country": "Germany", "admin1": "Land Berlin",
}  # fmt: skip
NOW = {
    "temperature_2m": 3.4, "apparent_temperature": -0.5, "relative_humidity_2m": 81, "precipitation": 0.1,
    "wind_speed_10m": 14.8, "weather_code": 61,
}  # fmt: skip
DAYS = {
    "temperature_2m_min": [1.1, -2.0], "temperature_2m_max": [5.2, 0.4], "precipitation_sum": [2.5, 0.0],
    "weather_code": [61, 3],
}  # fmt: skip


@dataclass(slots=True)
class Service:
    """Where it listens, what it was asked, and what it answers: None for what fits, or a status and a body."""

    port: int
    answer: tuple[int, bytes] | None = None
    hangs: bool = False
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def told(self, path: str, query: dict[str, str]) -> tuple[int, bytes]:
        """What Open-Meteo would say."""
        if path == "/v1/search":
            found = {"results": [BERLIN]} if query["name"] == "Berlin" else {}
            return 200, json.dumps({**found, "generationtime_ms": 0.7}).encode()
        if path != "/v1/forecast":
            return 404, b'{"error": true, "reason": "Not Found"}'
        return 200, json.dumps(_forecast(query)).encode()


def _forecast(query: dict[str, str]) -> dict[str, Any]:
    days = int(query["forecast_days"])
    return {
        "latitude": float(query["latitude"]),
        "longitude": float(query["longitude"]),
        "timezone": "Europe/Berlin",
        "current_units": dict.fromkeys(query["current"].split(","), "unit"),
        "current": {"time": "2026-11-27T10:00", **{name: NOW[name] for name in query["current"].split(",")}},
        "daily": {
            "time": ["2026-11-27", "2026-11-28"][:days],
            **{name: DAYS[name][:days] for name in query["daily"].split(",")},
        },
    }


class _Handler(BaseHTTPRequestHandler):
    service: Service

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query))
        self.service.asked.append((parts.path, query))
        if self.service.hangs:
            self.service.released.wait(60)
            return
        status, body = self.service.answer or self.service.told(parts.path, query)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *args: object) -> None:
        """Whoever asks may be ended while it waits."""


@contextmanager
def serving() -> Iterator[Service]:
    """The service for as long as the block runs."""
    server = _Server(("127.0.0.1", 0), type("Own", (_Handler,), {}))
    service = Service(server.server_address[1])
    server.RequestHandlerClass.service = service
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield service
    finally:
        service.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
