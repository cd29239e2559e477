"""A PgBouncer before the tests' PostgreSQL, gone with the block; where it isn't installed the test is skipped."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import make_url

from tests.support import waiting
from tests.support.platform import free_port

_BINARY = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")


@contextmanager
def bouncer(postgres_url: str, folder: Path, mode: str, connections: int) -> Iterator[str]:
    """The URL of the database through a PgBouncer that has so many connections to it, in this `pool_mode`."""
    if _BINARY is None:
        pytest.skip("there is no pgbouncer here: apt-get install pgbouncer")
    url, port, file = make_url(postgres_url), free_port(), folder / f"pgbouncer-{mode}.ini"
    file.write_text(
        f"""
[databases]
{url.database} = host={url.query["host"]} user={url.username}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = {connections}
max_client_conn = 500
"""
    )
    # Not as root, which it refuses, but as who may open PostgreSQL's socket.
    user = Path(str(url.query["host"])).owner() if os.getuid() == 0 else None
    with (
        file.open() as config,
        subprocess.Popen([_BINARY, "-q", "/dev/stdin"], stdin=config, user=user, stderr=subprocess.DEVNULL) as process,
    ):
        through = f"postgresql://{url.username}@127.0.0.1:{port}/{url.database}"
        try:
            waiting.until(lambda: _answers(through))
            yield through
        finally:
            process.terminate()


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=1, prepare_threshold=None).close()
    except psycopg.OperationalError:
        return False
    return True
