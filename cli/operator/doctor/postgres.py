"""PostgreSQL: whether it is there, new enough, open to what we do, and has room."""

import time
from collections.abc import Iterator

from sqlalchemy.exc import SQLAlchemyError

from cli.operator.doctor.finding import Finding, Installation, ok, warning, wrong
from db import diagnosis, prerequisites
from tasks.operating import connections, revisions
from tasks.queues import capacity

_PART = "PostgreSQL"
_OLDEST, _OLDEST_VECTOR = 160000, (0, 8)
_APART_S = 2.0
_OPEN_S = 300.0


def reachable(installation: Installation) -> Iterator[Finding]:
    """It answers, and is 16 or later with pgvector 0.8 or later."""
    try:
        with installation.sessions.begin() as session:
            number, version = diagnosis.version(session)
            vector = diagnosis.extension(session, "vector")
    except SQLAlchemyError as error:
        said = str(getattr(error, "orig", error)).strip().splitlines()[0]
        yield wrong(_PART, f"it can't be asked: {said}", "start it, or mend FOREBAY_DATABASE_URL")
        return
    if number < _OLDEST:
        yield wrong(_PART, f"its version is {version}", "it must be 16 or later")
    elif vector is None:
        yield wrong(_PART, f"{version} without pgvector", "run `forebay migrate`, which says what is missing")
    elif tuple(int(part) for part in vector.split(".")[:2]) < _OLDEST_VECTOR:
        yield wrong(_PART, f"pgvector is {vector}", "install 0.8 or later, then ALTER EXTENSION vector UPDATE")
    else:
        yield ok(_PART, f"{version} with pgvector {vector}")


def tables(installation: Installation) -> Iterator[Finding]:
    """They are those that this version works with."""
    if trouble := revisions.trouble(installation.sessions):
        yield wrong("tables", trouble, "see docs/operating.md on upgrades")
    else:
        yield ok("tables", "they are of this version")


def roles(installation: Installation) -> Iterator[Finding]:
    """The role that documents are kept apart by may be taken, and the walls stand."""
    with installation.sessions.begin() as session:
        closed = [role for role in diagnosis.ROLES if not diagnosis.may_become(session, role)]
        open_ = diagnosis.unwalled(session)
    for role in closed:
        yield wrong("roles", f"{role} can't be taken", "`forebay migrate` says what an administrator has to run")
    if open_:
        walls = (f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY" for table in open_)
        yield wrong("roles", f"nothing keeps tenants apart in {', '.join(open_)}", f"as the owner: {'; '.join(walls)}")
    if not closed and not open_:
        yield ok("roles", "documents are kept apart by row-level security")


def backups(installation: Installation) -> Iterator[Finding]:
    """The role is there that dumps are made as, and sees all that they must have."""
    with installation.sessions.begin() as session:
        missing = prerequisites.missing(session.connection(), prerequisites.TO_DUMP)
    if missing:
        advice = f"an administrator runs: {'; '.join(missing)}"
        yield warning("backups", f"no dump can be made as {prerequisites.BACKUP_ROLE}", advice)
    else:
        yield ok("backups", f"dumps can be made as {prerequisites.BACKUP_ROLE}")


def room_for_connections(installation: Installation) -> Iterator[Finding]:
    """There are connections for all processes that are there."""
    if installation.settings.pooled_by_transaction:
        yield ok("connections", "a pool shares them out by the transaction: what it may open is in its own settings")
        return
    with installation.sessions.begin() as session:
        room = connections.look(session)
    if room.fits:
        yield ok("connections", room.sentence)
    else:
        yield warning("connections", room.sentence, "see docs/operating.md on connections")


def writes(installation: Installation) -> Iterator[Finding]:
    """It can write, and how large it is."""
    with installation.sessions.begin() as session:
        size_mb = diagnosis.size_bytes(session) / 1e6
        try:
            takes = capacity.write(session)
        except SQLAlchemyError as error:
            yield wrong(_PART, f"a write fails: {getattr(error, 'orig', error)}", "make room on its disk")
            return
    if takes:
        yield ok(_PART, f"it writes; the database takes {size_mb:,.0f} MB")
    else:
        advice = "have FOREBAY_DATABASE_URL name the server that does; or reset default_transaction_read_only"
        yield wrong(_PART, "it takes no writes: it is a standby, or is set to read only", advice)


def clock(installation: Installation) -> Iterator[Finding]:
    """Its clock, which decides, and this machine's agree."""
    with installation.sessions.begin() as session:
        before_s = time.time()
        theirs_s = diagnosis.clock_s(session)
        apart_s = theirs_s - (before_s + time.time()) / 2
    seen = f"PostgreSQL's is {abs(apart_s):.1f} s {'ahead of' if apart_s > 0 else 'behind'} this machine's"
    if abs(apart_s) > _APART_S:
        yield warning("clock", seen, "have both follow a time server: log lines and jobs' times don't match")
    else:
        yield ok("clock", seen)


def transactions(installation: Installation) -> Iterator[Finding]:
    """None stays open: it would hold back the sums of usage and keep dead rows."""
    with installation.sessions.begin() as session:
        oldest_s, unseen = diagnosis.transactions(session)
    if oldest_s > _OPEN_S:
        seen = f"one has been open for {oldest_s / 60:.0f} minutes"
        yield warning("transactions", seen, "find it in pg_stat_activity by xact_start, and end it")
    elif unseen:
        others = f"{unseen} connections of other users are seen by who has pg_read_all_stats alone"
        yield ok("transactions", f"none of ours stays open; {others}")
    else:
        yield ok("transactions", "none stays open")
