"""What is recorded of days that were just written."""

import datetime as dt
from collections.abc import Mapping

from ibis.backends.duckdb import Backend

from convcg_assets.builds.staleness import Detail, digest_of
from convcg_assets.deployment import Deployment
from convcg_assets.lake.delta import Version
from convcg_assets.lake.digests import digest_days
from convcg_assets.lake.ledger import Built


def record_days(
    deployment: Deployment,
    table: str,
    version: Version,
    *,
    details: Mapping[dt.date, Detail],
    con: Backend,
    run_id: str | None = None,
) -> None:
    """Record the days of a version just written: what they hold, what they were made of."""
    files = [file for day in details for file in version.files.get(day, ())]
    cells = digest_days(table, files, con=con)
    deployment.ledger.record(
        table,
        [
            Built(day, version.key(day), cells.get(day, {}), digest_of(detail), detail)
            for day, detail in details.items()
        ],
        run_id=run_id,
    )
