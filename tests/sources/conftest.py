"""A landing zone in a temporary folder, and what the contract makes of it."""

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path

import ibis
import pytest
from ibis.backends.duckdb import Backend

from convcg_assets.lake.engine import connect
from convcg_assets.sources.contract import apply_contract
from convcg_assets.sources.implied import implied_impressions, implied_pins, implied_users
from convcg_assets.sources.reading import read_stream
from convcg_assets.sources.source import Source
from convcg_assets.sources.stream import STREAMS

from .contract_rows import ALL_STREAMS, ROWS

DAY = dt.date(2026, 1, 2)
Rows = list[dict]


@pytest.fixture(scope="session")
def con() -> Backend:
    return connect(threads=2)


@pytest.fixture
def land(tmp_path: Path) -> Callable[..., Path]:
    """Writes one file of a stream's day; text as UTF-8."""

    def write(
        stream: str, content: str | bytes, *, name: str = "a.csv", day: dt.date = DAY
    ) -> Path:
        path = tmp_path / stream / f"dt={day}" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


@pytest.fixture
def source(tmp_path: Path) -> Callable[..., Source]:
    """A source whose landing folder is the temporary one; impressions, conversions by default."""

    def build(**given: object) -> Source:
        fields = {"name": "test", "first_day": DAY, "landing": tmp_path}
        fields |= {"streams": {"impressions": {}, "conversions": {}}} | given
        return Source.model_validate(fields)

    return build


@pytest.fixture
def outcome(con: Backend) -> Callable[..., tuple[Rows, Rows]]:
    """Valid and rejected rows of a stream, in the order of the files."""

    def read(
        source: Source, stream: str, *, days: list[dt.date] | None = None
    ) -> tuple[Rows, Rows]:
        raw = read_stream(source, stream, days or [DAY], con=con)
        valid, rejected = apply_contract(raw, stream=stream, source=source)
        rejects = con.to_pyarrow(rejected).to_pylist()
        return (
            con.to_pyarrow(valid).to_pylist(),
            sorted(rejects, key=lambda r: (r["dt"], r["file"], r["row"])),
        )

    return read


@pytest.fixture
def tables(con: Backend) -> Callable[..., dict[str, Rows]]:
    """Every stream of a source, implied ones too, and all that was rejected."""

    def read(source: Source, days: list[dt.date]) -> dict[str, Rows]:
        valid: dict[str, ibis.Table] = {}
        rejected: Rows = []
        for stream in STREAMS:
            if source.stream(stream) is not None:
                raw = read_stream(source, stream, days, con=con)
                valid[stream], refused = apply_contract(raw, stream=stream, source=source)
                rejected += con.to_pyarrow(refused).to_pylist()
        events = [valid[s] for s in ("impressions", "engagements", "conversions") if s in valid]
        if "impressions" not in valid:
            valid["impressions"] = implied_impressions(
                valid["engagements"], surface=source.implied_surface, id_types=source.id_types
            )
        if "pins" not in valid:
            valid["pins"] = implied_pins(*events, id_types=source.id_types)
        if "users" not in valid:
            valid["users"] = implied_users(*events, id_types=source.id_types)
        rows = {stream: con.to_pyarrow(table).to_pylist() for stream, table in valid.items()}
        return rows | {"rejected_events": rejected}

    return read


@pytest.fixture
def judge(land, source, outcome):
    """What becomes of rows, given as changes to a sound row of the stream."""

    def run(stream, *changes, **fields):
        lines = [json.dumps(ROWS[stream] | change) for change in changes]
        land(stream, "\n".join(lines), name="a.jsonl")
        return outcome(source(**({"streams": ALL_STREAMS} | fields)), stream)

    return run
