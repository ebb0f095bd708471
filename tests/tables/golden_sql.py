"""The SQL of every table's rows, as digests by version: `python -m tests.tables.golden_sql` writes.

Whoever changes what a table's rows are must raise the `version` of its entry, so that days that
were built before are rebuilt: `test_golden_sql.py` holds the SQL against these digests.
"""

import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any

import ibis
from ibis.backends.duckdb import Backend

from convcg_assets.builds.compiled import compile_rows
from convcg_assets.builds.raw_queries import compile_contract, compile_implied
from convcg_assets.days import Days
from convcg_assets.lake.engine import connect
from convcg_assets.sources.columns import STREAMS, type_schema
from convcg_assets.sources.source import Source
from convcg_assets.tables.raw import RAW_TABLES, REJECTED
from convcg_assets.tables.registry import DERIVED, TABLES
from convcg_assets.tables.settings import Settings
from convcg_assets.tables.table import Scope, Table

from .world import day

FILE = Path(__file__).with_name("golden_sql.json")
DAYS = Days(day(0), day(9))
VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "first touch, no delay": {
        "attribution": {"model": "first_touch"},
        "delay": {"maturity": "none"},
    },
    "linear, global delay": {"attribution": {"model": "linear"}, "delay": {"maturity": "global"}},
    "time decay, log2": {
        "attribution": {"model": "time_decay"},
        "labels": {"click_formula": "log2_share"},
    },
    "position based, all negatives": {
        "attribution": {"model": "position_based"},
        "negatives": {"sample_rate": 1},
    },
}
PLACE = {"_dt": "date", "_file": "string", "_row": "int64", "_defect": "string"}


def sources() -> dict[str, Source]:
    """A log of the first release, one that has as little as may be, and one that has everything."""
    whole: dict[str, Any] = {"name": "whole", "first_day": day(0)}
    bare = {**whole, "time_zone": "Europe/Berlin", "id_types": {"user_id": "int64"}}
    every = {**whole, "streams": {stream: {} for stream in STREAMS}}
    whole["streams"] = {stream: {} for stream, rules in STREAMS.items() if not rules.added}
    bare["streams"] = {"engagements": {}, "conversions": {}}
    logs = {"whole": whole, "bare": bare, "every": every}
    return {name: Source.model_validate(log) for name, log in logs.items()}


def golden() -> dict[str, dict[str, Any]]:
    """Of every table its version, and the digest of its SQL in each variant."""
    con = connect(threads=1)
    found: dict[str, dict[str, Any]] = {}
    whole, bare, every = sources().values()
    for name, entry in DERIVED.items():
        digests = {}
        for log, source in (("bare", bare), ("every", every)):
            # What a table does not read of a log changes nothing in it.
            if entry.is_there(source) and (log == "bare" or _reads_added(entry, source)):
                digests[log] = _digest_of(name, Scope(source, Settings()), con)
        known: dict[str, str] = {}
        if not entry.is_there(whole):
            found[name] = {"version": entry.version, "sql": digests}
            continue
        for variant, settings in VARIANTS.items():
            scope = Scope(whole, Settings.model_validate(settings))
            # A variant that this table does not know of is the one before.
            before = known.setdefault(entry.recipe(scope).settings, variant)
            if before == variant:
                digests[variant] = _digest_of(name, scope, con)
        found[name] = {"version": entry.version, "sql": digests}
    for name in RAW_TABLES:
        if name != REJECTED:
            logs = {
                log: source
                for log, source in sources().items()
                if RAW_TABLES[name].is_there(source) and (log == "every") == STREAMS[name].added
            }
            digests = {log: _raw_digest(name, source, con) for log, source in logs.items()}
            found[name] = {"version": RAW_TABLES[name].version, "sql": digests}
    con.disconnect()
    return found


def _reads_added(entry: Table, source: Source) -> bool:
    """Whether a table reads one that not every log has."""
    return any(TABLES[read.table].needs for read in entry.inputs(Scope(source, Settings())))


def _digest_of(table: str, scope: Scope, con: Backend) -> str:
    return _digest(compile_rows(table, DAYS, scope=scope, con=con).text)


def _raw_digest(stream: str, source: Source, con: Backend) -> str:
    """Of a stream as text and as typed columns; of one that the log lacks as it is implied."""
    if source.stream(stream) is None:
        present = [name for name in STREAMS if source.stream(name) is not None]
        return _digest(compile_implied(stream, present, source=source, con=con).text)
    names, typed = STREAMS[stream].mappable, type_schema(STREAMS[stream].columns, source.id_types)
    texts = []
    for kinds in (dict.fromkeys(names, "string"), {name: typed[name] for name in names}):
        schema = ibis.schema({**kinds, **PLACE})
        rows = compile_contract([schema], stream=stream, source=source, con=con)
        texts += [part.text for part in rows.values()]
    return _digest(*texts)


def _digest(*texts: str) -> str:
    """Ibis lists the columns that are dropped in no order: they are put in one."""
    ordered = (re.sub(r"EXCLUDE \(([^)]*)\)", _in_order, text) for text in texts)
    return hashlib.sha256("\n".join(ordered).encode()).hexdigest()[:16]


def _in_order(found: re.Match[str]) -> str:
    return f"EXCLUDE ({', '.join(sorted(found[1].split(', ')))})"


def write(*, same_rows: bool) -> None:
    """Write the digests; SystemExit where a table's SQL changed and its version did not."""
    found, known = golden(), json.loads(FILE.read_text(encoding="utf-8"))
    unraised = [
        table
        for table in found.keys() & known.keys()
        if found[table]["version"] == known[table]["version"] and found[table] != known[table]
    ]
    if unraised and not same_rows:
        raise SystemExit(
            f"other SQL, same version: {', '.join(sorted(unraised))}. Raise `version` in the "
            "entry; only where no row that was built can differ, add --same-rows"
        )
    FILE.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write(same_rows="--same-rows" in sys.argv[1:])
