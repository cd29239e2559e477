"""The second wall: PostgreSQL itself shows and takes one tenant's rows, whatever the statement says."""

import uuid
from collections.abc import Iterator
from contextlib import nullcontext

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.orm import Session

from db import erasing, migrate, scope
from db import session as db_session
from db.documents import index
from db.session import Sessions
from tasks import keys
from tests import shelves, tables

INSERT = text("INSERT INTO collections (id, tenant_id, name, model) VALUES (:id, :tenant, 'x', 'm')")
TABLES = ("collections", "documents", "document_texts", "chunks")


@pytest.fixture
def owned_url(postgres_url: str) -> Iterator[str]:
    """A database of our tables whose owner, the application, is no superuser."""
    url = make_url(postgres_url)
    with _as_superuser(postgres_url) as statement:
        statement("CREATE ROLE keeper LOGIN")
        statement(f"GRANT {scope.ROLE} TO keeper")
        statement(f"GRANT {index.ROLE} TO keeper WITH INHERIT FALSE")
        statement("CREATE DATABASE kept OWNER keeper")
    with _as_superuser(url.set(database="kept").render_as_string(False)) as statement:
        statement("CREATE EXTENSION vector")
    try:
        yield url.set(username="keeper", database="kept").render_as_string(False)
    finally:
        with _as_superuser(postgres_url) as statement:
            statement("DROP DATABASE kept WITH (FORCE)")
            statement("DROP ROLE keeper")


@pytest.fixture
def owned(owned_url: str) -> Iterator[Sessions]:
    migrate.upgrade(owned_url)
    engine = db_session.open_engine(owned_url, pool_size=1)
    yield db_session.open_sessions(engine)
    engine.dispose()


class _as_superuser:
    """Statements outside any transaction."""

    def __init__(self, url: str) -> None:
        self._engine = db_session.open_engine(url, pool_size=1).execution_options(isolation_level="AUTOCOMMIT")

    def __enter__(self) -> "_as_superuser":
        return self

    def __call__(self, statement: str) -> None:
        with self._engine.connect() as connection:
            connection.execute(text(statement))

    def __exit__(self, *_: object) -> None:
        self._engine.dispose()


def two_tenants(sessions: Sessions) -> tuple[uuid.UUID, uuid.UUID]:
    """Two tenants with a collection, a document, a text and a chunk each."""
    both = tables.tenant(sessions, "ours").tenant_id, tables.tenant(sessions, "theirs").tenant_id
    for tenant_id in both:
        with sessions.begin() as session:
            home = shelves.collection(session, tenant_id)
            document_id = shelves.document(session, tenant_id, home)
            shelves.fill(session, tenant_id, home, document_id, ["one"], shelves.units(1))
    return both


def counts(session: Session) -> list[int]:
    """How many rows each table shows, asked without any condition."""
    return [session.scalar(text(f"SELECT count(*) FROM {table}")) or 0 for table in TABLES]


def test_owner_without_a_scope_sees_and_writes_nothing(owned: Sessions) -> None:
    """Row-level security is forced on the tables' owner too."""
    ours, _ = two_tenants(owned)
    with owned.begin() as session:
        assert counts(session) == [0, 0, 0, 0]
        assert session.execute(text("DELETE FROM documents RETURNING id")).all() == []
    with pytest.raises(ProgrammingError, match="row-level security"), owned.begin() as session:
        session.execute(INSERT, {"id": uuid.uuid4(), "tenant": ours})


@pytest.mark.parametrize("who", ["sessions", "owned"])
def test_scope_shows_the_tenants_own_rows_only(who: str, request: pytest.FixtureRequest) -> None:
    """Also to a superuser, who could see all, and to SQL that forgets the tenant."""
    sessions: Sessions = request.getfixturevalue(who)
    ours, theirs = two_tenants(sessions)
    with sessions.begin() as session, scope.scope(session, ours):
        assert counts(session) == [1, 1, 1, 1]
        seen = session.scalars(text("SELECT tenant_id FROM chunks UNION SELECT tenant_id FROM documents")).all()
        assert seen == [ours]
        assert session.execute(text("SELECT * FROM chunks WHERE tenant_id = :theirs"), {"theirs": theirs}).all() == []


@pytest.mark.parametrize("how", ["commit", "rollback", "error", "broken"])
def test_nothing_sticks_to_the_connection(owned: Sessions, how: str) -> None:
    """Whoever gets the pooled connection next sees nothing of the tenant, however the transaction ended."""
    ours, _ = two_tenants(owned)
    session = owned()
    try:
        with scope.scope(session, ours):
            assert counts(session) == [1, 1, 1, 1]
            if how == "error":
                raise ValueError
            if how == "broken":
                session.execute(text("SELECT 1 / 0"))
            if how == "rollback":
                session.rollback()
                raise ValueError
        session.commit()
    except (ValueError, DBAPIError):
        session.rollback()
    session.close()
    with owned.begin() as next_one:
        assert next_one.scalar(text("SELECT current_user")) == "keeper"
        assert next_one.scalar(text("SELECT current_setting('app.tenant', true)")) in (None, "")
        assert counts(next_one) == [0, 0, 0, 0]


def test_after_the_scope_other_tables_are_within_reach_again(sessions: Sessions) -> None:
    """Within it they aren't, and an error of ours that ends it is no reason to stay inside."""
    ours, _ = two_tenants(sessions)
    with sessions.begin() as session:
        with scope.scope(session, ours):
            pass
        assert session.scalar(text("SELECT count(*) FROM keys"))
        with pytest.raises(ValueError), scope.scope(session, ours):  # noqa: PT011 - ours, from two lines below
            raise ValueError
        assert session.scalar(text("SELECT count(*) FROM keys"))
    with (
        pytest.raises(ProgrammingError, match="permission denied"),
        sessions.begin() as session,
        scope.scope(session, ours),
    ):
        session.scalar(text("SELECT count(*) FROM keys"))


def test_rows_that_wait_to_be_written_are_written_before_the_scope(sessions: Sessions) -> None:
    """The scope's role may not write them."""
    ours, _ = two_tenants(sessions)
    with sessions.begin() as session:
        keys.create(session, pepper="x", tenant="third", name="test")
        session.add(keys.keys.Key(id="waits", tenant_id=ours, name="x", secret_hash=b""))
        with scope.scope(session, ours):
            assert counts(session)[0] == 1


def test_writing_for_another_tenant_is_refused(sessions: Sessions) -> None:
    """Inserts and updates that would put a row elsewhere fail; updates and deletes don't find foreign rows."""
    ours, theirs = two_tenants(sessions)
    foreign = {"id": uuid.uuid4(), "tenant": theirs}
    for statement in (INSERT, text("UPDATE collections SET tenant_id = :tenant")):
        refused = pytest.raises(ProgrammingError, match="row-level security")
        with refused, sessions.begin() as session, scope.scope(session, ours):
            session.execute(statement, foreign)
    with sessions.begin() as session:
        with scope.scope(session, ours):
            session.execute(text("DELETE FROM collections"))
        with scope.scope(session, theirs):
            assert counts(session) == [1, 1, 1, 1]
        with scope.scope(session, ours):
            assert counts(session) == [0, 0, 0, 0]


@pytest.mark.parametrize("who", ["sessions", "owned"])
def test_tenant_that_leaves_takes_its_own_documents_only(who: str, request: pytest.FixtureRequest) -> None:
    """Also where the application is no superuser, and is held by the wall itself."""
    sessions: Sessions = request.getfixturevalue(who)
    ours, theirs = two_tenants(sessions)
    for own in erasing.TABLES:
        while True:
            with sessions.begin() as session, scope.scope(session, ours) if own.walled else nullcontext():
                if not erasing.remove_some(session, ours, own):
                    break
    for tenant_id, left in ((ours, [0, 0, 0, 0]), (theirs, [1, 1, 1, 1])):
        with sessions.begin() as session, scope.scope(session, tenant_id):
            assert counts(session) == left


def test_no_row_can_hang_on_another_tenants(sessions: Sessions) -> None:
    """References carry the tenant: a foreign collection is refused just as one that doesn't exist."""
    ours, theirs = two_tenants(sessions)
    with sessions.begin() as session, scope.scope(session, theirs):
        foreign = session.scalars(text("SELECT id FROM collections")).one()
    for home in (foreign, uuid.uuid4()):
        with pytest.raises(IntegrityError, match="documents_collection_id_tenant_id_fkey"), sessions.begin() as session:
            shelves.document(session, ours, home)


def test_migration_wants_to_see_all_tenants_only_when_it_takes_the_role(owned_url: str, postgres_url: str) -> None:
    """A plain grant would let the owner see over the wall at any time."""
    with _as_superuser(postgres_url) as statement:
        statement(f"GRANT {index.ROLE} TO keeper WITH INHERIT TRUE")
    with pytest.raises(migrate.RightsMissing) as refused:
        migrate.upgrade(owned_url)
    assert refused.value.statements == (f"GRANT {index.ROLE} TO keeper WITH INHERIT FALSE",)


@pytest.mark.parametrize("role", [scope.ROLE, index.ROLE])
def test_migration_without_the_right_to_a_role_says_what_to_run(owned_url: str, postgres_url: str, role: str) -> None:
    """Roles are an administrator's affair where the application is no superuser."""
    with _as_superuser(postgres_url) as statement:
        statement(f"REVOKE {role} FROM keeper")
    with pytest.raises(migrate.RightsMissing) as refused:
        migrate.upgrade(owned_url)
    [statement] = refused.value.statements
    assert statement.startswith(f"GRANT {role} TO keeper")


def test_role_that_sees_all_tenants_sees_where_their_chunks_are_only(owned: Sessions) -> None:
    """It reads which words a chunk has, to find it, and neither its text nor its vector nor its document's contents."""
    caller = two_tenants(owned)[0]
    with owned.begin() as session:
        session.execute(text(f"SET LOCAL ROLE {index.ROLE}"))
        assert session.scalar(text("SELECT count(terms) FROM chunks")) == 2
        assert session.scalar(text("SELECT count(DISTINCT tenant_id) FROM documents")) == 2
    for what in ("text FROM chunks", "embedding FROM chunks", "title FROM documents", "text FROM document_texts"):
        refused = pytest.raises(ProgrammingError, match="permission denied")
        with refused, owned.begin() as session:
            session.execute(text(f"SET LOCAL ROLE {index.ROLE}; SELECT {what}"))
    with owned.begin() as session, scope.scope(session, caller):
        assert session.scalar(text("SELECT count(*) FROM chunks")) == 1


def test_scope_that_is_entered_lasts_until_the_transaction_ends(owned: Sessions) -> None:
    """And no longer: the pool has one connection here."""
    ours, _ = two_tenants(owned)
    with owned.begin() as session:
        scope.enter_scope(session, ours)
        assert counts(session) == [1, 1, 1, 1]
        assert session.scalar(text("SELECT current_user")) == scope.ROLE
    with owned.begin() as session:
        assert counts(session) == [0, 0, 0, 0]
        assert session.scalar(text("SELECT current_user")) == "keeper"
