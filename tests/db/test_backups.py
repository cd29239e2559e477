"""Dumps have every row of every tenant, and the role that makes them is made, or asked for."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url, text

from db import migrate, scope
from db.documents import index
from db.prerequisites import BACKUP_ROLE
from tests.support import databases, dumps
from tests.support.platform import forgetful_postgres, running

OWNER, NIGHTLY = "keeper_of_backups", "nightly"


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Another server, with the owner but without tables; as its administrator."""
    with running(tmp_path_factory.mktemp("elsewhere"), forgetful_postgres) as url:
        administer(
            url,
            f"CREATE ROLE {OWNER} LOGIN",
            f"CREATE ROLE {scope.ROLE} NOLOGIN",
            f"CREATE ROLE {index.ROLE} NOLOGIN",
            f"GRANT {scope.ROLE} TO {OWNER}",
            f"GRANT {index.ROLE} TO {OWNER} WITH INHERIT FALSE",
        )
        yield url


@pytest.fixture
def owned(elsewhere: str) -> Iterator[str]:
    """A database of that server as its owner sees it, who is no superuser."""
    administer(elsewhere, f"CREATE DATABASE owned OWNER {OWNER}")
    administer(of(elsewhere, database="owned"), "CREATE EXTENSION vector")
    yield of(elsewhere, database="owned", username=OWNER)
    administer(elsewhere, "DROP DATABASE owned WITH (FORCE)", f"ALTER ROLE {OWNER} NOCREATEROLE NOBYPASSRLS")
    administer(elsewhere, f"DROP ROLE IF EXISTS {BACKUP_ROLE}")


def of(url: str, **changes: str) -> str:
    return make_url(url).set(**changes).render_as_string(False)  # type: ignore[arg-type]


def administer(url: str, *statements: str) -> None:
    with databases.pool(url) as engine:
        connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        with connection:
            for statement in statements:
                connection.execute(text(statement))


def test_migration_without_the_right_to_the_role_says_what_to_run(owned: str, elsewhere: str) -> None:
    """And goes on; once that was run it says nothing."""
    statements = migrate.upgrade(owned)
    assert statements == [f"CREATE ROLE {BACKUP_ROLE} NOLOGIN BYPASSRLS", f"GRANT pg_read_all_data TO {BACKUP_ROLE}"]
    administer(elsewhere, *statements)
    assert migrate.upgrade(owned) == []


def test_migration_makes_as_much_of_the_role_as_it_may(owned: str, elsewhere: str) -> None:
    """Who may make roles that see over walls still can't give away what is the server's."""
    administer(elsewhere, f"ALTER ROLE {OWNER} CREATEROLE BYPASSRLS")
    assert migrate.upgrade(owned) == [f"GRANT pg_read_all_data TO {BACKUP_ROLE}"]
    administer(elsewhere, f"GRANT pg_read_all_data TO {OWNER} WITH ADMIN OPTION")
    assert migrate.upgrade(owned) == []
    administer(elsewhere, f"REVOKE pg_read_all_data FROM {OWNER} CASCADE")


def test_migration_by_a_superuser_makes_the_role(postgres_url: str) -> None:
    """Nobody has to run anything."""
    assert migrate.upgrade(postgres_url) == []


@pytest.mark.parametrize("restored_by", ["administrator", "owner"])
def test_dump_as_the_role_has_every_row_of_every_table(
    owned: str, elsewhere: str, postgres_url: str, tmp_path: Path, restored_by: str
) -> None:
    """Made by a login user that is its member and nothing else, restored as docs/operating.md says."""
    dump = tmp_path / "dump"
    administer(elsewhere, *migrate.upgrade(owned))
    administer(elsewhere, f"CREATE ROLE {NIGHTLY} LOGIN", f"GRANT {BACKUP_ROLE} TO {NIGHTLY}")
    dumps.fill(owned)
    dumps.dump(of(owned, username=NIGHTLY), dump, f"--role={BACKUP_ROLE}")
    administer(elsewhere, f"DROP ROLE {NIGHTLY}")
    administer(elsewhere, f"CREATE DATABASE again OWNER {OWNER}")
    administer(of(elsewhere, database="again"), "CREATE EXTENSION vector")
    restored = of(elsewhere, database="again")
    try:
        if restored_by == "owner":
            administer(of(owned, database="again"), f"GRANT CREATE ON SCHEMA public TO {index.ROLE}")
            dumps.restore(of(owned, database="again"), dump, "--no-comments")
            administer(of(owned, database="again"), f"REVOKE CREATE ON SCHEMA public FROM {index.ROLE}")
        else:
            dumps.restore(restored, dump)
        found = dumps.rows(restored)
        assert [name for name in dumps.FILLED if not found[name]] == []
        assert found == dumps.rows(of(elsewhere, database="owned"))
        assert dumps.definitions(restored) == dumps.definitions(of(elsewhere, database="owned"))
        assert migrate.upgrade(of(owned, database="again")) == []
    finally:
        administer(elsewhere, "DROP DATABASE again WITH (FORCE)")


def test_dump_by_the_owner_alone_fails_and_never_leaves_documents_out(owned: str, tmp_path: Path) -> None:
    """What the role is for."""
    migrate.upgrade(owned)
    dumps.fill(owned)
    with pytest.raises(AssertionError, match="row-level security"):
        dumps.dump(owned, tmp_path / "dump")
