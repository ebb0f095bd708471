"""`convcg check` on the log of a shop, sound and with each of the mistakes that people make."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest

from .conftest import Convcg

FIRST = dt.date(2026, 1, 2)
HEADER = "timestamp;visitorid;event;itemid;order;brand"
SOURCE = """
name: my-shop
first_day: 2026-01-02
id_types: {{user_id: int64, pin_id: int64}}
streams:
  engagements:
    path: log
    delimiter: "{delimiter}"
    time_unit: {time_unit}
    where: {{event: [view, wish]}}
    columns: {{user_id: {user}, pin_id: itemid, engagement_ts: timestamp, engagement_type: event}}
    events: {{{events}}}
  conversions:
    path: log
    delimiter: "{delimiter}"
    time_unit: ms
    where: {{event: buy}}
    columns:
      user_id: {user}
      pin_id: itemid
      event_ts: timestamp
      event_name: event
      event_id: [order, itemid]
    events: {{buy: checkout}}
"""
SOUND = {
    "delimiter": ";",
    "time_unit": "ms",
    "user": "visitorid",
    "events": "view: click, wish: null",
}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Two days of the log: a day has 200 views, 40 wishes and 10 purchases."""
    for number in range(2):
        day = FIRST + dt.timedelta(days=number)
        start = dt.datetime.combine(day, dt.time(), dt.UTC).timestamp()
        rows = [
            f"{start + 60 * i:.0f}000;{i % 7};{event};{i % 11};{i if event == 'buy' else ''};b"
            for i, event in enumerate(["view"] * 200 + ["wish"] * 40 + ["buy"] * 10)
        ]
        folder = tmp_path / "landing" / "log" / f"dt={day}"
        folder.mkdir(parents=True)
        (folder / "a.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    return tmp_path


def write_source(shop: Path, **changed: str) -> Path:
    path = shop / "source.yaml"
    path.write_text(SOURCE.format(**SOUND | changed))
    return path


def ask(convcg: Convcg, *arguments: object) -> tuple[int, dict[str, Any]]:
    done = convcg("check", *arguments, "--json")
    return done.exit_code, json.loads(done.stdout)


def test_a_sound_log_is_shown_as_it_will_be_read(convcg: Convcg, shop: Path) -> None:
    before = sorted(shop.rglob("*"))
    source = write_source(shop)
    done = convcg("check", source, "--rows", 2)
    assert done.exit_code == 0
    assert done.stdout.rstrip().endswith("ready to be built")
    assert "landed: 2 days, 2026-01-02 to 2026-01-03" in done.stdout
    assert (
        "250 rows: 200 valid, 0 rejected, 40 of events left out on purpose, 10 not" in done.stdout
    )
    assert "columns of the files not used: order, brand" in done.stdout
    assert "impressions: not in the source file, each engagement implies one" in done.stdout
    assert sorted(shop.rglob("*")) == sorted([*before, source]), "nothing is written"
    assert not (shop / "home").exists()


def test_json_holds_columns_rows_and_counts(convcg: Convcg, shop: Path) -> None:
    status, answer = ask(convcg, write_source(shop))
    assert (status, answer["ok"], answer["days"]) == (0, True, ["2026-01-03"])
    engagements = answer["streams"]["engagements"]
    assert engagements["files"] == {"2026-01-03": ["a.csv"]}
    assert engagements["columns"]["engagement_ts"]["from"] == "timestamp, ms since 1970"
    assert engagements["columns"]["engagement_id"]["from"] == "not in the files: made of the row"
    assert [engagements[c] for c in ("rows", "valid", "rejected", "ignored", "not_selected")] == [
        *(250, 200, 0, 40, 10)
    ]
    rows = engagements["first_rows"]
    assert [(r["user_id"], r["pin_id"], r["engagement_type"]) for r in rows] == [
        (0, 0, "click"),
        (1, 1, "click"),
        (2, 2, "click"),
    ]
    assert rows[1]["engagement_ts"] == "2026-01-03 00:01:00"
    bought = answer["streams"]["conversions"]["first_rows"][0]
    assert bought["event_id"] == "240:9"


def test_days_are_those_up_to_the_one_asked_for(convcg: Convcg, shop: Path) -> None:
    source = write_source(shop)
    _, answer = ask(convcg, source, "--days", 5)
    assert answer["days"] == ["2026-01-02", "2026-01-03"]
    assert answer["streams"]["conversions"]["valid"] == 20
    _, answer = ask(convcg, source, "--day", "2026-01-02")
    assert answer["days"] == ["2026-01-02"]


def test_a_day_that_has_not_landed_is_missing(convcg: Convcg, shop: Path) -> None:
    done = convcg("check", write_source(shop), "--day", "2026-01-09")
    assert done.exit_code == 1
    assert "dt=2026-01-09: missing: " in done.stdout
    assert "newest day that has landed: 2026-01-03" in done.stdout
    assert "not ready: see engagements, conversions above" in done.stdout


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"user": "visitor_id"}, "no column 'visitor_id'; nearest: 'visitorid'"),
        ({"delimiter": ","}, "is the delimiter ';'?"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_as_a_landing_would(
    convcg: Convcg, shop: Path, changed: dict[str, str], said: str
) -> None:
    done = convcg("check", write_source(shop, **changed))
    assert done.exit_code == 1
    assert said in done.stdout
    assert "dt=2026-01-03/a.csv" in done.stdout
    assert "Traceback" not in done.output


@pytest.mark.parametrize("unit", ["s", "iso"])
def test_a_wrong_unit_is_told_with_the_right_one(convcg: Convcg, shop: Path, unit: str) -> None:
    status, answer = ask(convcg, write_source(shop, time_unit=unit))
    engagements = answer["streams"]["engagements"]
    assert (status, answer["ok"], engagements["ok"]) == (1, False, False)
    (reason,) = engagements["reasons"]
    assert (reason["rows"], reason["file"], reason["row"]) == (200, "a.csv", 1)
    assert reason["reason"].startswith("malformed engagement_ts: ")
    assert json.loads(reason["raw"])["visitorid"] == "0"
    assert f"set streams.engagements.time_unit to ms (it is {unit})" in reason["hint"]
    stops, none = engagements["errors"]
    assert stops.startswith("a build would stop: few_rejected_rows: ")
    assert none == "no row is valid"
    assert answer["streams"]["conversions"]["ok"]


def test_events_that_nothing_maps_are_named(convcg: Convcg, shop: Path) -> None:
    status, answer = ask(convcg, write_source(shop, events="view: click"))
    (reason,) = answer["streams"]["engagements"]["reasons"]
    assert (reason["reason"], reason["rows"]) == ("unknown event", 40)
    assert reason["hint"].startswith("found 'wish': map each in streams.engagements.events")
    # 40 of 240 are a sixth: a warning, and a build would go on.
    assert status == 0
    assert "share 16.7%" in answer["streams"]["engagements"]["warnings"][0]


def test_times_long_ago_are_a_warning(convcg: Convcg, shop: Path) -> None:
    source = write_source(shop)
    source.write_text(
        source.read_text().replace(
            "    time_unit: ms\n    where: {event: buy}",
            "    time_unit: us\n    where: {event: buy}",
        )
    )
    _, answer = ask(convcg, source)
    assert answer["streams"]["conversions"]["warnings"] == [
        "event_ts goes back to 1970-01-21 10:56: is its time_unit right?"
    ]


def test_without_an_argument_it_is_the_deployments_source(
    convcg: Convcg, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVCG_SOURCE", str(write_source(shop)))
    assert "my-shop" in convcg("check").stdout


def test_days_outside_the_source_are_not_read_and_said_so(convcg: Convcg, shop: Path) -> None:
    source = write_source(shop)
    source.write_text(source.read_text().replace("first_day: 2026-01-02", "first_day: 2026-01-03"))
    said = convcg("check", source).stdout
    assert "1 landed days are outside first_day 2026-01-03, and are not read: 2026-01-02" in said


def test_nothing_landed_says_where_it_was_looked_for(convcg: Convcg, tmp_path: Path) -> None:
    failed = convcg("check", write_source(tmp_path))
    assert failed.exit_code == 1
    assert (
        f"nothing has landed below {tmp_path / 'landing'}: looked for log/dt={{date}}"
        in failed.stderr
    )


COARSE = """
name: shop
first_day: 2026-01-02
streams:
  engagements: {{path: log{repeats}}}
  conversions: {{on_missing_day: empty}}
"""


@pytest.mark.parametrize(("time", "proposal"), [("", "keep"), (" 10:00:00.250", "drop")])
def test_many_equal_rows_are_told_with_the_line_to_write(
    convcg: Convcg, tmp_path: Path, time: str, proposal: str
) -> None:
    rows = [f"u{n % 4},p,{FIRST}{time},click" for n in range(40)]
    folder = tmp_path / "landing" / "log" / f"dt={FIRST}"
    folder.mkdir(parents=True)
    lines = ["user_id,pin_id,engagement_ts,engagement_type", *rows, ""]
    (folder / "a.csv").write_text("\n".join(lines))
    source = tmp_path / "source.yaml"
    source.write_text(COARSE.format(repeats=""))
    status, answer = ask(convcg, source)
    assert status == 1
    (error,) = [e for e in answer["streams"]["engagements"]["errors"] if "repeats" in e]
    assert "36 of 40 rows (90.0%) are equal to one before them" in error
    assert f"set streams.engagements.repeats to {proposal} if" in error
    for repeats, valid in (("keep", 40), ("drop", 4)):
        source.write_text(COARSE.format(repeats=f", repeats: {repeats}"))
        status, answer = ask(convcg, source)
        engagements = answer["streams"]["engagements"]
        assert status == 0
        assert (engagements["valid"], engagements["rejected"]) == (valid, 0)
        assert engagements["repeats"] == 36
        assert f"36 equal to one before them, {'kept' if valid == 40 else 'left out'}" in (
            convcg("check", source).stdout
        )


def two_streams(folder: Path, users: list[str], buyers: list[str], pins: list[str]) -> Path:
    """A day of clicks and of purchases, by the ids of who clicked, who bought and what."""
    for stream, ids, ts, event in (
        ("engagements", users, "engagement_ts", "engagement_type,click"),
        ("conversions", buyers, "event_ts", "event_name,checkout"),
    ):
        name, value = event.split(",")
        rows = [f"{i},{p},{FIRST}T10:00:00,{value}" for i, p in zip(ids, pins, strict=True)]
        day = folder / "landing" / stream / f"dt={FIRST}"
        day.mkdir(parents=True)
        (day / "a.csv").write_text("\n".join([f"user_id,pin_id,{ts},{name}", *rows]) + "\n")
    source = folder / "source.yaml"
    source.write_text(
        f"name: s\nfirst_day: {FIRST}\nstreams: {{engagements: {{}}, conversions: {{}}}}"
    )
    return source


NUMBERS = [str(1000 + i) for i in range(20)]


@pytest.mark.parametrize(
    ("users", "buyers", "said"),
    [
        (NUMBERS, [f"u{n}" for n in NUMBERS], ["user_id of conversions"]),
        # One that is known is enough, and of nineteen that are not nothing is said.
        (NUMBERS, [*NUMBERS[:1], *(f"u{n}" for n in NUMBERS[1:])], []),
        (NUMBERS, [*(f"u{n}" for n in NUMBERS[1:]), ""], []),
    ],
)
def test_ids_that_no_stream_shares_are_told(
    convcg: Convcg, tmp_path: Path, users: list[str], buyers: list[str], said: list[str]
) -> None:
    code, answer = ask(convcg, two_streams(tmp_path, users, buyers, NUMBERS))
    assert code == 0
    assert [w.split(" is ")[0].removeprefix("none of the 20 ") for w in answer["warnings"]] == said
    for warning in answer["warnings"]:
        assert "the 20 of engagements: nothing would match" in warning
        assert "('u1000', '1000')" in warning


def test_where_that_selects_nothing_is_told_with_what_there_is(convcg: Convcg, shop: Path) -> None:
    source = write_source(shop)
    source.write_text(source.read_text().replace("where: {event: buy}", "where: {event: Buy}"))
    status, answer = ask(convcg, source)
    assert status == 0
    assert answer["streams"]["conversions"]["warnings"] == [
        "streams.conversions.where selects no row: event is 'view', 'wish', 'buy'"
    ]


def test_ids_that_stand_for_nothing_are_told_with_their_key(convcg: Convcg, shop: Path) -> None:
    for path in shop.rglob("a.csv"):
        path.write_text(path.read_text().replace(";3;buy;", ";undefined;buy;"))
    source = write_source(shop)
    source.write_text(source.read_text().replace("user_id: int64, ", ""))
    _, answer = ask(convcg, source)
    (told,) = answer["streams"]["conversions"]["warnings"]
    assert told.startswith("no_outsized_ids: dt 2026-01-03, column user_id, value undefined")
    assert told.endswith("name it in null_values")
    source.write_text(source.read_text() + 'null_values: ["undefined"]\n')
    _, answer = ask(convcg, source)
    assert answer["streams"]["conversions"]["warnings"] == []


def test_a_column_that_came_with_a_day_is_counted(convcg: Convcg, shop: Path) -> None:
    first, last = sorted(shop.rglob("a.csv"))
    first.write_text(first.read_text().replace("brand", "marke"))
    source = write_source(shop)
    text = source.read_text().replace("event_id: [order", "value: brand\n      event_id: [order")
    last.write_text(last.read_text().replace(";b\n", ";5\n"))
    source.write_text(text)
    status, answer = ask(convcg, source, "--days", 2)
    assert status == 1
    assert (
        "{column: brand, since: DATE} if it came with a day"
        in answer["streams"]["conversions"]["fault"]
    )
    source.write_text(text.replace("value: brand", "value: {column: brand, since: 2026-01-03}"))
    status, answer = ask(convcg, source, "--days", 2)
    assert (status, answer["streams"]["conversions"]["absent"]) == (
        0,
        {"2026-01-02": {"value": 250}},
    )
    assert (
        "dt=2026-01-02: null, since files lack the column: value (250 rows)"
        in (answer["streams"]["conversions"]["warnings"])
    )
