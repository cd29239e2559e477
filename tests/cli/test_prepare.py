"""What `forebay up` makes true of the database before anything else starts."""

import threading
from pathlib import Path

from cli.launcher import credentials, datafolder, up
from cli.launcher.prepare import prepare
from db.session import Sessions
from tasks import keys
from tasks.jobs import erasing
from tests.tables import PEPPER


def test_while_its_tenant_is_being_erased_up_starts_without_a_key(
    sessions: Sessions, postgres_url: str, tmp_path: Path
) -> None:
    """It says so, for only while it runs can the erasing go on; after that it makes a key."""
    folder = datafolder.DataFolder(tmp_path)
    credentials.open_or_make(folder.secrets)
    launch = up.Launch(folder, 1, 0, [], {}, threading.Event())
    prepare(postgres_url, PEPPER, folder.secrets)
    old = credentials.read(folder.secrets).key
    assert (f"key={old}" in launch.ready_line(), launch.keyless()) == (True, None)
    tenant_id = erasing.suspend(sessions, credentials.TENANT)
    prepare(postgres_url, PEPPER, folder.secrets)
    assert "key=none" in launch.ready_line()
    assert "default is being erased" in str(launch.keyless())
    erasing.close(sessions, tenant_id)
    prepare(postgres_url, PEPPER, folder.secrets)
    new = credentials.read(folder.secrets).key
    with sessions() as session:
        assert new not in (old, None)
        assert keys.check(session, pepper=PEPPER, key=str(new))
