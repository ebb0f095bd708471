"""All tables from the landing zone at once, beside lake, ledger and recipes: what a lake must hold.

Every transform gets whole tables, so that a window of a recipe that is too narrow shows as well.
"""

import datetime as dt
from collections.abc import Iterable

from ibis.backends.duckdb import Backend

from convcg_assets.builds.build import Build
from convcg_assets.builds.state import State
from convcg_assets.days import Days
from convcg_assets.deployment import Deployment
from convcg_assets.sources.reading import check_files, read_files
from convcg_assets.sources.stream import STREAMS
from convcg_assets.tables.recipes import DAY
from convcg_assets.tables.schema import TABLES, table_schema

from .compiled import cast_columns, contract_queries, table_query
from .deployment import DERIVED, ranges, sorted_rows


def scratch_contents(
    deployment: Deployment, landed: list[dt.date], models: Iterable[dt.date], *, con: Backend
) -> dict[str, list[str]]:
    """All rows of all tables, as `deployment.contents` has them."""
    logs = Days(landed[0], landed[-1])
    known = Days(logs.first + DAY, logs.last + DAY)
    rejected = []
    for stream in STREAMS:
        raw = read_files(
            deployment.source, stream, check_files(deployment.source, stream, landed), con=con
        )
        valid, broken = contract_queries(raw, stream=stream, source=deployment.source, con=con)
        _create(deployment, stream, [valid], con=con)
        rejected.append(broken)
    _create(deployment, "rejected_events", rejected, con=con)
    for table in DERIVED:
        days = logs if deployment.recipes[table].domain == "logs" else known
        _create(deployment, table, [_all_rows(deployment, table, days, con=con)], con=con)
    examples = [
        _all_rows(deployment, "training_examples", days, con=con) for days in ranges(sorted(models))
    ]
    _create(deployment, "training_examples", examples, con=con)
    return {table: sorted_rows(table, f"scratch_{table}", con=con) for table in TABLES}


def _all_rows(deployment: Deployment, table: str, days: Days, *, con: Backend) -> str:
    build = Build(deployment, deployment.recipes[table], days, con, State({}), {}, days.last)
    return table_query(build, lambda upstream, _: f"SELECT * FROM scratch_{upstream}")


def _create(deployment: Deployment, table: str, queries: list[str], *, con: Backend) -> None:
    schema = table_schema(table, deployment.lake.id_types)
    columns = cast_columns({name: f'"{name}"' for name in schema}, schema)
    rows = " UNION ALL ".join(f"(SELECT {columns} FROM ({query}))" for query in queries)
    con.con.execute(f"CREATE OR REPLACE TEMP TABLE scratch_{table} AS {rows}")
