"""All tables from the landing zone at once, beside lake, ledger and recipes: what a lake must hold.

Every table is made of whole tables, so that a window of a recipe that is too narrow shows as well.
"""

import datetime as dt
import json
import re
from collections.abc import Collection, Iterable

from ibis.backends.duckdb import Backend

from convcg_assets.builds.compiled import compile_rows
from convcg_assets.builds.raw_queries import compile_contract
from convcg_assets.builds.rows import ranges
from convcg_assets.days import Days
from convcg_assets.deployment import Deployment
from convcg_assets.lake.engine import Query, cast_columns
from convcg_assets.sources.columns import STREAMS
from convcg_assets.sources.reading import check_files, read_files
from convcg_assets.tables.raw import REJECTED
from convcg_assets.tables.table import DAY

from .deployment import derived_of, sorted_rows


def scratch_contents(
    deployment: Deployment,
    landed: list[dt.date],
    models: Iterable[dt.date],
    *,
    forgotten: Collection[int] = (),
    con: Backend,
) -> dict[str, list[str]]:
    """All rows of all tables, as `deployment.contents` has them; none of `forgotten` users.

    A rejected row stays, but not what it held where one of its values is such an id, or as a number
    looks like one.
    """
    logs = Days(landed[0], landed[-1])
    known = Days(logs.first + DAY, logs.last + DAY)
    source, rejected = deployment.source, []
    for stream in (stream for stream in STREAMS if source.stream(stream) is not None):
        (raw,) = read_files(source, stream, check_files(source, stream, landed), con=con)
        rows = compile_contract([raw.schema()], stream=stream, source=source, con=con)
        given = {"raw": f"SELECT * FROM {raw.get_name()}"}
        text = rows["valid"].text
        for column in forgotten and ("user_id", "from_user_id", "to_user_id"):
            if column in STREAMS[stream].columns:
                kept = f"{column} IS NULL OR {column} NOT IN ({', '.join(map(str, forgotten))})"
                text = f"SELECT * FROM ({text}) WHERE {kept}"
        _create(deployment, stream, [Query(text, given)], con=con)
        rejected.append(Query(rows["rejected"].text, given))
    _create(deployment, REJECTED, rejected, con=con)
    _empty_rejected(forgotten, con=con)
    for table in derived_of(deployment):
        days = logs if deployment.recipes[table].domain == "logs" else known
        _create(deployment, table, [_all_rows(deployment, table, days, con=con)], con=con)
    examples = [
        _all_rows(deployment, "training_examples", days, con=con) for days in ranges(sorted(models))
    ]
    _create(deployment, "training_examples", examples, con=con)
    return {table: sorted_rows(table, f"scratch_{table}", con=con) for table in deployment.tables}


def _empty_rejected(forgotten: Collection[int], *, con: Backend) -> None:
    ids = {str(user) for user in forgotten}
    held = con.con.execute(f"SELECT DISTINCT raw FROM scratch_{REJECTED}").fetchall()
    for (raw,) in held:
        values = [value for value in json.loads(raw).values() if value is not None]
        if ids & {*values, *(re.sub(r"\.0+$", "", value) for value in values)}:
            con.con.execute(f"UPDATE scratch_{REJECTED} SET raw = NULL WHERE raw = ?", [raw])


def _all_rows(deployment: Deployment, table: str, days: Days, *, con: Backend) -> Query:
    rows = compile_rows(table, days, scope=deployment.scope, con=con)
    return Query(rows.text, {name: f"SELECT * FROM scratch_{name}" for name in rows.inputs})


def _create(deployment: Deployment, table: str, queries: list[Query], *, con: Backend) -> None:
    columns = cast_columns(deployment.lake.schema(table))
    rows = " UNION ALL ".join(f"(SELECT {columns} FROM ({query.sql}))" for query in queries)
    con.con.execute(f"CREATE OR REPLACE TEMP TABLE scratch_{table} AS {rows}")
