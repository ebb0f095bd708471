"""Forgetting a person: raw days are written again without them, old files go, models are named.

Derived days are then stale, and repaired as after any other change. Who is forgotten stands in
`forgotten.py`, by which logs that are read again leave the person out too.
"""

import datetime as dt
import json
from dataclasses import dataclass
from pathlib import Path

import duckdb
import ibis
from deltalake.exceptions import DeltaError
from ibis.backends.duckdb import Backend

from convcg_assets.builds.forgotten import Forgotten
from convcg_assets.builds.raw_queries import READ_ORDER, compile_implied
from convcg_assets.builds.state import artifact_keys
from convcg_assets.builds.trained import EXAMPLES, made_alike, trained_examples
from convcg_assets.days import Days
from convcg_assets.deployment import Deployment
from convcg_assets.lake.delta import NO_VERSION
from convcg_assets.lake.digests import digest_days
from convcg_assets.lake.engine import Query
from convcg_assets.lake.ledger import Built
from convcg_assets.sources.columns import STREAMS
from convcg_assets.sources.finding import describe_place
from convcg_assets.tables.raw import RAW_TABLES
from convcg_assets.tables.registry import VIEWS
from convcg_assets.tables.user_persons import PERSONS
from convcg_assets.urls import without_password

FLAG = "forgotten.json"
"""Beside a model that was trained on somebody who has been forgotten since."""
NumRows = dict[dt.date, int]


@dataclass(frozen=True)
class Remains:
    """What no command can remove, in words."""

    where: str
    what: str


def find_rows(deployment: Deployment, people: Forgotten, *, con: Backend) -> dict[str, NumRows]:
    """By table and day the rows of people, in the lake as it is now."""
    found = {}
    for table in (table for table in deployment.tables if table not in VIEWS):
        version = deployment.lake.snapshot(table) or NO_VERSION
        if version.files:
            every = Days(min(version.files), max(version.files))
            days = _count(deployment, people, table, every, version=version.number, con=con)
            if days:
                found[table] = days
    return found


def other_ids(deployment: Deployment, user_ids: list[str], *, con: Backend) -> list[str]:
    """The other ids of the same people, by the merges that are known now."""
    version = deployment.lake.snapshot(PERSONS) if deployment.scope.has_merges else None
    if version is None or not version.files:
        return []
    newest = Days(max(version.files), max(version.files))
    persons = deployment.lake.read(PERSONS, newest, con=con, version=version)
    persons = persons.mutate(user_id=persons.user_id.cast("string"))
    is_named = persons.user_id.isin([ibis.literal(user) for user in user_ids])
    theirs = persons.filter(is_named).select("person_id").distinct()
    found = persons.filter(~is_named).semi_join(theirs, "person_id")
    return sorted(con.to_pyarrow(found.user_id.as_table())["user_id"].to_pylist())


def rewrite_raw(deployment: Deployment, people: Forgotten, *, con: Backend) -> dict[str, NumRows]:
    """Write the raw days that hold rows of people again, without these; by table what went.

    A day keeps what it was built from: it is what its logs hold, read without the people. What a
    log without a catalogue has of Pins is made again of the events that are left.
    """
    every = find_rows(deployment, people, con=con)
    found = {table: days for table, days in every.items() if table in RAW_TABLES}
    lake = deployment.lake
    for table, days in found.items():
        for day in days:
            held = lake.held(table, Days(day, day), version=lake.snapshot(table))
            query = people.left_out(table, Query("SELECT * FROM held", {"held": held}))
            _replace(deployment, table, day, query, con=con)
    source = deployment.source
    if source.stream("pins") is None:
        present = [stream for stream in READ_ORDER if source.stream(stream) is not None]
        rows = compile_implied("pins", present, source=source, con=con)
        for day in sorted({day for days in found.values() for day in days}):
            one = Days(day, day)
            inputs = {t: lake.held(t, one, version=lake.snapshot(t)) for t in rows.inputs}
            _replace(deployment, "pins", day, Query(rows.text, inputs), con=con)
    return found


def trained_on(deployment: Deployment, people: Forgotten, *, con: Backend) -> list[dt.date]:
    """Days of the models whose training examples hold people, or that do not say what they hold.

    Examples of a person's other ids have the history of all of them: name these as well.
    Asked before anything is written: it is the examples of their time that count.
    """
    trained = sorted(artifact_keys("two_tower_checkpoint", home=deployment.home))
    return [day for day in trained if _learned_from(deployment, people, day, con=con)]


def flag_models(deployment: Deployment, days: list[dt.date]) -> None:
    """Say beside models that they learned from people who have been forgotten since."""
    today = dt.datetime.now(dt.UTC).date()
    said = {"trained_on_people_forgotten_on": str(today), "remedy": "convcg forget --retrain"}
    for day in days:
        path = deployment.models / f"dt={day}" / FLAG
        path.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")


def flagged_models(deployment: Deployment) -> list[dt.date]:
    """Days of the models that learned from somebody who has been forgotten since."""
    found = deployment.models.glob(f"dt=*/{FLAG}")
    return sorted(dt.date.fromisoformat(path.parent.name.removeprefix("dt=")) for path in found)


def what_remains(
    deployment: Deployment, found: dict[str, NumRows], *, dagster_home: Path
) -> list[Remains]:
    """What holds rows of people, or may, and is not this pipeline's to remove."""
    source = deployment.source
    remains = []
    for stream, days in found.items():
        if stream in STREAMS and source.stream(stream) is not None:
            many = f"{len(days)} days, {min(days)} to {max(days)}"
            remains.append(
                Remains(
                    describe_place(source, stream),
                    f"landed rows of {many}: read without them from now on",
                )
            )
    return [
        *remains,
        Remains(str(dagster_home), "previews and offending rows on the pages of past runs"),
        Remains(
            f"{deployment.lake.root}/*/_delta_log",
            "least and greatest values of columns, of every file there was; ids may be among them",
        ),
        Remains(
            without_password(deployment.tracking_uri),
            "models and reports of past runs: weights and sums, no rows",
        ),
        Remains("backups and copies", "of the landing folder, the lake and the home folder"),
    ]


def _count(
    deployment: Deployment,
    people: Forgotten,
    table: str,
    days: Days,
    *,
    version: int,
    con: Backend,
) -> NumRows:
    theirs = people.rows_of(table)
    if theirs is None:
        return {}
    view = deployment.lake.read(table, days, con=con, version=version).get_name()
    counted = f"SELECT dt, count(*) FROM {view} WHERE {theirs} GROUP BY dt ORDER BY dt"
    return dict(con.con.execute(counted).fetchall())


def _learned_from(deployment: Deployment, people: Forgotten, day: dt.date, *, con: Backend) -> bool:
    theirs = people.rows_of(EXAMPLES)
    if not made_alike(deployment, day):
        return True  # Of which days it learned cannot be told any more.
    try:
        examples = trained_examples(deployment, day, con=con)
        if examples is None or theirs is None:
            return examples is None
        counted = f"SELECT count(*) FROM {examples.get_name()} WHERE {theirs}"
        return con.con.execute(counted).fetchall() != [(0,)]
    except (DeltaError, OSError, duckdb.IOException):
        return True  # Its files are gone: nobody can say whom they held.


def _replace(
    deployment: Deployment, table: str, day: dt.date, query: Query, *, con: Backend
) -> None:
    """Replace a raw day by rows that come out of the same inputs as those that it held."""
    ledger, before = deployment.ledger, deployment.lake.snapshot(table) or NO_VERSION
    key = before.key(day)
    builds = ledger.facts([table])[table].builds
    inputs = [made_of for built, files, made_of in builds if (built, files) == (day, key)]
    detail = ledger.build_detail(table, day, key) or {}
    version = deployment.lake.replace(table, Days(day, day), query, con=con)
    cells = digest_days(table, version.files.get(day, ()), con=con).get(day, {})
    ledger.record(table, [Built(day, version.key(day), cells, i, detail) for i in inputs])
