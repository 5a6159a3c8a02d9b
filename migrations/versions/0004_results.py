"""Transcripts that are given out again, and the jobs that got one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("work", sa.String(64)))
    op.add_column("jobs", sa.Column("cached", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_table(
        "results",
        sa.Column("task_id", sa.String(36), nullable=False),
        sa.Column("work", sa.String(64), nullable=False),
        sa.Column("file", sa.String(255), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("task_id", name="pk_results"),
        sa.ForeignKeyConstraint(["task_id"], ["jobs.id"], ondelete="CASCADE"),
    )
    op.create_index("ix_results_work_used_at", "results", ["work", "used_at"])


def downgrade() -> None:
    op.drop_table("results")
    op.drop_column("jobs", "cached")
    op.drop_column("jobs", "work")
