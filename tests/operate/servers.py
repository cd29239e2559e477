"""PostgreSQL and Redis as a machine has them: on ports, with passwords, and a role that is no superuser."""

import signal
import subprocess
import sys
from dataclasses import replace

import psycopg
import redis

from cli.launcher import cluster, embedded, processes
from tests.operate.installation import PASSWORD, Installation
from tests.support.platform import ROOT, free_port

# The administrator comes without a password, and from this machine alone.
_HBA = "host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
_OWNER = f"CREATE ROLE forebay LOGIN PASSWORD '{PASSWORD}'"


def start(installation: Installation) -> str:
    """Starts both, makes the role and its database, and brings the tables to this version."""
    _postgres(installation)
    _redis(installation)
    installation.sql(_OWNER, "postgres", "postgres")
    installation.env["FOREBAY_REDIS_URL"] = f"redis://:{PASSWORD}@127.0.0.1:{installation.ports['redis']}/0"
    told = make_database(installation, "forebay")
    installation.env["FOREBAY_DATABASE_URL"] = installation.url("forebay")
    installation.key = installation.command("keys", "create", "--name", "operate").split()[-1]
    [(version,)] = installation.sql("SHOW server_version")
    return f"PostgreSQL {version} and Redis on ports, the role owns its database and no more; {told}"


def make_database(installation: Installation, name: str) -> str:
    """A database that the role owns, migrated by it: an administrator runs what `forebay migrate` prints, once."""
    installation.sql(f"CREATE DATABASE {name} OWNER forebay", "postgres", "postgres")
    url = {"FOREBAY_DATABASE_URL": installation.url("forebay", name)}
    argv = [sys.executable, "-m", "cli", "migrate"]
    done = subprocess.run(argv, env=installation.env | url, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode and not done.stdout:
        raise RuntimeError(f"`forebay migrate` says nothing that could be run: {done.stderr[-1000:]}")
    if done.stdout:
        installation.sql(done.stdout, "postgres", name)
    said = installation.command("migrate", **url)
    if said:
        raise RuntimeError(f"`forebay migrate` isn't content yet: {said}")
    return f"an administrator ran the {len(done.stdout.splitlines())} statements that `forebay migrate` printed"


def _postgres(installation: Installation) -> None:
    files, port = installation.folder / "postgres", free_port()
    bin_path, user = cluster.prepare(files)
    (files / "pg_hba.conf").write_text(_HBA)
    installation.ports["postgres"] = port
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": "",
        "max_connections": "200",
    }
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    spec = processes.Spec(
        name="postgres",
        argv=(str(bin_path / "postgres"), "-D", str(files), *options),
        env=embedded.ENV,
        cwd=files,
        stop_signal=signal.SIGINT,
        stop_limit_s=30.0,
        death_signal=signal.SIGINT,
        user=user,
    )
    installation.start(spec, lambda: _is_open(installation))


def _is_open(installation: Installation) -> bool:
    try:
        return bool(installation.sql("SELECT 1", "postgres", "postgres"))
    except psycopg.OperationalError:
        return False


def _redis(installation: Installation) -> None:
    port = installation.ports["redis"] = free_port()
    spec = embedded.redis(installation.folder).spec
    argv = (*spec.argv, "--port", str(port), "--bind", "127.0.0.1", "--requirepass", PASSWORD, "--unixsocket", "")
    client = redis.Redis(port=port, password=PASSWORD)

    def is_open() -> bool:
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False

    installation.start(replace(spec, argv=argv), is_open)
    client.close()
