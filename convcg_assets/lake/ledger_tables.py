"""The ledger's tables as this release reads and writes them.

What the facts mean belongs to `ledger.py`, how a ledger of an older release comes to have these
tables to `migrations/`.
"""

import sqlalchemy as sa

metadata = sa.MetaData()
contents = sa.Table(
    "contents",
    metadata,
    sa.Column("table_name", sa.String(64), primary_key=True),
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("files_key", sa.String(64), primary_key=True),
    sa.Column("cells", sa.Text, nullable=False),
)
builds = sa.Table(
    "builds",
    metadata,
    sa.Column("table_name", sa.String(64), primary_key=True),
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("files_key", sa.String(64), primary_key=True),
    sa.Column("inputs", sa.String(64), primary_key=True),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("run_id", sa.String(64)),
    sa.Column("built_at", sa.DateTime, nullable=False),
    sa.Column("times", sa.Integer, nullable=False),
)
failed_checks = sa.Table(
    "failed_checks",
    metadata,
    sa.Column("table_name", sa.String(64), primary_key=True),
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("files_key", sa.String(64), primary_key=True),
    sa.Column("check_name", sa.String(128), primary_key=True),
    sa.Column("said", sa.Text, nullable=False),
)
requests = sa.Table(
    "requests",
    metadata,
    sa.Column("request_key", sa.String(64), primary_key=True),
    sa.Column("table_name", sa.String(64), primary_key=True),
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("inputs", sa.String(64), nullable=False),
    sa.Column("num_built", sa.Integer, nullable=False),
    sa.Column("requested_at", sa.DateTime, nullable=False),
)
landed_files = sa.Table(
    "landed_files",
    metadata,
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("file", sa.String(1024), primary_key=True),
    sa.Column("stamp", sa.String(64), primary_key=True),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("seen_at", sa.DateTime, nullable=False),
)
sa.Index("requests_by_inputs", requests.c.table_name, requests.c.day, requests.c.inputs)
