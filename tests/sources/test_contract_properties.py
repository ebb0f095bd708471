"""Random rows: each has exactly one fate, and a second rulebook agrees on which."""

import datetime as dt
import json
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from convcg_assets.sources.contract import apply_contract, count_rows
from convcg_assets.sources.reading import read_stream
from convcg_assets.sources.source import Source

DAY = dt.date(2026, 1, 2)
FIRST = dt.datetime(2025, 12, 31, 23)
END = dt.datetime(2026, 1, 3, 1)
TIMES = [FIRST - dt.timedelta(seconds=1), FIRST, END - dt.timedelta(seconds=1), END]

ROW = st.fixed_dictionaries(
    {
        "shop": st.sampled_from(["ours", "ours", "ours", "theirs", None]),
        "engagement_id": st.sampled_from(["1", "2", "3", "4", "5", "6", "1.0", None]),
        "user_id": st.sampled_from(["7", "7", "7", "8", "", "x"]),
        "pin_id": st.sampled_from(["p", "p", "q", None]),
        "engagement_ts": st.sampled_from([*map(str, TIMES), "2026-01-02 12:00", "noon"]),
        "what": st.sampled_from(["view", "view", "save", "search", "?", None]),
        "duration_s": st.sampled_from([None, 0, 1.5, -1, "nan", "1s"]),
    }
)


def fate(row: dict, seen: set[str]) -> str:
    """What the contract should make of a row, by plain Python; `1.0` is the id 1."""
    integers = {str(n) for n in range(10)}
    row = row | {"engagement_id": row["engagement_id"] and row["engagement_id"].removesuffix(".0")}
    if row["shop"] != "ours":
        return "not selected"
    if row["what"] == "search":
        return "ignored"
    sound = (
        row["engagement_id"] in integers
        and row["user_id"] in integers
        and row["pin_id"] is not None
        and row["what"] in ("view", "save")
        and row["duration_s"] in (None, 0, 1.5)
        and row["engagement_ts"] != "noon"
        and FIRST <= dt.datetime.fromisoformat(row["engagement_ts"]) < END
    )
    if not sound or row["engagement_id"] in seen:
        return "rejected"
    seen.add(row["engagement_id"])
    return "valid"


@pytest.mark.parametrize("user_type", ["int64", "string"])
@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(files=st.lists(st.lists(ROW, min_size=1, max_size=40), min_size=1, max_size=2))
def test_each_row_has_one_fate(con, user_type, files):
    for rows in files if user_type == "string" else []:
        for row in rows:  # As text, any user id but the empty one is right.
            row["user_id"] = {"x": "8"}.get(row["user_id"], row["user_id"])
    seen: set[str] = set()
    expected = Counter(fate(row, seen) for rows in files for row in rows)
    with tempfile.TemporaryDirectory() as landing:
        folder = Path(landing) / "log" / f"dt={DAY}"
        folder.mkdir(parents=True)
        for number, rows in enumerate(files):
            lines = [json.dumps(row) for row in rows]
            (folder / f"{number}.jsonl").write_text("\n".join(lines))
        source = Source.model_validate(
            {
                "name": "random",
                "first_day": DAY,
                "landing": landing,
                "id_types": {"user_id": user_type, "engagement_id": "int64"},
                "streams": {
                    "engagements": {
                        "path": "log",
                        "where": {"shop": "ours"},
                        "columns": {"engagement_type": "what"},
                        "events": {"view": "click", "save": "repin", "search": None},
                    },
                    "conversions": {"path": "log"},
                },
            }
        )
        raw = read_stream(source, "engagements", [DAY], con=con)
        valid, rejected = apply_contract(raw, stream="engagements", source=source)
        ids = con.to_pyarrow(valid)["engagement_id"].to_pylist()
        places = con.to_pyarrow(rejected.select("file", "row")).to_pylist()
        counts = con.to_pyarrow(count_rows(raw, stream="engagements", source=source)).to_pylist()
    found = {
        "valid": len(ids),
        "rejected": len(places),
        "ignored": sum(r["ignored"] for r in counts),
        "not selected": sum(r["elsewhere"] for r in counts),
    }
    assert found == {name: expected[name] for name in found}
    assert sorted(map(str, ids)) == sorted(seen)
    assert len({(p["file"], p["row"]) for p in places}) == len(places)
