"""The API's settings: all mistakes are told together."""

import pytest

from tasks import errors
from webapi import settings
from webapi.app import create_app

GOOD = {
    "FOREBAY_DATABASE_URL": "postgresql:///x",
    "FOREBAY_REDIS_URL": "redis://localhost/0",
    "FOREBAY_KEY_PEPPER": "a pepper of some length",
    "FOREBAY_WEBHOOK_KEY": "a webhook key of some length",
}


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        *GOOD,
        "FOREBAY_MAX_BODY_BYTES",
        "FOREBAY_CATALOG",
        "FOREBAY_CORS_ORIGINS",
        "FOREBAY_API_PROCESSES",
        "FOREBAY_API_STREAMS",
        "FOREBAY_API_HEAD_S",
        "FOREBAY_API_SILENT_S",
        "FOREBAY_API_UNREAD_S",
    ):
        monkeypatch.delenv(name, raising=False)


def test_everything_missing_is_told_at_once() -> None:
    """Whoever sets this up for the first time learns of every variable in one go."""
    with pytest.raises(errors.SettingsError) as caught:
        create_app()
    assert all(name in str(caught.value) for name in GOOD)


@pytest.mark.parametrize("short", ["", " " * 40, "fifteen letters"])
def test_secret_that_can_be_guessed_is_refused(monkeypatch: pytest.MonkeyPatch, short: str) -> None:
    """Set and empty is as bad as missing; it isn't repeated in the message."""
    for name, value in GOOD.items():
        monkeypatch.setenv(name, short if name in ("FOREBAY_KEY_PEPPER", "FOREBAY_WEBHOOK_KEY") else value)
    with pytest.raises(errors.SettingsError) as caught:
        settings.read()
    assert all(name in str(caught.value) for name in ("KEY_PEPPER", "WEBHOOK_KEY"))
    assert "fifteen" not in str(caught.value)


def test_defaults_are_what_the_table_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the addresses and the pepper must be given."""
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    read = settings.read()
    assert (read.key_pepper, read.max_body_bytes) == (GOOD["FOREBAY_KEY_PEPPER"], 4 * 1024 * 1024)
    assert read.cors_origins == frozenset()
    assert read.shared.broker_url == "redis://localhost/0"
    serving = settings.read_serving()
    assert 0 < read.max_readers < serving.threads
    assert (serving.head_s, serving.silent_s, serving.unread_s) == (10, 10, 20)


def test_processes_are_two_where_there_are_cores_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless somebody says how many; none at all is refused."""
    for cores, many in ((1, 1), (2, 2), (64, 2), (None, 1)):
        monkeypatch.setattr(settings.os, "cpu_count", lambda cores=cores: cores)
        assert settings.read_serving().processes == many
    monkeypatch.setenv("FOREBAY_API_PROCESSES", "5")
    assert settings.read_serving().processes == 5
    for name in ("FOREBAY_API_PROCESSES", "FOREBAY_API_STREAMS", "FOREBAY_API_HEAD_S"):
        monkeypatch.setenv(name, "0")
    with pytest.raises(errors.SettingsError, match=r"(?s)API_PROCESSES.*API_STREAMS.*API_HEAD_S"):
        settings.read_serving()


def test_streams_have_their_threads_and_leave_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many somebody wants open."""
    for name, value in (*GOOD.items(), ("FOREBAY_API_STREAMS", "2048")):
        monkeypatch.setenv(name, value)
    assert settings.read().max_readers == 2048
    assert settings.read_serving().threads == 2048 + settings.KEPT_FREE


@pytest.mark.parametrize(
    ("said", "origins"),
    [
        ("https://app.example.com", {"https://app.example.com"}),
        (" http://localhost:3000 ,https://a.example,", {"http://localhost:3000", "https://a.example"}),
        ("http://[::1]:3000,capacitor://localhost", {"http://[::1]:3000", "capacitor://localhost"}),
        ("*", {"*"}),
        ("", set()),
    ],
)
def test_origins_are_told_by_commas(monkeypatch: pytest.MonkeyPatch, said: str, origins: set[str]) -> None:
    """Each as a browser sends it, or all."""
    for name, value in {**GOOD, "FOREBAY_CORS_ORIGINS": said}.items():
        monkeypatch.setenv(name, value)
    assert settings.read().cors_origins == origins


@pytest.mark.parametrize(
    "odd",
    [
        "app.example.com", "https://", "https://a.example/", "https://a.example/app", "https://a.example?x", "null",
        "https://user@a.example", "https://A.example", "https://a.example:443", "http://a.example:80", "https://*.example",
        "https://a.example https://b.example", "https://b\u00fccher.example", "//a.example",
    ],
)  # fmt: skip
def test_origin_that_no_browser_sends_is_a_mistake(monkeypatch: pytest.MonkeyPatch, odd: str) -> None:
    """It would never match, and whoever set it would look for the reason elsewhere."""
    for name, value in {**GOOD, "FOREBAY_CORS_ORIGINS": f"https://good.example,{odd}"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(errors.SettingsError, match="CORS_ORIGINS"):
        settings.read()
