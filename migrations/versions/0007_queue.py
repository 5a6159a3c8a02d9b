"""The queue of a cluster: procrastinate's, which knows PostgreSQL alone, and whose turn it is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

WAITING = sa.text("status = 'pending'")


NUMBERED = ("jobs", "webhooks", "webhook_messages")
"""Tables whose rows have numbers in the order of their coming, of which a cluster needs more than 2**31."""
ALWAYS_BY_INDEX = ("enable_seqscan", "enable_sort", "enable_hashjoin", "enable_mergejoin")
"""Ways of looking for the next ticket that take the longer the more wait. PostgreSQL knows only a while after thousands
have come that they are many.
"""
FORGET = """
DO $$ DECLARE one regprocedure; BEGIN
    FOR one IN SELECT oid FROM pg_proc WHERE proname LIKE 'procrastinate%' LOOP
        EXECUTE 'DROP FUNCTION IF EXISTS ' || one || ' CASCADE';
    END LOOP;
END $$
"""


def upgrade() -> None:
    op.add_column("jobs", sa.Column("turn", sa.Integer()))
    for name, columns in (
        ("ix_jobs_waiting", ["priority", "turn"]),
        ("ix_jobs_waiting_of_owner", ["owner", "priority", "turn"]),
    ):
        op.create_index(name, "jobs", columns, sqlite_where=WAITING, postgresql_where=WAITING)
    if op.get_bind().dialect.name == "postgresql":
        for table in NUMBERED:
            op.alter_column(table, "seq", type_=sa.BigInteger())
            op.execute(f"ALTER SEQUENCE {table}_seq_seq AS bigint")
        _set_up_procrastinate()


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for table in ("events", "periodic_defers", "jobs", "workers"):
            op.execute(f"DROP TABLE procrastinate_{table} CASCADE")
        op.execute(FORGET)
        for name in ("job_status", "job_event_type", "job_to_defer_v1"):
            op.execute(f"DROP TYPE procrastinate_{name} CASCADE")
        for table in NUMBERED:
            op.execute(f"ALTER SEQUENCE {table}_seq_seq AS integer")
            op.alter_column(table, "seq", type_=sa.Integer())
    for name in ("ix_jobs_waiting", "ix_jobs_waiting_of_owner"):
        op.drop_index(name, "jobs")
    op.drop_column("jobs", "turn")


def _set_up_procrastinate() -> None:
    from procrastinate.schema import SchemaManager

    op.get_bind().exec_driver_sql(SchemaManager.get_schema().replace("%", "%%"))
    # A ticket is found by its task, and looked for by its lock each time that one is taken.
    op.create_index("ix_procrastinate_jobs_queueing_lock", "procrastinate_jobs", ["queueing_lock"])
    op.create_index("ix_procrastinate_jobs_lock", "procrastinate_jobs", ["lock"])
    for way in ALWAYS_BY_INDEX:
        op.execute(f"ALTER FUNCTION procrastinate_fetch_job_v2(varchar[], bigint) SET {way} TO off")
