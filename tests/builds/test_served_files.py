"""What is made for serving: for whom it is wanted, what of it goes, and the Pins of now."""

import datetime as dt
from pathlib import Path
from random import Random

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from ibis.backends.duckdb import Backend

from convcg_assets.builds.candidates import with_countries
from convcg_assets.builds.forgotten import Forgotten
from convcg_assets.builds.fresh_pins import pins_of_now
from convcg_assets.builds.served_files import forget_candidates, remove_old_features
from convcg_assets.deployment import Deployment
from convcg_assets.lake.day_rows import replace_day

from .deployment import build_once, look, make_deployment
from .logs import NUM_PINS, Landing, at, day, make_source

NUM_DAYS = 4


@pytest.fixture
def built(tmp_path: Path, con: Backend) -> tuple[Landing, Deployment]:
    landing = Landing(tmp_path / "landing", Random(5))
    for offset in range(NUM_DAYS):
        landing.land(offset)
    deployment = make_deployment(tmp_path / "home", make_source(landing.root))
    build_once(deployment, landing.days, con=con, models=[day(3), day(NUM_DAYS)])
    return landing, deployment


def pretend(deployment: Deployment, *days: dt.date) -> None:
    for model_day in days:
        folder = deployment.models / f"dt={model_day}"
        folder.mkdir(parents=True)
        (folder / "model.json").write_text("{}")


def test_only_the_newest_model_wants_what_serves(built) -> None:
    _, deployment = built
    pretend(deployment, day(3), day(NUM_DAYS))
    stale = look(deployment).staleness.stale
    assert set(stale["pin_embedding_index"]) == {day(3), day(NUM_DAYS)}
    for table in ("serving_features", "promotion", "candidates"):
        assert set(stale[table]) == {day(NUM_DAYS)}, table


def test_old_features_go(tmp_path: Path) -> None:
    deployment = make_deployment(tmp_path / "home", make_source(tmp_path / "landing"))
    for offset in range(5):
        (deployment.features / f"dt={day(offset)}").mkdir(parents=True)
    old = [path.name for path in remove_old_features(deployment, dry_run=True)]
    assert old == [f"dt={day(0)}", f"dt={day(1)}"]
    remove_old_features(deployment)
    assert len(list(deployment.features.iterdir())) == 3


@pytest.mark.parametrize("kind", [pa.int64(), pa.string()])
def test_candidates_of_the_forgotten_go_with_their_files(
    tmp_path: Path, con: Backend, kind
) -> None:
    deployment = make_deployment(tmp_path / "home", make_source(tmp_path / "landing"))
    users = pa.array([1, 2, 2, 3]).cast(kind)
    rows = pa.table(
        {
            "dt": pa.array([day(0)] * 4, pa.date32()),
            "user_id": users,
            "rank": pa.array([1, 1, 2, 1], pa.int32()),
        }
    )
    pa.parquet.write_table(rows, tmp_path / "rows.parquet")
    path = deployment.lake.path("candidates")
    assert forget_candidates(deployment, Forgotten().only([2]), con=con) == 0
    replace_day(path, day(0), tmp_path / "rows.parquet")
    assert forget_candidates(deployment, Forgotten(), con=con) == 0
    assert forget_candidates(deployment, Forgotten("salt").only([2, 9]), con=con) == 2
    left = DeltaTable(path).to_pyarrow_table()["user_id"].to_pylist()
    assert sorted(left) == pa.array([1, 3]).cast(kind).to_pylist()
    files = Path(path).rglob("*.parquet")
    held = pa.concat_tables(pa.parquet.read_table(file) for file in files)
    assert sorted(held["user_id"].to_pylist()) == sorted(left), "no file on disk holds them"


def test_a_day_is_replaced_and_the_others_stay(tmp_path: Path) -> None:
    path, file = str(tmp_path / "table"), tmp_path / "rows.parquet"

    def write(offset: int, *values: int) -> None:
        dts = pa.array([day(offset)] * len(values), pa.date32())
        pa.parquet.write_table(pa.table({"dt": dts, "value": pa.array(values)}), file)
        replace_day(path, day(offset), file)

    write(0, 1, 2)
    write(1, 3)
    write(0, 4)
    rows = DeltaTable(path).to_pyarrow_table().to_pylist()
    assert sorted((row["dt"], row["value"]) for row in rows) == [(day(0), 4), (day(1), 3)]


def test_the_pins_of_now_are_those_of_the_newest_catalogue(built, con: Backend) -> None:
    """The day's catalogue has landed, its events have not: a new Pin has no counters yet."""
    from convcg_assets.builds.build import build_table
    from convcg_assets.days import Days

    landing, deployment = built
    new = {
        "pin_id": 99,
        "advertiser_id": 1,
        "price": 7.5,
        "created_ts": at(NUM_DAYS, seconds=-3600),
    }
    kept = [row for row in landing.files[day(3), "pins", "a"] if row["pin_id"] != 0]
    landing.write(day(NUM_DAYS), "pins", [*kept, kept[0] | new])
    for stream in ("users", "impressions", "engagements", "conversions"):
        landing.write(day(NUM_DAYS), stream, [])
    build_table(deployment, "raw_events", Days(day(NUM_DAYS), day(NUM_DAYS)), con=con)
    newest, pins = pins_of_now(deployment, con=con)
    assert newest == day(NUM_DAYS)
    rows = {row["pin_id"]: row for row in pins.to_pylist()}
    assert set(rows) == {*range(1, NUM_PINS), 99}
    features = deployment.lake.read("pin_features", Days(day(NUM_DAYS), day(NUM_DAYS)), con=con)
    for row in con.to_pyarrow(features).to_pylist():
        if row["pin_id"] in rows:
            own = rows[row["pin_id"]]
            assert own["num_impressions_30d"] == row["num_impressions_30d"]
            assert own["advertiser_num_clicks_30d"] == row["advertiser_num_clicks_30d"]
    assert rows[99]["num_impressions_30d"] == rows[99]["num_conversions_30d"] == 0
    assert rows[99]["age_days"] == pytest.approx(1 / 24)
    assert rows[99]["price"] == 7.5


def test_nothing_was_read_yet(tmp_path: Path, con: Backend) -> None:
    deployment = make_deployment(tmp_path / "home", make_source(tmp_path / "landing"))
    with pytest.raises(LookupError, match="no catalogue of Pins was read yet"):
        pins_of_now(deployment, con=con)


PINS = pa.table({"pin_id": [1, 2, 3]})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pin_id\n2\n", [None, [], None]),
        ("pin_id,country\n2,DE\n2,FR\n3,\n", [None, ["DE", "FR"], []]),
    ],
)
def test_a_filter_table(tmp_path: Path, text: str, expected: list) -> None:
    (tmp_path / "table.csv").write_text(text)
    found = with_countries(PINS, tmp_path / "table.csv")["countries"].to_pylist()
    assert found == expected
    assert with_countries(PINS, None) is PINS


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("table.csv", "pin\n2\n", "has no column pin_id, but pin"),
        ("table.csv", "pin_id\nx\n", "pin_id: Failed to parse"),
        ("table.parquet", "no", "cannot be read"),
        ("none.csv", None, "cannot be read"),
    ],
)
def test_a_wrong_filter_table_is_named(tmp_path: Path, name, text, said) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=said) as raised:
        with_countries(PINS, tmp_path / name)
    assert str(tmp_path / name) in str(raised.value)
