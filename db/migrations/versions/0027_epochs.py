"""Which epoch the database is in: a copy of it, restored, knows by this row that it is one"""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "epochs",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("written_under", sa.Text(), nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    # Here, and not by whoever finds no row: jobs that run meanwhile go on.
    op.execute(
        """
        INSERT INTO epochs (name, id, written_under, began_at) VALUES ('current', gen_random_uuid(), concat_ws('.',
            (SELECT system_identifier FROM pg_control_system()),
            left(pg_walfile_name(pg_current_wal_flush_lsn()), 8),
            'jobs'::regclass::oid,
            pg_current_xact_id()::xid), now())
        """
    )


def downgrade() -> None:
    op.drop_table("epochs")
