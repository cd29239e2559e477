"""What every job writes is less: its input is in its own row, an attempt has a row once it has ended, and the tables of
jobs have no foreign keys"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_OF_JOBS = ("job_outputs", "job_attempts", "job_vectors")
_INPUTS = ("input", "params", "stage_input")


def upgrade() -> None:
    for name in _INPUTS:
        op.add_column("jobs", sa.Column(name, sa.JSON))
    op.add_column("jobs", sa.Column("attempt_started_at", sa.DateTime(timezone=True)))
    op.execute(
        "UPDATE jobs SET input = i.input, params = i.params, stage_input = i.stage_input FROM job_inputs i"
        " WHERE i.job_id = jobs.id"
    )
    op.execute("UPDATE jobs SET input = '{}', params = '{}' WHERE input IS NULL")
    op.drop_table("job_inputs")
    for name in ("input", "params"):
        op.alter_column("jobs", name, nullable=False)
    op.drop_constraint("jobs_tenant_id_fkey", "jobs")
    for table in _OF_JOBS:
        op.drop_constraint(f"{table}_job_id_fkey", table)
    _attempts_end()


def _attempts_end() -> None:
    """Those that run are in their jobs' rows; whatever else has no end was lost, nobody knows when."""
    op.execute(
        "UPDATE jobs SET attempt_started_at = a.started_at FROM job_attempts a"
        " WHERE a.job_id = jobs.id AND a.number = jobs.attempt"
    )
    op.execute(
        "DELETE FROM job_attempts a USING jobs j"
        " WHERE a.how IS NULL AND j.id = a.job_id AND j.attempt = a.number AND j.status = 'running'"
    )
    op.execute(
        "UPDATE job_attempts SET how = coalesce(how, 'lost'), ended_at = coalesce(ended_at, started_at)"
        " WHERE how IS NULL OR ended_at IS NULL"
    )
    for name in ("how", "ended_at"):
        op.alter_column("job_attempts", name, nullable=False)
    op.alter_column("job_attempts", "started_at", server_default=None)


def downgrade() -> None:
    op.alter_column("job_attempts", "started_at", server_default=sa.func.clock_timestamp())
    for name in ("how", "ended_at"):
        op.alter_column("job_attempts", name, nullable=True)
    op.execute(
        "INSERT INTO job_attempts (job_id, number, worker_id, model, stage, started_at)"
        " SELECT id, attempt, worker_id, queue, stage, attempt_started_at FROM jobs WHERE status = 'running'"
    )
    for table in _OF_JOBS:
        op.execute(f"DELETE FROM {table} WHERE job_id NOT IN (SELECT id FROM jobs)")
        op.create_foreign_key(f"{table}_job_id_fkey", table, "jobs", ["job_id"], ["id"], ondelete="CASCADE")
    op.create_foreign_key("jobs_tenant_id_fkey", "jobs", "tenants", ["tenant_id"], ["id"])
    op.create_table(
        "job_inputs",
        sa.Column("job_id", sa.Uuid, sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("input", sa.JSON, nullable=False),
        sa.Column("params", sa.JSON, nullable=False),
        sa.Column("stage_input", sa.JSON),
    )
    op.execute("INSERT INTO job_inputs SELECT id, input, params, stage_input FROM jobs")
    for name in (*_INPUTS, "attempt_started_at"):
        op.drop_column("jobs", name)
