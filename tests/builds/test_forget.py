"""A forgotten person: the lake is as if the logs had never held a row of theirs, whatever comes."""

import json
from pathlib import Path
from random import Random

import pytest
from ibis.backends.duckdb import Backend

from convcg_assets.builds.cleanup import purge
from convcg_assets.builds.forget import (
    find_rows,
    flag_models,
    flagged_models,
    rewrite_raw,
    trained_on,
)
from convcg_assets.builds.forgotten import FILE, Forgotten, read_forgotten, remember_forgotten
from convcg_assets.builds.rows import Rows
from convcg_assets.builds.trained import EXAMPLES
from convcg_assets.deployment import Deployment
from convcg_assets.lake.engine import Query
from convcg_assets.tables.raw import RAW, RAW_TABLES

from .deployment import build_once, contents, converge, make_deployment
from .logs import Landing, day, make_source

NUM_DAYS = 3
MODEL = day(NUM_DAYS)
WHO = 1


def forget(deployment: Deployment, user: int, *, con: Backend) -> Forgotten:
    """As the command does it, apart from runs; the person alone."""
    people = remember_forgotten(deployment.home, [user]).only([user])
    rewrite_raw(deployment, people, con=con)
    converge(deployment, con=con)
    return people


def landed(folder: Path, *, seed: int, without: int | None = None) -> Landing:
    """Days of logs; `without` a person their rows are drawn, and not written."""
    landing = Landing(folder, Random(seed), adjusts=True)
    for offset in range(NUM_DAYS):
        landing.land(offset)
    if without is not None:
        for (landed_day, stream, name), rows in list(landing.files.items()):
            kept = [row for row in rows if row.get("user_id") != without]
            landing.write(landed_day, stream, kept, name=name)
    return landing


def everything(deployment: Deployment, *, con: Backend) -> dict[str, list[str]]:
    return contents(deployment, con=con, tables=deployment.tables)


def test_the_lake_is_as_if_the_logs_had_never_held_them(tmp_path: Path, con: Backend) -> None:
    """Of a log without a catalogue: that of the Pins seen is another then, too."""

    def build(name: str, without: int | None) -> tuple[Landing, Deployment]:
        landing = landed(tmp_path / name / "landing", seed=8, without=without)
        source = make_source(landing.root, adjusts=True)
        streams = source.streams.model_copy(update={"pins": None, "users": None})
        source = source.model_copy(update={"streams": streams})
        deployment = make_deployment(tmp_path / name / "home", source)
        build_once(deployment, landing.days, con=con, models=[MODEL])
        return landing, deployment

    _, never = build("never", WHO)
    landing, deployment = build("lived", None)
    people = Forgotten().only([WHO])
    assert {"impressions", "user_features"} <= set(find_rows(deployment, people, con=con))
    before = everything(deployment, con=con)
    people = forget(deployment, WHO, con=con)
    expected = everything(never, con=con)
    assert before["pins"] != expected["pins"]
    assert everything(deployment, con=con) == expected
    assert find_rows(deployment, people, con=con) == {}
    # Logs that are read again are read without the person.
    for landed_day in landing.days:
        landing.touch(landed_day)
    assert set(converge(deployment, con=con)) == {RAW}
    assert everything(deployment, con=con) == expected


def test_who_is_forgotten_before_the_logs_land_never_comes(tmp_path: Path, con: Backend) -> None:
    landing = landed(tmp_path / "landing", seed=5)
    deployment = make_deployment(tmp_path / "home", make_source(landing.root, adjusts=True))
    people = remember_forgotten(deployment.home, [WHO]).only([WHO])
    build_once(deployment, landing.days, con=con)
    assert find_rows(deployment, people, con=con) == {}
    others = read_forgotten(deployment.home).only([0])
    assert find_rows(deployment, others, con=con)


def test_no_file_of_the_lake_holds_them(tmp_path: Path, con: Backend) -> None:
    landing = landed(tmp_path / "landing", seed=8)
    deployment = make_deployment(tmp_path / "home", make_source(landing.root, adjusts=True))
    build_once(deployment, landing.days, con=con, models=[MODEL])

    def files_that_hold() -> list[str]:
        found = []
        for path in sorted((tmp_path / "home" / "lake").glob("*/dt=*/*.parquet")):
            read = f"read_parquet('{path}', hive_partitioning = true)"
            columns = [name for name, *_ in con.con.execute(f"DESCRIBE FROM {read}").fetchall()]
            if "user_id" in columns:
                num = con.con.execute(f"SELECT count(*) FROM {read} WHERE user_id = {WHO}")
                found += [str(path)] if num.fetchall()[0][0] else []
        return found

    forget(deployment, WHO, con=con)
    assert files_that_hold()
    before = everything(deployment, con=con)
    purge(deployment)
    assert files_that_hold() == []
    assert everything(deployment, con=con) == before
    assert converge(deployment, con=con) == {}


def test_what_was_rejected_stays_without_what_it_held(con: Backend) -> None:
    people = Forgotten("salt").only(["u-1", 7])
    held = {
        '{"user": "u-1", "x": "2"}': None,
        '{"user": "u-10", "x": "u-1 and more"}': None,
        '{"user": "u-10", "x": "2"}': '{"user": "u-10", "x": "2"}',
        '{"visitor": "7.0"}': None,
        '{"visitor": "70"}': '{"visitor": "70"}',
        "2026-01-01;u-1;view": None,
        "u-11;view": "u-11;view",
        "": "",
    }
    values = ", ".join(f"({number}, '{raw}')" for number, raw in enumerate(held))
    query = people.left_out("rejected_events", Query(f"SELECT * FROM (VALUES {values}) t(n, raw)"))
    rows = con.con.execute(f"{query.sql} ORDER BY n").fetchall()
    assert [raw for _, raw in rows] == list(held.values())


def test_models_that_learned_from_them_are_flagged(tmp_path: Path, con: Backend) -> None:
    landing = landed(tmp_path / "landing", seed=8)
    deployment = make_deployment(tmp_path / "home", make_source(landing.root, adjusts=True))
    build_once(deployment, landing.days, con=con, models=[MODEL])

    def model_of(offset: int, versions: dict[str, int | None], **examples: str) -> None:
        folder = deployment.models / f"dt={day(offset)}"
        folder.mkdir(parents=True)
        said = {"provenance": {"table_versions": versions, "examples": examples}}
        (folder / "model.json").write_text(json.dumps(said))

    tables = [read.table for read in deployment.recipes[EXAMPLES].inputs]
    versions = {table: deployment.lake.version(table) for table in tables}
    alike = {"settings": deployment.recipes[EXAMPLES].settings}
    model_of(NUM_DAYS, versions, **alike)
    model_of(NUM_DAYS - 1, {**versions, "weighted_labels": 0, "hard_negatives": 0}, **alike)
    model_of(NUM_DAYS - 2, versions, settings="others, by which another window was learned")
    view = Rows(deployment).read(EXAMPLES, [MODEL], con=con).get_name()
    counted = con.con.execute(f"SELECT user_id, count(*) FROM {view} GROUP BY 1").fetchall()
    learned, stranger = max(counted)[0], 99
    nobody = Forgotten("salt")
    # Of the second the tables were still empty; of the third it cannot be told.
    asked = trained_on(deployment, nobody.only([learned]), con=con)
    assert asked == [day(NUM_DAYS - 2), MODEL]
    assert trained_on(deployment, nobody.only([stranger]), con=con) == [day(NUM_DAYS - 2)]
    flag_models(deployment, asked)
    assert flagged_models(deployment) == asked


def test_only_digests_of_ids_are_kept(tmp_path: Path) -> None:
    remember_forgotten(tmp_path, ["anna@example.org"])
    both = remember_forgotten(tmp_path, ["bob"])
    assert read_forgotten(tmp_path) == both
    assert len(both.digests) == 2
    assert set(both.only(["bob"]).digests) < set(both.digests)
    assert "anna" not in (tmp_path / FILE).read_text()
    (tmp_path / FILE).write_text("{")
    with pytest.raises(ValueError, match="would come back"):
        read_forgotten(tmp_path)


def test_raw_days_keep_what_they_were_built_from(tmp_path: Path, con: Backend) -> None:
    """Logs in an archive: the days stay days with logs, and nothing raw is stale."""
    landing = landed(tmp_path / "landing", seed=8)
    deployment = make_deployment(tmp_path / "home", make_source(landing.root, adjusts=True))
    build_once(deployment, landing.days, con=con)
    landing.root.rename(tmp_path / "archive")
    people = remember_forgotten(deployment.home, [WHO])
    rewritten = rewrite_raw(deployment, people, con=con)
    assert set(rewritten) <= set(RAW_TABLES)
    built = converge(deployment, con=con)
    assert RAW not in built
    assert built["user_features"]
    assert find_rows(deployment, people, con=con) == {}
