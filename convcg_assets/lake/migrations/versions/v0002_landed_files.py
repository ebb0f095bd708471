"""Landed files are known by their content; ledgers from before versions may have the table."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Stamp and digest of each landed file."""
    op.create_table(
        "landed_files",
        sa.Column("day", sa.Date, primary_key=True),
        sa.Column("file", sa.String(1024), primary_key=True),
        sa.Column("stamp", sa.String(64), primary_key=True),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("seen_at", sa.DateTime, nullable=False),
        if_not_exists=True,
    )
