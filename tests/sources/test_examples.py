"""The importers of the two public logs, on a few rows and, where they are at hand, on the logs."""

import datetime as dt
import importlib.util
import os
from pathlib import Path

import pytest

from convcg_assets.sources.source import load_source

EXAMPLES = Path(__file__).parents[2] / "examples"


def importer(name: str):
    path = EXAMPLES / name / "importer.py"
    spec = importlib.util.spec_from_file_location(f"{name}_importer", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def example(tables):
    """Valid rows of every stream of an example; asserts that none is rejected."""

    def read(name: str, landing: Path) -> dict[str, list[dict]]:
        path = EXAMPLES / name / "source.yaml"
        source = load_source(path).model_copy(update={"landing": landing})
        folders = (landing / "conversions").glob("dt=*")
        days = sorted(dt.date.fromisoformat(f.name.removeprefix("dt=")) for f in folders)
        found = tables(source, days)
        assert found["rejected_events"] == []
        return found

    return read


def test_retailrocket(tmp_path, example):
    start, minute = 1430623510000, 60_000
    log = tmp_path / "events.csv"
    log.write_text(
        "timestamp,visitorid,event,itemid,transactionid\n"
        f"{start},1,view,10,\n"
        f"{start + 30 * minute},1,view,11,\n"
        f"{start + 60 * minute + 1},1,view,12,\n"
        f"{start + 61 * minute},2,view,12,\n"
        f"{start + 62 * minute},1,addtocart,12,\n"
        f"{start + 2 * 1440 * minute},1,transaction,12,77\n"
    )
    counts = importer("retailrocket").land(log, into=tmp_path / "landing")
    assert counts == {"impressions": 4, "engagements": 4, "conversions": 2}
    found = example("retailrocket", tmp_path / "landing")
    assert {
        (r["user_id"], r["pin_id"]): (r["surface"], r["subject_pin_id"])
        for r in found["impressions"]
    } == {
        (1, 10): ("homefeed", None),
        (1, 11): ("related_pins", 10),
        (1, 12): ("homefeed", None),
        (2, 12): ("homefeed", None),
    }
    assert {r["impression_id"] for r in found["engagements"]} == {
        r["impression_id"] for r in found["impressions"]
    }
    assert sorted((r["event_name"], r["event_id"]) for r in found["conversions"]) == [
        ("add_to_cart", None),
        ("checkout", "77:12"),
    ]
    assert (tmp_path / "landing" / "conversions" / "dt=2015-05-04" / "_SUCCESS").exists()


def test_trivago(tmp_path, example):
    start = 1541548800
    actions = [  # (second, step, action, reference, impressions, prices)
        (0, 1, "interaction item image", "5", None, None),
        (1, 2, "interaction item image", "5", None, None),
        (2, 3, "search for destination", "Rome", None, None),
        (3, 4, "interaction item info", "99", None, None),
        (9, 5, "clickout item", "6", "4|5|6", "70|80|90"),
        (11, 6, "interaction item deals", "4", None, None),
    ]
    names = "user_id,session_id,timestamp,step,action_type,reference,platform,city,device,"
    lines = [names + "current_filters,impressions,prices"]
    for second, step, action, reference, shown, prices in actions:
        row = ["U", "s", start + second, step, action, reference, "IT", "Rome", "mobile", ""]
        lines.append(",".join(map(str, [*row, shown or "", prices or ""])))
    log = tmp_path / "train.csv"
    log.write_text("\n".join(lines) + "\n")
    importer("trivago").land(log, into=tmp_path / "landing")
    found = example("trivago", tmp_path / "landing")
    impressions = {r["impression_id"]: r for r in found["impressions"]}
    assert {i: (r["pin_id"], r["position"], r["query"]) for i, r in impressions.items()} == {
        "s:5:0": ("4", 0, "Rome"),
        "s:5:1": ("5", 1, "Rome"),
        "s:5:2": ("6", 2, "Rome"),
    }
    first_touch = dt.datetime.fromtimestamp(start, dt.UTC).replace(tzinfo=None)
    assert {r["impression_ts"] for r in impressions.values()} == {first_touch}
    columns = ("engagement_id", "engagement_type", "impression_id")
    assert sorted(tuple(r[c] for c in columns) for r in found["engagements"]) == [
        ("s:1", "close_up", "s:5:1"),
        ("s:4", "close_up", None),
        ("s:5", "click", "s:5:2"),
        ("s:6", "close_up", "s:5:0"),
    ]
    assert [(r["pin_id"], r["event_name"]) for r in found["conversions"]] == [("6", "checkout")]
    assert {r["pin_id"]: r["price"] for r in found["pins"]} == {"4": 70.0, "5": 80.0, "6": 90.0}
    assert [r["country"] for r in found["users"]] == ["IT"]


@pytest.mark.skipif("CONVCG_REAL_DATA" not in os.environ, reason="CONVCG_REAL_DATA is not set")
@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("retailrocket", "events.csv.gz"),
        ("trivago", "events.parquet"),
        ("brands", "events.csv.gz"),
    ],
)
def test_real_logs_pass_the_contract(tmp_path, example, name, file):
    log = Path(os.environ["CONVCG_REAL_DATA"]) / name / file
    counts = importer(name).land(log, into=tmp_path)
    found = example(name, tmp_path)
    assert {stream: len(found[stream]) for stream in counts} == counts
