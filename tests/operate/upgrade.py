"""From an older version to this one while clients read: jobs wait, run and are half told when it happens."""

import shutil
import subprocess
import tarfile
from pathlib import Path

from cli.launcher import lineup
from tests.operate.clients import Crowd
from tests.operate.installation import ECHO, Installation, LeftOut
from tests.support import waiting
from tests.support.platform import ROOT

COMMIT = "66f0909"  # of tables 0026, before upgrades were spoken of
_DATABASE = "before"
_CLIENTS, _JOBS, _WORDS = 24, 48, 200


def go_on(installation: Installation) -> str:
    """Migrates and restarts in the order of docs/operating.md; old and new stand beside each other meanwhile."""
    old, env = _unpacked(installation.folder / "old"), _environment(installation)
    installation.sql(f"CREATE DATABASE {_DATABASE} OWNER forebay", "postgres", "postgres")
    installation.sql("CREATE EXTENSION vector", "postgres", _DATABASE)
    installation.command("migrate", root=old, **env)
    key = installation.command("keys", "create", "--name", "before", root=old, **env).split()[-1]
    theirs = [installation.api("old", old, **env)]
    theirs += [installation.worker("old", model, old, **env) for model in (lineup.CONTROL, ECHO)]
    installation.serve(*theirs)
    ports = [installation.port(f"{lineup.API}-{machine}") for machine in ("old", "new")]
    addresses = [f"http://127.0.0.1:{port}" for port in ports]
    crowd = Crowd(addresses, key, [ECHO], _CLIENTS, _JOBS, words=_WORDS)
    crowd.begin()
    try:
        waiting.until(lambda: sum("delta" in told.types for told in crowd.told) >= 4)
        _change(installation, theirs, env)
    finally:
        crowd.stop()
    if crowd.mistakes:
        raise AssertionError(f"{len(crowd.mistakes)} mistakes: " + "; ".join(crowd.mistakes[:5]))
    _count(installation, len(crowd.told))
    shared = _query(installation, "SELECT count(*) FROM jobs WHERE attempt > 1")
    assert shared, "no job was half told by the old version"
    return (
        f"{len(crowd.told)} jobs asked of {COMMIT} and of this version ended, {shared} of them begun by the one and "
        f"ended by the other, {crowd.resumed()} streams resumed; nothing lost or told twice"
    )


def _change(installation: Installation, theirs: list[str], env: dict[str, str]) -> None:
    """Tables, then control workers and workers, then APIs; the old ones go once the new ones are there."""
    installation.command("migrate", **env)
    assert installation.readiness(theirs[0])(), "the old API doesn't serve with the new tables"
    for model in (lineup.CONTROL, ECHO):
        installation.serve(installation.worker("new", model, **env))
    for name in theirs[1:]:
        installation.stop(name)
    installation.serve(installation.api("new", **env))
    installation.stop(theirs[0])


def _count(installation: Installation, told: int) -> None:
    """PostgreSQL's own account of what the clients were told."""
    succeeded = _query(installation, "SELECT count(*) FROM jobs WHERE status = 'succeeded'")
    charged = _query(installation, "SELECT count(*) FROM ledger")
    assert (succeeded, charged) == (told, told), f"of {told} jobs {succeeded} succeeded, {charged} are in the ledger"


def _query(installation: Installation, statement: str) -> int:
    [(number,)] = installation.sql(statement, database=_DATABASE)
    return int(number)


def _environment(installation: Installation) -> dict[str, str]:
    """A database and a Redis of its own, and no patience: workers hand back what they run."""
    return {
        "FOREBAY_DATABASE_URL": installation.url("forebay", _DATABASE),
        "FOREBAY_REDIS_URL": installation.env["FOREBAY_REDIS_URL"].removesuffix("/0") + "/1",
        "FOREBAY_GRACE_S": "0.5",
    }


def _unpacked(folder: Path) -> Path:
    """The older version's files. Raises `LeftOut` in a clone that hasn't got them."""
    if shutil.which("git") is None:
        raise LeftOut("no git")
    file = folder.with_suffix(".tar")
    argv = ["git", "archive", "--output", str(file), COMMIT]
    if subprocess.run(argv, cwd=ROOT, capture_output=True, check=False).returncode:
        raise LeftOut(f"this clone has no commit {COMMIT}")
    with tarfile.open(file) as archive:
        archive.extractall(folder, filter="data")
    return folder
