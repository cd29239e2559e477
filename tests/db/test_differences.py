"""Tables that were changed by something else than migrations."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, text

from db import differences, tables, walls
from db import session as db_session


@pytest.fixture
def connection(postgres_url: str) -> Iterator[Connection]:
    """In a transaction that is never committed."""
    engine = db_session.open_engine(postgres_url, pool_size=1, statement_timeout_s=60)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def found(connection: Connection, *statements: str) -> list[str]:
    for statement in statements:
        connection.execute(text(statement))
    return differences.find(connection, tables.metadata)


def test_migrated_tables_are_those_of_the_code(connection: Connection) -> None:
    """And what the comparison is made with is gone afterwards."""
    assert found(connection) == []
    connection.rollback()
    assert connection.execute(text("SELECT count(*) FROM pg_class WHERE relname = 'ledger'")).scalar_one() == 1


def test_all_walled_tables_are_known(connection: Connection) -> None:
    """A migration that puts another behind the wall says so here."""
    walled = text("SELECT relname FROM pg_class WHERE relrowsecurity ORDER BY 1")
    assert connection.execute(walled).scalars().all() == list(walls.WALLED)


FIND_WORDS = "find_words(uuid,bigint[],bigint[],sparsevec,integer,uuid[],uuid[])"
CHANGES = {
    "DROP TABLE rounds": ["table rounds is missing"],
    "ALTER TABLE jobs DROP COLUMN label": ["column jobs.label is missing; it should be text"],
    "ALTER TABLE jobs ALTER seed TYPE bigint": [
        "column jobs.seed is bigint NOT NULL; it should be integer NOT NULL",
    ],
    "ALTER TABLE jobs ALTER stage DROP NOT NULL": ["column jobs.stage is text; it should be text NOT NULL"],
    "ALTER TABLE jobs ALTER chances SET DEFAULT 5": [
        "column jobs.chances is smallint NOT NULL DEFAULT 5; it should be smallint NOT NULL DEFAULT 3",
    ],
    "DELETE FROM keys; ALTER TABLE keys ADD COLUMN own text NOT NULL": [
        "column keys.own isn't known to this version, and must be filled in every new row",
    ],
    "DROP INDEX jobs_waiting": [
        "index jobs_waiting of jobs is missing; it should be USING btree (id) WHERE (status = 'waiting'::text)",
    ],
    # Of the same name and columns, over other rows: what Alembic's own comparison doesn't see.
    "DROP INDEX jobs_stored; CREATE INDEX jobs_stored ON jobs (tenant_id, id) WHERE store IS FALSE": [
        "index jobs_stored of jobs is missing; it should be USING btree (tenant_id, id) WHERE store",
    ],
    "ALTER TABLE jobs DROP CONSTRAINT jobs_lane": [
        "constraint jobs_lane of jobs is missing; it should be"
        " CHECK ((lane = ANY (ARRAY['interactive'::text, 'batch'::text])))",
    ],
    "ALTER TABLE documents DISABLE ROW LEVEL SECURITY": [
        "table documents has lost its row-level security: enabled, forced, and the policy own_rows",
    ],
    "DROP POLICY own_rows ON chunks": [
        "table chunks has lost its row-level security: enabled, forced, and the policy own_rows",
    ],
    "CREATE POLICY mine ON chunks USING (true)": ["table chunks has a policy that isn't ours: mine"],
    # What a restore without owners and privileges leaves.
    "DROP POLICY all_rows ON documents": [
        "table documents has lost the policy all_rows, by which forebay_search finds rows",
    ],
    "REVOKE INSERT, DELETE ON summary_steps FROM forebay_tenant": [
        "role forebay_tenant lacks INSERT, DELETE on summary_steps",
    ],
    "REVOKE SELECT (chunks) ON word_counts FROM forebay_search": [
        "role forebay_search lacks SELECT (chunks) on word_counts",
    ],
    "GRANT SELECT (text) ON chunks TO forebay_search": [
        "role forebay_search may read what it should not see: text of chunks",
    ],
    "ALTER FUNCTION find_words OWNER TO CURRENT_USER": [
        f"function {FIND_WORDS} doesn't run as forebay_search: it should be its owner, with SECURITY DEFINER",
    ],
    "GRANT EXECUTE ON FUNCTION find_words TO PUBLIC": [
        f"function {FIND_WORDS} may be called by everybody; only forebay_tenant should",
    ],
    "REVOKE EXECUTE ON FUNCTION word_term FROM PUBLIC": [
        "function word_term(uuid,text) may not be called by forebay_tenant",
    ],
    "ALTER FUNCTION chunk_terms SECURITY DEFINER": [
        "function chunk_terms(uuid,tsvector) runs as its owner; it should run as who calls it",
    ],
    "DROP FUNCTION count_words": ["function count_words(uuid,text[]) is missing"],
    # What breaks nothing is the operator's own affair.
    "CREATE TABLE others (id int); ALTER TABLE jobs ADD COLUMN own int; CREATE INDEX own_index ON jobs (worker_id)": [],
    "DROP INDEX jobs_scheduled; CREATE INDEX own ON jobs (tenant_id, due_at) WHERE status = 'scheduled'": [],
}


def test_changes_by_hand_are_told_by_their_places(connection: Connection) -> None:
    """With what is there and what should be, and nothing else."""
    told = found(connection, *CHANGES)
    assert sorted(told) == sorted(difference for differences in CHANGES.values() for difference in differences)
