"""Templates of a stream's path: which files are a day's, which days there are, what lies astray."""

import datetime as dt
from pathlib import Path

import pytest

from convcg_assets.sources.faults import LandingError
from convcg_assets.sources.finding import find_files, look_at_day
from convcg_assets.sources.landed import days_with_folders, inspect_day
from convcg_assets.sources.layout import parse_layout

DAY = dt.date(2026, 11, 25)
NEXT = dt.date(2026, 11, 26)


@pytest.fixture
def lay(tmp_path):
    """Makes empty files below the landing folder."""

    def make(*names: str) -> None:
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()

    return make


def with_path(source, path: str, **given):
    return source(streams={"impressions": {"path": path, **given}, "conversions": {}})


@pytest.mark.parametrize(
    ("path", "files", "names"),
    [
        ("e", ["e/dt=2026-11-25/b.csv", "e/dt=2026-11-25/a.csv"], ["a.csv", "b.csv"]),
        (
            "e/{year}/{month}/{day}/{hour}/",
            ["e/2026/11/25/03/p.gz", "e/2026/11/25/22/p.gz"],
            ["03/p.gz", "22/p.gz"],
        ),
        (
            "e/year={year}/month={month}/day={day}/",
            ["e/year=2026/month=11/day=25/a.csv"],
            ["a.csv"],
        ),
        ("e/dt={date}/hour=*/", ["e/dt=2026-11-25/hour=7/a.csv"], ["hour=7/a.csv"]),
        ("e/dt={date}/**", ["e/dt=2026-11-25/x/y/a.csv", "e/dt=2026-11-25/b"], ["b", "x/y/a.csv"]),
        ("e/dt={date}/**/", ["e/dt=2026-11-25/x/y/a.csv"], ["x/y/a.csv"]),
        ("e/{date}/**/part-*.gz", ["e/2026-11-25/x/part-0.gz"], ["x/part-0.gz"]),
        ("e/{year}{month}{day}/", ["e/20261125/a.csv"], ["a.csv"]),
        ("e/{year}/{date}/", ["e/2026/2026-11-25/a.csv"], ["a.csv"]),
        ("e/{date}.csv", ["e/2026-11-25.csv"], ["2026-11-25.csv"]),
        ("e/{date}-*.csv", ["e/2026-11-25-1.csv", "e/2026-11-25-0.csv"], None),
        ("e/shop-{date}-{hour}.csv", ["e/shop-2026-11-25-09.csv"], None),
        ("e/{year}/{month}/{day}", ["e/2026/11/25/a.csv"], ["25/a.csv"]),
        ("e/{year}/{month}/{day}", ["e/2026/11/25"], ["25"]),
        (
            "e/*/dt={date}/",
            ["e/eu/dt=2026-11-25/a.csv", "e/us/dt=2026-11-25/a.csv"],
            ["eu/dt=2026-11-25/a.csv", "us/dt=2026-11-25/a.csv"],
        ),
        ("{date}/", ["2026-11-25/a.csv"], ["a.csv"]),
    ],
)
def test_a_days_files(source, lay, tmp_path, path, files, names):
    lay(*files)
    # Another day, and names that are no day, are not this day's.
    lay(*(name.replace("25", "26") for name in files if "2026/11/25" not in name or "hour" in path))
    lay("e/notes.txt" if "/" in path else "notes.txt")
    given = with_path(source, path)
    found = find_files(given, "impressions", [DAY])
    assert [file.path for file in found] == sorted(tmp_path / name for name in files)
    if names is not None:
        assert [file.name for file in found] == names
    assert DAY in days_with_folders(given, "impressions")
    assert set(days_with_folders(given, "impressions")) <= {DAY, NEXT}
    assert inspect_day(given, DAY).files.keys() == {f"impressions/{f.name}" for f in found}


def test_names_that_are_no_day_are_nobodys(source, lay):
    lay("e/2026/02/30/a.csv", "e/2026/13/01/a.csv", "e/2026/1/1/a.csv", "e/last/01/01/a.csv")
    assert days_with_folders(with_path(source, "e/{year}/{month}/{day}/"), "impressions") == []
    lay("f/2026/2025-01-01/a.csv", "f/2025/2025-01-02/a.csv")
    found = days_with_folders(with_path(source, "f/{year}/{date}/"), "impressions")
    assert found == [dt.date(2025, 1, 2)]


@pytest.mark.parametrize(
    ("path", "file", "said"),
    [
        ("e", "e/dt=2026-11-25/hour=03/a.csv", r"hour=03: logs lie directly.*e/dt={date}/\*\*"),
        ("e/dt={date}/hour=*/", "e/dt=2026-11-25/hr=3/a.csv", r"hr=3.*e/dt={date}/\*\*"),
        ("e/dt={date}/hour=*/", "e/dt=2026-11-25/a.csv", "a.csv: it lies where"),
        ("e/{year}/{month}/{day}/{hour}/", "e/2026/11/25/3/a.csv", "25/3"),
        ("e/dt={date}/*.csv", "e/dt=2026-11-25/x/a.csv", "25/x"),
    ],
)
def test_what_lies_astray_is_an_error_of_its_day(source, lay, path, file, said):
    lay(file)
    with pytest.raises(LandingError, match=said) as error:
        find_files(with_path(source, path), "impressions", [DAY, NEXT])
    assert list(error.value.days) == [DAY]


def test_unfinished_files_are_left_out_and_told(source, lay):
    day = "e/dt=2026-11-25"
    lay(f"{day}/a.csv", f"{day}/b.csv.tmp", f"{day}/c.inprogress", f"{day}/_temporary/0/d.csv")
    lay(f"{day}/.a.csv.crc", f"{day}/_SUCCESS")
    given = with_path(source, "e")
    assert [file.name for file in find_files(given, "impressions", [DAY])] == ["a.csv"]
    left_out = ["_temporary", "b.csv.tmp", "c.inprogress"]
    assert look_at_day(given, "impressions", DAY).left_out == left_out


def test_unfinished_names_are_the_sources_to_say(source, lay):
    lay("e/dt=2026-11-25/a.csv", "e/dt=2026-11-25/b.csv.tmp")
    given = with_path(source, "e", unfinished=["a*"])
    assert [file.name for file in find_files(given, "impressions", [DAY])] == ["b.csv.tmp"]
    assert look_at_day(given, "impressions", DAY).left_out == ["a.csv"]


def test_a_day_with_unfinished_files_alone_has_not_landed(source, lay):
    lay("e/dt=2026-11-25/a.csv.tmp")
    with pytest.raises(LandingError, match=r"no finished log file, but a.csv.tmp"):
        find_files(with_path(source, "e"), "impressions", [DAY])


def test_files_that_a_pattern_does_not_name_are_left_out_and_told(source, lay):
    lay("e/dt=2026-11-25/a.csv", "e/dt=2026-11-25/manifest.json", "g/2026-11-25-a.csv.tmp")
    given = with_path(source, "e/dt={date}/*.csv")
    assert [file.name for file in find_files(given, "impressions", [DAY])] == ["a.csv"]
    assert look_at_day(given, "impressions", DAY).left_out == ["manifest.json"]
    beside = look_at_day(with_path(source, "g/{date}-*.csv"), "impressions", DAY)
    assert beside.left_out == ["2026-11-25-a.csv.tmp"]


def test_a_marker_in_a_folder_of_all_days_is_no_days(source, lay):
    lay("e/_SUCCESS", "e/2026-11-26.csv")
    with pytest.raises(LandingError, match=r"e holds no 2026-11-25.csv"):
        find_files(with_path(source, "e/{date}.csv"), "impressions", [DAY])


def test_a_marker_below_the_day_makes_it_an_empty_one(source, lay):
    lay("e/2026/11/25/00/_SUCCESS")
    given = with_path(source, "e/{year}/{month}/{day}/{hour}/")
    assert find_files(given, "impressions", [DAY]) == []
    assert inspect_day(given, DAY).files == {}


def test_a_file_in_an_hours_folder_changes_its_day_alone(source, lay, tmp_path):
    lay("e/2026/11/25/03/a.csv", "e/2026/11/26/03/a.csv")
    given = with_path(source, "e/{year}/{month}/{day}/{hour}/")
    before = {day: inspect_day(given, day).files for day in (DAY, NEXT)}
    lay("e/2026/11/25/23/a.csv")
    after = {day: inspect_day(given, day).files for day in (DAY, NEXT)}
    assert after[NEXT] == before[NEXT]
    assert after[DAY].keys() - before[DAY].keys() == {"impressions/23/a.csv"}
    (tmp_path / "e/2026/11/26/03/a.csv").write_text("x")
    assert inspect_day(given, NEXT).files != before[NEXT]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("e/{yaer}/{month}/{day}/", "unknown placeholder {yaer}"),
        ("e/{year}/{month}/", "does not say where a day's files lie"),
        ("e/*/", "does not say where a day's files lie"),
        ("e/{date", "brace without its other one"),
        ("e/**/dt={date}/", r"\*\* stands for any folders below the day"),
        ("e/**/{date}.csv", r"the day comes after it"),
        ("e/dt={date}/**x/", r"\*\* stands for any folders below the day"),
        ("../{date}/", "leads down"),
    ],
)
def test_a_wrong_template_is_told_with_the_right_one(source, path, said):
    with pytest.raises(ValueError, match=said):
        with_path(source, path)


def test_a_path_without_placeholders_is_what_it_was(tmp_path):
    layout = parse_layout("../logs/shop/")
    day = layout.find_day(tmp_path, DAY, unfinished=())
    assert day.folder == Path(tmp_path) / "../logs/shop/dt=2026-11-25"
    assert layout.root(tmp_path) == Path(tmp_path) / "../logs/shop"
    assert parse_layout("/var/logs").folder(tmp_path, DAY) == Path("/var/logs/dt=2026-11-25")
