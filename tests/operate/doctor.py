"""`forebay doctor` on an installation that is well, and after each of a list of things was broken."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import redis

from cli.launcher import lineup
from tests.operate.installation import ECHO, MACHINES, Installation
from tests.support.platform import ROOT

Found = set[tuple[str, str]]  # levels and parts
_EMPTY = "empty"


def examine(installation: Installation) -> str:
    """All is well; then each thing that is broken is named, and only that."""
    well = _found(installation)
    assert {level for level, _ in well} == {"ok"}, f"it finds {sorted(well)}"
    for name, (broken, expected) in _BREAKING.items():
        with broken(installation) as env:
            news = {one for one in _found(installation, **env) if one[0] != "ok"}
        assert expected in news, f"{name}: it finds {sorted(news)}"
    return f"all is well, and then it names {', '.join(_BREAKING)}"


def _found(installation: Installation, **env: str) -> Found:
    own = installation.env | {"FOREBAY_URL": installation.address, **env}
    argv = [sys.executable, "-m", "cli", "doctor", "--json"]
    done = subprocess.run(argv, env=own, cwd=ROOT, capture_output=True, text=True, check=False)
    found = {(finding["level"], finding["part"]) for finding in json.loads(done.stdout)}
    assert done.returncode == any(level == "wrong" for level, _ in found)
    return found


@contextmanager
def _forgetful_redis(installation: Installation) -> Iterator[dict[str, str]]:
    with redis.Redis.from_url(installation.env["FOREBAY_REDIS_URL"]) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            yield {}
        finally:
            client.config_set("maxmemory-policy", "noeviction")


@contextmanager
def _no_worker(installation: Installation) -> Iterator[dict[str, str]]:
    names = [f"{lineup.worker_name(ECHO)}-{machine}" for machine in MACHINES]
    for name in names:
        installation.stop(name)
    try:
        yield {}
    finally:
        for name in names:
            installation.start(installation.specs[name], installation.readiness(name))


@contextmanager
def _no_tables(installation: Installation) -> Iterator[dict[str, str]]:
    installation.sql(f"CREATE DATABASE {_EMPTY} OWNER forebay", "postgres", "postgres")
    installation.sql("CREATE EXTENSION vector", "postgres", _EMPTY)
    try:
        yield {"FOREBAY_DATABASE_URL": installation.url("forebay", _EMPTY)}
    finally:
        installation.sql(f"DROP DATABASE {_EMPTY} WITH (FORCE)", "postgres", "postgres")


@contextmanager
def _wrong_setting(_: Installation) -> Iterator[dict[str, str]]:
    yield {"FOREBAY_GRACE_S": "soon"}


@contextmanager
def _no_api(_: Installation) -> Iterator[dict[str, str]]:
    yield {"FOREBAY_URL": "http://127.0.0.1:9"}


_BREAKING = {
    "a Redis that may drop messages": (_forgetful_redis, ("warning", "Redis")),
    "a model without a worker": (_no_worker, ("wrong", "workers")),
    "a database without tables": (_no_tables, ("wrong", "tables")),
    "a setting that is wrong": (_wrong_setting, ("wrong", "settings")),
    "an API that is away": (_no_api, ("wrong", "API")),
}
