"""The tables of release 0.1.0, which kept no version: where they are there, they stay."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """What days hold and were built from, checks that failed, what was asked for."""
    op.create_table(
        "contents",
        sa.Column("table_name", sa.String(64), primary_key=True),
        sa.Column("day", sa.Date, primary_key=True),
        sa.Column("files_key", sa.String(64), primary_key=True),
        sa.Column("cells", sa.Text, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "builds",
        sa.Column("table_name", sa.String(64), primary_key=True),
        sa.Column("day", sa.Date, primary_key=True),
        sa.Column("files_key", sa.String(64), primary_key=True),
        sa.Column("inputs", sa.String(64), primary_key=True),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("run_id", sa.String(64)),
        sa.Column("built_at", sa.DateTime, nullable=False),
        sa.Column("times", sa.Integer, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "failed_checks",
        sa.Column("table_name", sa.String(64), primary_key=True),
        sa.Column("day", sa.Date, primary_key=True),
        sa.Column("files_key", sa.String(64), primary_key=True),
        sa.Column("check_name", sa.String(128), primary_key=True),
        sa.Column("said", sa.Text, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "requests",
        sa.Column("request_key", sa.String(64), primary_key=True),
        sa.Column("table_name", sa.String(64), primary_key=True),
        sa.Column("day", sa.Date, primary_key=True),
        sa.Column("inputs", sa.String(64), nullable=False),
        sa.Column("num_built", sa.Integer, nullable=False),
        sa.Column("requested_at", sa.DateTime, nullable=False),
        if_not_exists=True,
    )
    op.create_index(
        "requests_by_inputs", "requests", ["table_name", "day", "inputs"], if_not_exists=True
    )
