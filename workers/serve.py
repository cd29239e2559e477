"""Starts a worker: `python -m workers.serve -Q <model>.interactive,<model>.batch --concurrency 4 -n <model>@%h`.

Celery's own command line starts the same worker, `celery -A workers.app worker --pool threads …`, but loads every
command there is: Flower, a shell and all they need stay in memory beside each model, 13 MB.
"""

import logging
import sys

import click
from celery.utils.nodenames import default_nodename, host_format

from workers.app import app

_HEARTBEAT_S = 10


@click.command()
@click.option("-Q", "--queues", required=True, help="The two lanes of one model.")
@click.option("-c", "--concurrency", type=click.IntRange(1), required=True, help="The model's slots.")
@click.option("-n", "--hostname", required=True, help="Among workers; %h is the machine's name.")
def main(queues: str, concurrency: int, hostname: str) -> None:
    """Runs until SIGTERM; then the status is 0."""
    worker = app.Worker(
        queues=queues,
        concurrency=concurrency,
        hostname=host_format(default_nodename(hostname)),
        pool_cls="threads",
        loglevel=logging.INFO,
        heartbeat_interval=_HEARTBEAT_S,
        # What workers tell each other at a start takes a second, and we keep nothing of it: the database knows.
        without_mingle=True,
        without_gossip=True,
    )
    worker.start()
    sys.exit(worker.exitcode)


if __name__ == "__main__":
    main()
