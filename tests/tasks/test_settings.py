"""Settings: read once, all mistakes told together."""

from collections.abc import Callable
from functools import partial
from ipaddress import ip_network

import pytest

from tasks import errors, ids, settings
from tasks.queues import broker
from tasks.settings import WebhookPolicy, WebhookSettings
from webapi import settings as api_settings
from workers import settings as worker_settings


def test_all_mistakes_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two missing variables and a wrong one are all in the one message."""
    monkeypatch.delenv("FOREBAY_DATABASE_URL", raising=False)
    monkeypatch.delenv("FOREBAY_REDIS_URL", raising=False)
    monkeypatch.setenv("FOREBAY_LEASE_S", "soon")
    with pytest.raises(errors.SettingsError) as refused:
        settings.read()
    assert all(name in str(refused.value) for name in ("DATABASE_URL", "REDIS_URL", "LEASE_S"))


_OF_ALL = ["LEASE_S", "STREAM_TTL_S", "FILES", "DATABASE_POOLING", "FUNCTIONS", "FUNCTION_S", "WEATHER_URL"]
_OF_WORKERS = ["THREADS", "HEARTBEAT_S", "SWEEP_S", "GRACE_S", "STALL_S", "RETENTION_DAYS"]
_OF_WEBHOOKS = ["WEBHOOK_KEY", "WEBHOOK_HTTP", "WEBHOOK_NETWORKS"]
_OF_THE_API = ["KEY_PEPPER", "MAX_BODY_BYTES", "MAX_UPLOAD_BYTES", "API_STREAMS", "CORS_ORIGINS"]


@pytest.mark.parametrize(
    ("read", "own"),
    [
        (worker_settings.read, [*_OF_ALL, *_OF_WORKERS]),
        (partial(worker_settings.read, control=True), [*_OF_ALL, *_OF_WORKERS, *_OF_WEBHOOKS]),
        (api_settings.read, [*_OF_ALL, *_OF_WEBHOOKS, *_OF_THE_API]),
    ],
)
def test_no_wrong_setting_hides_another(
    monkeypatch: pytest.MonkeyPatch, read: Callable[[], object], own: list[str]
) -> None:
    """Whatever is made of those that are right."""
    monkeypatch.setenv("FOREBAY_DATABASE_URL", "postgresql://x/y")
    monkeypatch.setenv("FOREBAY_REDIS_URL", "redis://h")
    for name in own:
        monkeypatch.setenv(f"FOREBAY_{name}", "a b/!")
    with pytest.raises(errors.SettingsError) as refused:
        read()
    assert [name for name in own if f"'FOREBAY_{name}'" not in str(refused.value)] == []


def test_broker_is_redis_unless_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """One URL is enough; Celery's spelling of a unix socket is ours to make."""
    monkeypatch.setenv("FOREBAY_DATABASE_URL", "postgresql://x/y")
    monkeypatch.setenv("FOREBAY_REDIS_URL", "unix:///run/r.sock")
    monkeypatch.delenv("FOREBAY_BROKER_URL", raising=False)
    assert settings.read().broker_url == "unix:///run/r.sock"
    assert broker.celery_url("unix:///run/r.sock") == "redis+socket:///run/r.sock"
    assert broker.celery_url("redis://h:1/0") == "redis://h:1/0"


def test_pool_by_transaction_wants_a_way_around_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not everything can be done through one; without any pool both ways are the same."""
    monkeypatch.setenv("FOREBAY_DATABASE_URL", "postgresql://bouncer/y")
    monkeypatch.setenv("FOREBAY_REDIS_URL", "unix:///run/r.sock")
    assert (settings.read().pooled_by_transaction, settings.read().direct_url) == (False, "postgresql://bouncer/y")
    for wrong in ("transaction", "statement"):
        monkeypatch.setenv("FOREBAY_DATABASE_POOLING", wrong)
        with pytest.raises(errors.SettingsError, match="DATABASE_POOLING"):
            settings.read()
    monkeypatch.setenv("FOREBAY_DATABASE_POOLING", "transaction")
    monkeypatch.setenv("FOREBAY_DATABASE_DIRECT_URL", "postgresql://x/y")
    assert (settings.read().pooled_by_transaction, settings.read().direct_url) == (True, "postgresql://x/y")


def test_worker_of_a_model_is_not_told_what_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the control worker reads the key; a network that is none is told with the other mistakes."""
    key = "a webhook key of some length"
    for name, value in (("DATABASE_URL", "postgresql://x/y"), ("REDIS_URL", "redis://h"), ("WEBHOOK_KEY", key)):
        monkeypatch.setenv(f"FOREBAY_{name}", value)
    monkeypatch.setenv("FOREBAY_WEBHOOK_NETWORKS", "10.0.0.0/8, fd00::/8")
    found = worker_settings.read(control=True).webhooks
    assert found == WebhookSettings(key, WebhookPolicy(False, (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))))
    assert worker_settings.read().webhooks is None
    for name, value in (("WEBHOOK_NETWORKS", "10.0.0.1/8"), ("WEBHOOK_HTTP", "perhaps")):
        monkeypatch.setenv(f"FOREBAY_{name}", value)
    with pytest.raises(errors.SettingsError) as refused:
        worker_settings.read(control=True)
    assert all(name in str(refused.value) for name in ("WEBHOOK_NETWORKS", "WEBHOOK_HTTP"))


@pytest.mark.parametrize(("days", "kept_s"), [("", None), ("0", 0), ("0.5", 43_200), ("30", 2_592_000)])
def test_jobs_are_kept_for_ever_unless_days_are_said(
    monkeypatch: pytest.MonkeyPatch, days: str, kept_s: float | None
) -> None:
    """What is no number of days is told with the other mistakes."""
    for name, value in (("DATABASE_URL", "postgresql://x/y"), ("REDIS_URL", "redis://h"), ("RETENTION_DAYS", days)):
        monkeypatch.setenv(f"FOREBAY_{name}", value)
    assert worker_settings.read().kept_s == kept_s
    for wrong in ("a month", "-1", "nan", "1e9"):
        monkeypatch.setenv("FOREBAY_RETENTION_DAYS", wrong)
        with pytest.raises(errors.SettingsError, match="RETENTION_DAYS"):
            worker_settings.read()


def test_ids_are_shown_and_parsed_back() -> None:
    """Whatever isn't an id we made is no id."""
    job_id = ids.new()
    assert ids.parse(ids.show(job_id)) == job_id
    odd = [
        "",
        "job_",
        job_id.hex,
        "job_" + "g" * 32,
        "job_" + str(job_id),
        "job_" + job_id.hex + "0",
        "job_" + "١" * 32,
    ]
    assert [ids.parse(text) for text in odd] == [None] * len(odd)


def test_mistakes_in_the_settings_of_functions_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours are no function's affair, and what isn't set can't be seen."""
    for name, value in (("DATABASE_URL", "postgresql://x/y"), ("REDIS_URL", "redis://h"), ("FUNCTIONS", "a.b, c,")):
        monkeypatch.setenv(f"FOREBAY_{name}", value)
    monkeypatch.setenv("FOREBAY_FUNCTIONS_ENV", "CITY_KEY")
    monkeypatch.setenv("CITY_KEY", "x")
    found = worker_settings.read().functions
    assert (found.modules, found.variables, found.limit_s) == (("a.b", "c"), ("CITY_KEY",), 10)
    wrong = {"FUNCTIONS": "a-b", "FUNCTION_S": "0", "WEATHER_URL": "file:///etc", "GEOCODING_URL": "https://"}
    for name, value in wrong.items():
        monkeypatch.setenv(f"FOREBAY_{name}", value)
    for variable in ("FOREBAY_KEY_PEPPER", "NOT_SET_ANYWHERE"):
        monkeypatch.setenv("FOREBAY_FUNCTIONS_ENV", variable)
        with pytest.raises(errors.SettingsError) as refused:
            worker_settings.read()
        assert all(name in str(refused.value) for name in (*wrong, variable))


def test_mistakes_of_a_worker_hide_none_of_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that all processes share, its own, and those whose values are looked at by us."""
    wrong = {"RETENTION_DAYS": "-1", "LEASE_S": "soon", "THREADS": "0", "FILES": "ftp://x", "FUNCTION_S": "long"}
    for name, value in {"DATABASE_URL": "postgresql://x/y", "REDIS_URL": "redis://h", **wrong}.items():
        monkeypatch.setenv(f"FOREBAY_{name}", value)
    with pytest.raises(errors.SettingsError) as refused:
        worker_settings.read()
    assert [name for name in wrong if f"FOREBAY_{name}" not in str(refused.value)] == []
