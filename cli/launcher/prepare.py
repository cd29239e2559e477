"""What must be true of the database before anything else starts, as a process of its own.

`python -m cli.launcher.prepare SECRETS` migrates and sees to it that the local key works. A process, so that
the launcher holds no ORM in its memory and a signal ends it at once. What starting it again wouldn't mend it says, and
ends with the status `processes.REFUSED`.
"""

import sys
from dataclasses import replace
from pathlib import Path

from sqlalchemy.orm import Session

from cli.launcher import credentials, embedded, processes
from db import migrate
from db import session as db_session
from tasks import errors, keys

NAME = "forebay up"


def prepare(database_url: str, pepper: str, secrets: Path) -> None:
    """Migrates, and writes a new local key to the file unless the one there is good. Idempotent.

    While the tenant of local keys is being erased it gets none, and the file has none.

    A data folder is one version's: tables that a newer one has made in it are refused. Raises `migrate.Refused`.
    """
    migrate.upgrade(database_url, alone=database_url == embedded.postgres_url(secrets.parent))
    known = credentials.read(secrets)
    engine = db_session.open_engine(database_url, pool_size=1)
    try:
        with db_session.open_sessions(engine).begin() as session:
            if known.key and keys.check(session, pepper=pepper, key=known.key):
                return
            key = _made(session, pepper)
        credentials.write(secrets, replace(known, key=key))
    finally:
        engine.dispose()


def _made(session: Session, pepper: str) -> str | None:
    try:
        return keys.create(session, pepper=pepper, tenant=credentials.TENANT, name=NAME).key
    except errors.Conflict:
        return None


if __name__ == "__main__":
    import os

    # What migrates wants a connection of its own.
    url = os.environ.get("FOREBAY_DATABASE_DIRECT_URL") or os.environ["FOREBAY_DATABASE_URL"]
    try:
        prepare(url, os.environ["FOREBAY_KEY_PEPPER"], Path(sys.argv[1]))
    except migrate.Refused as refused:
        sys.stderr.write(f"{refused}\n")
        sys.exit(processes.REFUSED)
