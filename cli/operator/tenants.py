"""`forebay tenants`: the end of one."""

import sys
import time
import uuid
from collections import Counter

import click
import redis

from cli.client import columns
from cli.launcher import credentials
from cli.operator import database
from tasks import errors, settings
from tasks.files.stores import Stores
from tasks.jobs import erasing
from tasks.settings import FileSettings

_PAUSE_S = 0.2
_SAY_EVERY_S = 3.0
_KNOWN_S = 3.0  # so long at most a process of the API goes on knowing a key


@click.group()
def tenants() -> None:
    """See to tenants, which come with their first key: forebay keys create --tenant NAME."""


@tenants.command()
@click.argument("name", metavar="NAME")
@click.option("--yes", is_flag=True, help="Ask nothing.")
@click.option("--redis-url", envvar="FOREBAY_REDIS_URL", help="Where the jobs' streams are; else the data folder's.")
@click.option("--ttl-s", envvar="FOREBAY_STREAM_TTL_S", default=settings.STREAM_TTL_S, hidden=True)
@database.option
def erase(database_url: str, redis_url: str, name: str, yes: bool, ttl_s: int) -> None:
    """Erase all that the tenant NAME has, for good; what it used stays in the ledger.

    Its keys are refused within seconds, what runs is cancelled, and no webhook is sent any more. Then jobs, documents,
    collections, webhooks and keys are erased. Where it is cut off the workers' sweep goes on with it within a minute;
    or run it again.
    """
    if not yes:
        _make_sure(name)
    client = database.redis_client(redis_url)
    with database.reached(database_url) as sessions:
        try:
            tenant_id = erasing.suspend(sessions, name)
        except errors.NotFound as error:
            raise click.ClickException(str(error)) from error
        click.echo(f"{name} is suspended", err=True)
        try:
            erased = _erased(Stores(_files(), sessions), client, tenant_id, ttl_s)
        except errors.Unavailable as error:
            raise click.ClickException(f"{error}; run it again, it goes on") from error
        left_as = erasing.close(sessions, tenant_id)
    click.echo(columns.aligned([("erased", ""), *((what, str(count)) for what, count in sorted(erased.items()))]))
    click.echo(f"what it used stays in the ledger, as {left_as!r}")
    if name == credentials.TENANT:
        click.echo("the key of `forebay up` went with it: started again, it makes a new one")


def _erased(stores: Stores, client: redis.Redis, tenant_id: uuid.UUID, ttl_s: int) -> Counter[str]:
    """What was erased, and how many of each, once nothing is left and nothing more comes."""
    known_until = time.monotonic() + _KNOWN_S
    erased: Counter[str] = Counter()
    say = _NowAndThen()
    while True:
        late, before = time.monotonic() > known_until, erased.total()
        for what, count in erasing.erase(stores, client, tenant_id, ttl_s):
            erased[what] += count
            say("so far: " + ", ".join(f"{count} {what}" for what, count in sorted(erased.items())))
        if erased.total() == before:
            if left := erasing.left(stores.transactions, tenant_id):
                say(
                    f"others hold rows of {', '.join(left)}: transactions (see pg_stat_activity), or files on their way"
                )
            elif late:
                return erased
        time.sleep(_PAUSE_S)


class _NowAndThen:
    """Says every few seconds how it goes."""

    def __init__(self) -> None:
        self._said_at = time.monotonic()

    def __call__(self, sentence: str) -> None:
        if time.monotonic() > self._said_at + _SAY_EVERY_S:
            click.echo(sentence, err=True)
            self._said_at = time.monotonic()


def _make_sure(name: str) -> None:
    """Raises `UsageError` where nobody can be asked, and `Abort` where somebody says no."""
    if not sys.stdin.isatty():
        raise click.UsageError("this erases for good: give --yes")
    if click.prompt(f"Everything that {name} has is erased, for good. Its name again, to be sure") != name:
        raise click.Abort


def _files() -> FileSettings:
    """Where files are kept, by the environment. Raises `ClickException`."""
    env = settings.environment()
    found = settings.read_files(env)
    try:
        settings.seal(env)
    except errors.SettingsError as error:
        raise click.ClickException(str(error)) from error
    return found
