"""The words of chunks, in an index that row-level security doesn't forbid"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

# Sees where all tenants' chunks are and which words they have, not what they say. Two functions run as this role, and
# the statements that look after indexes.
ROLE = "forebay_search"
TENANT_ROLE = "forebay_tenant"
_SEEN = {
    "chunks": "document_id, number, tenant_id, collection_id, terms, words",
    "documents": "id, tenant_id, collection_id, status, chunks",
    "collections": "id, tenant_id, dimensions, counted",
    "word_counts": "tenant_id, collection_id, term, chunks",
}
_OURS = "tenant_id = nullif(current_setting('app.tenant', true), '')::uuid"

# BM25 (Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", Foundations and Trends in
# Information Retrieval 3(4), 2009, equation 3.15) with k1 = 1.2 and b = 0.75, but for the word's rarity, which a search
# knows.
_WEIGHT = "repeats * 2.2 / (repeats + 1.2 * (0.25 + 0.75 * length))"

_FUNCTIONS = (
    # A word of one collection as a number: a list of chunks by number is that collection's alone.
    """
    CREATE FUNCTION word_term(collection uuid, lexeme text) RETURNS bigint IMMUTABLE STRICT PARALLEL SAFE
    RETURN hashtextextended(lexeme, uuid_hash_extended(collection, 0))
    """,
    """
    CREATE FUNCTION chunk_terms(collection uuid, lexemes tsvector) RETURNS bigint[] IMMUTABLE STRICT PARALLEL SAFE
    RETURN ARRAY(SELECT word_term(collection, lexeme) FROM unnest(lexemes))
    """,
    # `length` is the chunk's, as a part of what is usual. What a word weighs stands at a place made of its term.
    f"""
    CREATE FUNCTION chunk_words(collection uuid, lexemes tsvector, length float8) RETURNS sparsevec
    IMMUTABLE STRICT PARALLEL SAFE
    RETURN (
        SELECT ('{{' || coalesce(string_agg(place || ':' || round(({_WEIGHT})::numeric, 4), ','), '')
            || '}}/1000000000')::sparsevec
        FROM (
            SELECT 1 + (word_term(collection, lexeme) & 2147483647) % 1000000000 AS place,
                   sum(cardinality(positions)) AS repeats
            FROM unnest(lexemes) GROUP BY 1
        ) AS counted
    )
    """,
)

# They are run as a role that sees all tenants' rows, so that PostgreSQL may use the index; the wall is their text. The
# collection isn't compared by `=`: the index over it would be read too. What is read of words that are everywhere is
# bounded.
_SEEING_FUNCTIONS = {
    "count_words(uuid, text[])": f"""
    CREATE FUNCTION count_words(collection uuid, lexemes text[]) RETURNS TABLE (term bigint, chunks bigint)
    STABLE PARALLEL SAFE SECURITY DEFINER SET plan_cache_mode = force_custom_plan
    BEGIN ATOMIC
        SELECT asked.term, coalesce(
            (SELECT known.chunks FROM word_counts AS known
             WHERE known.collection_id = collection AND known.term = asked.term AND known.{_OURS}),
            (SELECT count(*) FROM (
                SELECT FROM chunks WHERE chunks.terms @> ARRAY[asked.term] AND chunks.{_OURS}
                AND chunks.collection_id IS NOT DISTINCT FROM collection LIMIT 10000) AS found))
        FROM (SELECT word_term(collection, lexeme) AS term FROM unnest(lexemes[1:64]) AS lexeme) AS asked;
    END
    """,
    "find_words(uuid, bigint[], bigint[], sparsevec, integer, uuid[], uuid[])": f"""
    CREATE FUNCTION find_words(collection uuid, any_of bigint[], all_of bigint[], asked sparsevec, depth integer,
                               hidden uuid[], among uuid[])
    RETURNS TABLE (document_id uuid, number integer, points float8)
    STABLE PARALLEL SAFE SECURITY DEFINER ROWS 50 SET plan_cache_mode = force_custom_plan
    BEGIN ATOMIC
        SELECT found.document_id, found.number, -(found.words <#> asked) FROM (
            SELECT chunks.document_id, chunks.number, chunks.words FROM chunks
            WHERE (chunks.terms && any_of OR chunks.terms @> all_of) AND chunks.{_OURS}
            AND chunks.collection_id IS NOT DISTINCT FROM collection
            AND chunks.document_id <> ALL (hidden) AND (among IS NULL OR chunks.document_id = ANY (among))
            LIMIT 20000) AS found
        ORDER BY 3 DESC, 1, 2 LIMIT depth;
    END
    """,
}


def upgrade() -> None:
    _make_role()
    op.add_column("collections", sa.Column("counted", sa.Integer(), nullable=True))
    op.create_table(
        "word_counts",
        sa.Column("collection_id", sa.Uuid(), nullable=False),
        sa.Column("term", sa.BigInteger(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("chunks", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["collection_id", "tenant_id"], ["collections.id", "collections.tenant_id"], ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("collection_id", "term"),
    )
    for statement in _FUNCTIONS:
        op.execute(statement)
    _make_words()
    _raise_the_wall()
    for named, statement in _SEEING_FUNCTIONS.items():
        op.execute(statement)
        _hand_over(named)


def downgrade() -> None:
    # The role stays: other databases of the cluster may use it.
    for named in (*_SEEING_FUNCTIONS,):
        op.execute(f"DROP FUNCTION {named}")
    for table in _SEEN:
        op.execute(f"DROP POLICY all_rows ON {table}")
        op.execute(f"REVOKE ALL ON {table} FROM {ROLE}")
        op.execute(f"REVOKE ALL ({_SEEN[table]}) ON {table} FROM {ROLE}")
    op.drop_table("word_counts")
    op.drop_column("collections", "counted")
    op.drop_column("chunks", "terms")
    op.drop_column("chunks", "words")
    for named in ("chunk_words(uuid, tsvector, float8)", "chunk_terms(uuid, tsvector)", "word_term(uuid, text)"):
        op.execute(f"DROP FUNCTION {named}")
    op.execute(
        "ALTER TABLE chunks ADD words tsvector NOT NULL GENERATED ALWAYS AS (to_tsvector('english', text)) STORED"
    )
    op.execute("ALTER TABLE chunks ALTER words SET STORAGE MAIN")
    op.execute(
        "CREATE INDEX chunks_embedding_384 ON chunks USING hnsw ((embedding::vector(384)) vector_cosine_ops)"
        " WHERE vector_dims(embedding) = 384"
    )


def _make_words() -> None:
    """Generated first, which fills the columns in one rewriting of the table and past row-level security."""
    _drop_shared_indexes()
    # As tasks.documents.wording has it.
    spaced = r"regexp_replace(text, '(?<=\w)-(?=\d)|(?<=\w)/(?=\w)', ' ', 'g')"
    lexemes = f"to_tsvector('english', {spaced})"
    op.execute("ALTER TABLE chunks DROP words")
    op.execute(
        "ALTER TABLE chunks"
        f" ADD terms bigint[] NOT NULL GENERATED ALWAYS AS (chunk_terms(collection_id, {lexemes})) STORED,"
        f" ADD words sparsevec NOT NULL"
        f" GENERATED ALWAYS AS (chunk_words(collection_id, {lexemes}, tokens / 96.0)) STORED"
    )
    op.execute("ALTER TABLE chunks ALTER terms DROP EXPRESSION, ALTER words DROP EXPRESSION")
    op.execute("ALTER TABLE chunks ALTER terms SET STORAGE MAIN, ALTER words SET STORAGE MAIN")
    # Without a list of what is to be entered: each search would have to read it.
    op.execute("CREATE INDEX chunks_terms ON chunks USING gin (terms) WITH (fastupdate = off)")


def _drop_shared_indexes() -> None:
    """Those of vectors were over all tenants' chunks; now a large collection has its own, made by workers."""
    op.execute(
        """
        DO $$
        DECLARE own regclass;
        BEGIN
            FOR own IN SELECT indexrelid FROM pg_index
                WHERE indrelid = 'chunks'::regclass AND indexrelid::regclass::text LIKE 'chunks\\_embedding\\_%'
            LOOP
                EXECUTE format('DROP INDEX %s', own);
            END LOOP;
        END $$
        """
    )


def _raise_the_wall() -> None:
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON word_counts TO {TENANT_ROLE}")
    op.execute("ALTER TABLE word_counts ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE word_counts FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY own_rows ON word_counts USING ({_OURS}) WITH CHECK ({_OURS})")
    for table, columns in _SEEN.items():
        op.execute(f"GRANT SELECT ({columns}) ON {table} TO {ROLE}")
        op.execute(f"CREATE POLICY all_rows ON {table} FOR SELECT TO {ROLE} USING (true)")


def _hand_over(named: str) -> None:
    """Makes the function the role's, which may make things in this schema only for as long as that takes."""
    schema = op.get_bind().execute(sa.text("SELECT quote_ident(current_schema())")).scalar_one()
    op.execute(f"REVOKE ALL ON FUNCTION {named} FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION {named} TO {TENANT_ROLE}")
    op.execute(f"GRANT CREATE ON SCHEMA {schema} TO {ROLE}")
    op.execute(f"ALTER FUNCTION {named} OWNER TO {ROLE}")
    op.execute(f"REVOKE CREATE ON SCHEMA {schema} FROM {ROLE}")


def _make_role() -> None:
    """The role, and the right to become it. Roles are the whole cluster's: others may be making it at this moment.

    What it sees isn't inherited: who may become it sees it only then.
    """
    op.execute(
        f"""
        DO $$
        BEGIN
            IF to_regrole('{ROLE}') IS NULL THEN
                BEGIN
                    CREATE ROLE {ROLE} NOLOGIN;
                EXCEPTION WHEN duplicate_object OR unique_violation THEN
                    NULL;
                END;
            END IF;
            IF NOT pg_has_role(current_user, '{ROLE}', 'SET') THEN
                BEGIN
                    EXECUTE format('GRANT {ROLE} TO %I WITH INHERIT FALSE', current_user);
                EXCEPTION WHEN unique_violation OR internal_error THEN
                    NULL;  -- the same grant from another database; if not, the next statement says so
                END;
            END IF;
            IF NOT pg_has_role(current_user, '{ROLE}', 'SET') OR (
                pg_has_role(current_user, '{ROLE}', 'USAGE')
                AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
            ) THEN
                RAISE insufficient_privilege;
            END IF;
        EXCEPTION WHEN insufficient_privilege THEN
            RAISE insufficient_privilege USING MESSAGE = format(
                'the index of words needs a role that %I may not make; have an administrator run: '
                'CREATE ROLE {ROLE} NOLOGIN; GRANT {ROLE} TO %I WITH INHERIT FALSE', current_user, current_user);
        END $$
        """
    )
