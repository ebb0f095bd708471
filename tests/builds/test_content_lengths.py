"""Content of another length is another encoder's: named when it lands, and nothing is written."""

import json
from pathlib import Path
from typing import Any

import pytest
from ibis.backends.duckdb import Backend

from convcg_assets.builds.raw import build_raw
from convcg_assets.days import Days
from convcg_assets.deployment import Deployment
from convcg_assets.sources.files import LandingError
from convcg_assets.sources.source import Source

from .deployment import contents, make_deployment
from .logs import FIRST_DAY, day


def land(root: Path, offset: int, *contents: list[Any] | None, version: str | None = None) -> None:
    """A day whose Pins have these contents, and no events."""
    for stream in ("engagements", "pins"):
        folder = root / stream / f"dt={day(offset)}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "_SUCCESS").touch()
    rows = [
        {"pin_id": f"p{number}", "content": content, "content_version": version}
        for number, content in enumerate(contents)
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (root / "pins" / f"dt={day(offset)}" / "pins.jsonl").write_text(text)


def make(home: Path, root: Path, **pins: Any) -> Deployment:
    given = {"name": "tiny", "first_day": FIRST_DAY, "landing": root}
    streams = {"engagements": {}, "pins": pins}
    return make_deployment(home, Source.model_validate({**given, "streams": streams}))


def build(deployment: Deployment, first: int, last: int, con: Backend) -> None:
    build_raw(deployment, Days(day(first), day(last)), con=con)


def test_another_length_is_named_with_file_and_day(tmp_path: Path, con: Backend) -> None:
    root = tmp_path / "landing"
    deployment = make(tmp_path / "home", root)
    land(root, 0, [1.0, 2.0], None)
    land(root, 1, None)
    land(root, 2, [1.0, 2.0, 3.0])
    build(deployment, 0, 0, con)
    before = contents(deployment, con=con, tables=["pins", "rejected_events"])
    with pytest.raises(LandingError) as error:
        build(deployment, 2, 2, con)
    said = str(error.value)
    assert "pins.jsonl: content has 3 numbers on 2026-02-28, and 2 on 2026-02-26" in said
    assert "content_version: {constant: second, since: 2026-02-28}" in said
    assert contents(deployment, con=con, tables=["pins", "rejected_events"]) == before


def test_a_range_is_compared_within_itself_and_with_what_follows(
    tmp_path: Path, con: Backend
) -> None:
    root = tmp_path / "landing"
    for offset in range(4):
        land(root, offset, [1.0] * (2 if offset < 2 else 3))
    deployment = make(tmp_path / "range", root)
    failed = build_raw(deployment, Days(day(0), day(3)), con=con).failed
    assert set(failed) == {day(2), day(3)}
    assert "3 numbers on 2026-02-28, and 2 on 2026-02-27" in failed[day(2)]
    assert deployment.lake.days("pins") == [day(0), day(1)]
    deployment = make(tmp_path / "later", root)
    build(deployment, 2, 3, con)
    with pytest.raises(LandingError, match="the lake: content has 3 numbers on 2026-02-28, and 2"):
        build(deployment, 0, 1, con)


def test_versions_have_lengths_of_their_own(tmp_path: Path, con: Backend) -> None:
    root = tmp_path / "landing"
    deployment = make(tmp_path / "home", root)
    land(root, 0, [1.0, 2.0], version="first")
    land(root, 1, [1.0, 2.0, 3.0], [4.0, 5.0, 6.0], version="second")
    build(deployment, 0, 1, con)
    assert len(contents(deployment, con=con, tables=["pins"])["pins"]) == 3
    assert contents(deployment, con=con, tables=["rejected_events"])["rejected_events"] == []


def test_a_version_may_be_said_in_the_source_file(tmp_path: Path, con: Backend) -> None:
    root = tmp_path / "landing"
    land(root, 0, [1.0, 2.0])
    land(root, 1, [1.0, 2.0, 3.0])
    constant = {"constant": "second", "since": str(day(1))}
    deployment = make(tmp_path / "home", root, columns={"content_version": constant})
    build(deployment, 0, 1, con)
    rows = deployment.lake.read("pins", Days(day(0), day(1)), con=con)
    found = {row["dt"]: row["content_version"] for row in con.to_pyarrow(rows).to_pylist()}
    assert found == {day(0): None, day(1): "second"}


def test_within_a_day_a_version_has_one_length(tmp_path: Path, con: Backend) -> None:
    root = tmp_path / "landing"
    land(root, 0, [1.0, 2.0], [1.0], [float("nan"), 1.0])
    deployment = make(tmp_path / "home", root)
    build(deployment, 0, 0, con)
    (first, second) = contents(deployment, con=con, tables=["rejected_events"])["rejected_events"]
    assert "wrong length of content" in first
    assert "content" in second


def test_a_declared_length_rejects_rows(tmp_path: Path, con: Backend) -> None:
    root = tmp_path / "landing"
    land(root, 0, [1.0, 2.0])
    land(root, 1, [1.0, 2.0, 3.0])
    deployment = make(tmp_path / "home", root)
    source = deployment.source.model_copy(update={"content_dim": 2})
    deployment = make_deployment(tmp_path / "declared", source)
    build(deployment, 0, 1, con)
    (rejected,) = contents(deployment, con=con, tables=["rejected_events"])["rejected_events"]
    assert "wrong length of content" in rejected
