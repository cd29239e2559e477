"""Jobs with streams while every process of ours is restarted, one after the other, as at a deployment."""

from tests.operate.clients import Crowd
from tests.operate.installation import CHAT, ECHO, MACHINES, Installation
from tests.operate.machines import NGINX

_JOBS, _CLIENTS = 300, 16
_JOBS_SHORT, _CLIENTS_SHORT = 24, 6
_SHOWN = 5


def roll(installation: Installation) -> str:
    """Restarts API after API, worker after worker, while clients read; nothing may be lost and nobody may notice.

    In short those of one machine alone, whose work the other has meanwhile.
    """
    enough, clients = (_JOBS_SHORT, _CLIENTS_SHORT) if installation.short else (_JOBS, _CLIENTS)
    behind = NGINX in installation.supervisor.names()
    addresses = [installation.address] if behind else installation.addresses
    models = [ECHO] if installation.short else [ECHO, ECHO, CHAT]
    crowd = Crowd(addresses, installation.key, models, clients, enough)
    crowd.begin()
    machines = MACHINES[:1] if installation.short else MACHINES
    rolled = [name for name in installation.supervisor.names() if name.endswith(tuple(f"-{it}" for it in machines))]
    try:
        for name in rolled:
            installation.restart(name)
    finally:
        crowd.stop()
    _count(installation, crowd)
    if crowd.mistakes:
        raise AssertionError(f"{len(crowd.mistakes)} mistakes: " + "; ".join(crowd.mistakes[:_SHOWN]))
    return (
        f"{len(crowd.told)} jobs and their streams under the restart of {len(rolled)} processes: nothing lost, "
        f"{crowd.resumed()} streams resumed, "
        + ("no client saw an error" if behind else f"{crowd.turned_away} times a client went to the other API")
    )


def _count(installation: Installation, crowd: Crowd) -> None:
    """PostgreSQL's own account: every job that a client was told of has ended, and is in the ledger once."""
    ids = ", ".join(f"'{told.job_id.removeprefix('job_')}'" for told in crowd.told)
    [(ended, charged)] = installation.sql(
        f"SELECT (SELECT count(*) FROM jobs WHERE status = 'succeeded' AND id IN ({ids})),"
        f" (SELECT count(*) FROM ledger WHERE job_id IN ({ids}))"
    )
    if (ended, charged) != (len(crowd.told), len(crowd.told)):
        crowd.mistakes.append(f"of {len(crowd.told)} jobs {ended} have succeeded, {charged} are in the ledger")
