"""Failures are counted for each stage: several may be in work at once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

JOBS = sa.table("jobs", *(sa.column(name) for name in ("seq", "stage", "failures")))
BY_STAGE = sa.table("jobs", sa.column("seq"), sa.column("failures", sa.JSON()))


def upgrade() -> None:
    connection = op.get_bind()
    failed = connection.execute(sa.select(JOBS).where(JOBS.c.failures > 0, JOBS.c.stage.is_not(None))).all()
    replace_failures(sa.Column("failures", sa.JSON(), nullable=False, server_default="{}"))
    for row in failed:
        change = sa.update(BY_STAGE).where(BY_STAGE.c.seq == row.seq)
        connection.execute(change.values(failures={row.stage: row.failures}))


def downgrade() -> None:
    replace_failures(sa.Column("failures", sa.Integer(), nullable=False, server_default="0"))


def replace_failures(column: sa.Column) -> None:
    with op.batch_alter_table("jobs", table_kwargs={"sqlite_autoincrement": True}) as jobs:
        jobs.drop_column("failures")
    op.add_column("jobs", column)
