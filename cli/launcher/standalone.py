"""The PostgreSQL of a data folder for a command that needs it: the one that runs there, or one for the time of that."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click

from cli.launcher import cluster, datafolder, embedded, leftovers, processes, up
from cli.launcher.datafolder import DataFolder


@contextmanager
def reached(root: Path) -> Iterator[str]:
    """The URL of the folder's PostgreSQL, which runs for as long as the block does, whether `up` runs there or not.

    Raises `ClickException` when it can't be started.
    """
    with ExitStack() as held:
        try:
            folder = held.enter_context(datafolder.claim(root))
        except datafolder.InUse:
            url = embedded.postgres_url(root.resolve())
        else:
            url = held.enter_context(started(folder))
        yield url


@contextmanager
def started(folder: DataFolder) -> Iterator[str]:
    """Starts the PostgreSQL of a folder that the caller has claimed, and stops it at the block's end.

    It is made when there is none. Raises `ClickException` when it doesn't start, or another PostgreSQL has made it.
    """
    leftovers.end(folder.record)
    try:
        server = embedded.postgres(folder.root)
    except cluster.MadeByAnother as error:
        raise click.ClickException(str(error)) from error
    supervisor = processes.Supervisor(folder.logs, folder.record, up.say)
    supervisor.start(server.spec)
    try:
        while not server.answers(supervisor.pid(embedded.POSTGRES)):
            if supervisor.deaths(embedded.POSTGRES) >= up.GIVE_UP_AFTER:
                raise click.ClickException(up.hopeless(embedded.POSTGRES, supervisor.log(embedded.POSTGRES)))
            time.sleep(processes.POLL_S)
            supervisor.tend()
        yield server.url
    finally:
        supervisor.stop(embedded.POSTGRES)
