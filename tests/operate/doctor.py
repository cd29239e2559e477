"""`forebay doctor` on an installation that is well, and after each of a list of things was broken."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import redis

from cli.launcher import lineup
from tests.operate.installation import ECHO, MACHINES, Installation
from tests.support.platform import ROOT

Found = set[tuple[str, str]]  # levels and parts
_EMPTY = "empty"
_MACHINE = ("disk", "memory", "wall")  # how this one is, is no matter of the installation's


def examine(installation: Installation) -> str:
    """All is well; then what is broken is named: first what hides the rest, then all else at once."""
    before = sorted(one for one in _found(installation) if one[0] != "ok" and one[1] not in _MACHINE)
    assert not before, f"it finds {before}"
    for broken in ([_no_tables], [_forgetful_redis, _no_worker, _wrong_setting, _no_api]):
        with ExitStack() as mended:
            env: dict[str, str] = {}
            for breaking in broken:
                env |= mended.enter_context(breaking(installation))
            news = {one for one in _found(installation, **env) if one[0] != "ok"}
        assert news >= {_EXPECTED[breaking] for breaking in broken}, f"it finds {sorted(news)}"
    return f"all is well, and then it names what is wrong with {', '.join(part for _, part in _EXPECTED.values())}"


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
    installation.stop(*names)
    try:
        yield {}
    finally:
        installation.serve(*(installation.begin(installation.specs[name]) for name in names))


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


_EXPECTED = {
    _no_tables: ("wrong", "tables"),
    _forgetful_redis: ("warning", "Redis"),
    _no_worker: ("wrong", "workers"),
    _wrong_setting: ("wrong", "settings"),
    _no_api: ("wrong", "API"),
}
