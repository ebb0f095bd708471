"""Hostile files through build, check and splitter: each row has a place, or the file is refused."""

import datetime as dt
import gzip
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from ibis.backends.duckdb import Backend

from convcg_assets.builds.raw import build_raw
from convcg_assets.commands.main import cli
from convcg_assets.days import Days
from convcg_assets.sources.faults import LandingError
from convcg_assets.sources.source import Source

from .deployment import make_deployment

DAY = dt.date(2026, 1, 2)
HEADER = "user_id,pin_id,impression_ts,surface,query"
NUM = 300


def row(number: int, query: str = "tv", *, surface: str = "search") -> str:
    return f"u{number},p{number % 7},2026-01-02 10:00:{number % 60:02},{surface},{query}"


def csv(*changes: tuple[int, str], end: str = "\n", header: str = HEADER) -> bytes:
    """Rows 0 to 299, some of them with another query."""
    changed = dict(changes)
    rows = [row(number, changed.get(number, "tv")) for number in range(NUM)]
    return (end.join([header, *rows]) + end).encode()


def line(number: int) -> str:
    names = HEADER.split(",")
    return json.dumps(dict(zip(names, row(number).split(","), strict=True)))


LINES = [line(number) for number in range(NUM)]
GLUED = [*LINES[:100], *map("".join, zip(LINES[100::2], LINES[101::2], strict=True))]
BIG = "x" * 3_000_000


@dataclass(frozen=True)
class Case:
    """A file, and what becomes of its rows; every case has a day of its own."""

    name: str
    content: bytes
    reasons: dict[str, int] = field(default_factory=dict)
    num_valid: int = NUM
    keys: dict[str, Any] = field(default_factory=dict)
    pack: Callable[[bytes], bytes] = bytes

    @property
    def day(self) -> dt.date:
        return DAY + dt.timedelta(days=list(CASES.values()).index(self))

    @property
    def num_rows(self) -> int:
        return self.num_valid + sum(self.reasons.values())

    def land(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / self.name
        path.write_bytes(self.pack(self.content.replace(str(DAY).encode(), str(self.day).encode())))
        return path


AFTER, WITHIN = "text after a closing quote", "quote inside an unquoted field"
BACKSLASH = "backslash before a quote, and no escape is set"
SEVERAL = "more than one JSON object in a line"
CASES = {
    "sound": Case("a.csv", csv()),
    "two unclosed quotes": Case(
        "a.csv", csv((100, '"tv'), (200, '"radio')), {"unclosed quote": 2}, 298
    ),
    "an unclosed quote, one that closes it": Case(
        "a.csv", csv((100, '"tv'), (200, 'radio"')), {"unclosed quote": 1, WITHIN: 1}, 298
    ),
    "an unclosed quote at the end": Case("a.csv", csv((299, '"tv')), {"unclosed quote": 1}, 299),
    "backslash before a quote": Case(
        "a.csv", csv((100, '"tv 27\\" black"'), (150, '"\\"tv\\" set"')), {BACKSLASH: 2}, 298
    ),
    "backslash before a quote, as set": Case(
        "a.csv", csv((100, '"tv 27\\" black"')), keys={"escape": "\\"}
    ),
    "text after a closing quote": Case("a.csv", csv((100, '"tv" black')), {AFTER: 1}, 299),
    "a quote inside": Case("a.csv", csv((9, 'tv 27" x')), {WITHIN: 1}, 299),
    "a quote that means nothing": Case("a.csv", csv((9, '"tv 27" x')), keys={"quote": ""}),
    "too few and too many fields": Case(
        "a.csv",
        csv((9, "a,b")) + b"u,p\n" + row(7, "a,b,c,d,e").encode(),
        {"wrong number of fields": 3},
        299,
    ),
    "a value with a line break": Case("a.csv", csv((9, '"tv\n27"'), (20, '"a\r\nb"'))),
    "line breaks, as set": Case(
        "a.csv", csv((9, '"a,b,c,d\ne,f,g,h"')), keys={"line_breaks": True}
    ),
    "blank lines": Case("a.csv", csv() + b"\n\n\r\n" + row(300).encode() + b"\n\n", num_valid=301),
    "CRLF": Case("a.csv", csv((9, '"a,""b"""'), end="\r\n")),
    "CR alone": Case("a.csv", csv(end="\r")),
    "a CR in a value": Case("a.csv", csv((9, "a\rb"))),
    "zero bytes": Case("a.csv", csv((9, "a\x00b"), (10, "\x01"))),
    "a line of 3 MB": Case("a.csv", csv((9, BIG), (11, f'"{BIG}"'))),
    "zeros after gzip": Case(
        "a.csv.gz", csv(), pack=lambda text: gzip.compress(text, mtime=0) + bytes(512)
    ),
    "gzip in two parts": Case(
        "a.csv.gz",
        csv(),
        pack=lambda text: gzip.compress(text[:999], mtime=0) + gzip.compress(text[999:], mtime=0),
    ),
    "brackets in a name": Case("export[1].csv", csv()),
    "stars in a name": Case("a*.csv", csv()),
    "names used inside": Case("a.csv", csv(header="user_id,pin_id,impression_ts,surface,_file")),
    "JSON": Case("a?.jsonl", "\n".join(LINES).encode()),
    "JSON with a byte-order mark": Case("a.jsonl", b"\xef\xbb\xbf" + "\r\n".join(LINES).encode()),
    "glued JSON": Case("a.jsonl", "\n".join(GLUED).encode(), {SEVERAL: 100}, 100),
    "no JSON": Case(
        "a.jsonl",
        "\n".join([*LINES, "{'a': 1}", "[1]", '{"user_id": "u']).encode(),
        {"not a JSON object": 3},
    ),
    "a JSON line of 3 MB": Case(
        "a.jsonl", "\n".join([*LINES, f'{{"x": "{BIG}"}}']).encode(), {"null user_id": 1}
    ),
}
REFUSED = {
    "a quote that is left open in rows without all fields": (
        csv() + b'u,p,"2026\nu,p\n' + row(9).encode(),
        "line 302: a quoted value is not closed.*line_breaks: false",
    ),
    "the same with backslashes": (
        csv() + b'u,p,"a \\"",2026\nu,p\n' + row(9).encode(),
        r"line 302.*set `escape: \"\\\\\"` if a backslash",
    ),
    "a header that is left open": (
        b'user_id,"pin_id\n' + csv(),
        "first line must name every column",
    ),
    "a line of 70 MB": (csv() + b"x" * 70_000_000, "line 302 is longer than 64 MB"),
}


def make_source(landing: Path, keys: dict[str, Any]) -> Source:
    fields = {"name": "test", "first_day": DAY, "landing": landing, "on_missing_day": "empty"}
    return Source.model_validate(fields | {"streams": {"impressions": keys}})


Counts = dict[dt.date, tuple[int, int, dict[str, int]]]
"""Of each day the rows that landed, the valid rows, and the rejected rows by reason."""


def build(source: Source, home: Path, con: Backend, *, days: list[dt.date]) -> Counts:
    """What became of the rows, in a build of all the days at once."""
    deployment, every_day = make_deployment(home, source), Days(min(days), max(days))
    done = build_raw(deployment, every_day, con=con)
    valid = deployment.lake.num_rows("impressions", every_day, con=con)
    table = deployment.lake.read("rejected_events", every_day, con=con)
    rejected = con.to_pyarrow(table).to_pylist()
    assert all(row["raw"] for row in rejected)
    found: Counts = {}
    for day in days:
        mine = Counter(row["reason"] for row in rejected if row["dt"] == day)
        found[day] = (done.counts["impressions"][str(day)].rows, valid[day], dict(mine))
    return found


def check(landing: Path, keys: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """What `convcg check` says of the stream."""
    written = {"name": "test", "first_day": str(DAY), "landing": str(landing)}
    source = landing.parent / "source.yaml"
    source.write_text(json.dumps(written | {"streams": {"impressions": keys}}))
    done = CliRunner().invoke(cli, ["check", str(source), "--days", "31", "--json"])
    return done.exit_code, json.loads(done.stdout)["streams"]["impressions"]


def cut(log: Path, into: Path, keys: dict[str, Any] | None = None) -> Result:
    """`convcg split` with the same keys."""
    given = {f"--{key}": value for key, value in (keys or {}).items() if key != "line_breaks"}
    options = [f"{option}={value}" for option, value in given.items()]
    options += ["--line-breaks"] if "line_breaks" in (keys or {}) else []
    arguments = ["--time-column", "impression_ts", "--stream", "impressions", "--into", str(into)]
    return CliRunner().invoke(cli, ["split", str(log), *arguments, *options])


def alike() -> dict[str, list[Case]]:
    """Cases that are files of one source: of one format, and read by the same keys."""
    groups: dict[str, list[Case]] = {}
    for case in CASES.values():
        kind = "csv" if ".csv" in case.name else "jsonl"
        groups.setdefault(f"{kind} {case.keys or ''}".strip(), []).append(case)
    return groups


@pytest.mark.parametrize("group", alike())
def test_every_row_has_a_place(group: str, tmp_path: Path, con: Backend) -> None:
    cases = alike()[group]
    for case in cases:
        case.land(tmp_path / "landing" / "impressions" / f"dt={case.day}")
    source = make_source(tmp_path / "landing", cases[0].keys)
    expected = {case.day: (case.num_rows, case.num_valid, case.reasons) for case in cases}
    assert build(source, tmp_path / "home", con, days=list(expected)) == expected
    _, said = check(tmp_path / "landing", cases[0].keys)
    num_rows = sum(case.num_rows for case in cases)
    num_valid = sum(case.num_valid for case in cases)
    assert (said["rows"], said["valid"], said["rejected"]) == (
        *(num_rows, num_valid, num_rows - num_valid),
    )


def test_what_is_cut_has_the_same_rows(tmp_path: Path, con: Backend) -> None:
    for name, case in CASES.items():
        log = case.land(tmp_path / name)
        (tmp_path / name / "export1.csv").write_text("user_id\n")
        done = cut(log, tmp_path / "landing", case.keys)
        assert done.exit_code == 0, f"{name}: {done.output}"
        assert f"{case.num_rows:,} rows, {case.day} to {case.day}" in done.output, name
    expected = {case.day: (case.num_rows, case.num_valid, case.reasons) for case in CASES.values()}
    source = make_source(tmp_path / "landing", {})
    assert build(source, tmp_path / "home", con, days=list(expected)) == expected


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_whose_rows_are_uncertain_is_refused(
    case: str, tmp_path: Path, con: Backend
) -> None:
    content, said = REFUSED[case]
    path = tmp_path / "landing" / "impressions" / f"dt={DAY}" / "a.csv"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    deployment = make_deployment(tmp_path / "home", make_source(tmp_path / "landing", {}))
    with pytest.raises(LandingError, match=said) as told:
        build_raw(deployment, Days(DAY, DAY), con=con)
    assert str(path) in str(told.value)
    assert deployment.lake.version("impressions") is None
    status, checked = check(tmp_path / "landing", {})
    assert status == 1
    assert str(path) in checked["fault"]
    assert cut(path, tmp_path / "cut").exit_code == 1
    assert not list((tmp_path / "cut").rglob("*.parquet"))


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
def test_a_name_with_brackets_is_not_the_name_beside_it(
    kind: str, tmp_path: Path, con: Backend
) -> None:
    folder = tmp_path / "land*ing [1]" / "impressions" / f"dt={DAY}"
    folder.mkdir(parents=True)
    for name, users in (("export[1]", ["a"]), ("export1", ["b", "c"])):
        rows = [dict(zip(HEADER.split(","), row(0).split(","), strict=True)) for _ in users]
        rows = [found | {"user_id": user} for found, user in zip(rows, users, strict=True)]
        path = folder / f"{name}.{kind}"
        if kind == "parquet":
            pq.write_table(pa.Table.from_pylist(rows), path)
        elif kind == "jsonl":
            path.write_text("\n".join(map(json.dumps, rows)))
        else:
            path.write_text("\n".join([HEADER, *(",".join(found.values()) for found in rows)]))
    source = make_source(tmp_path / "land*ing [1]", {})
    assert build(source, tmp_path / "home *? it's", con, days=[DAY]) == {DAY: (3, 3, {})}
