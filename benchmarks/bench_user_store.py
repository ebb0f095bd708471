"""Benchmark: the features of a few users among a million, by ways to keep them.

    python -m benchmarks.bench_user_store

Each way is asked for 1, 8 and 32 users by id and gives an Arrow table of all their columns, as the
user tower reads them. LMDB and SQLite hold a user as JSON; LMDB is measured where it is installed,
for nothing else needs it. The last line is one JSON object: microseconds, 50th and 99th percentile,
by number of users.
"""

import argparse
import importlib
import json
import random
import sqlite3
import struct
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from benchmarks.bench_serve import DAY
from benchmarks.drawn_examples import draw_examples, draw_pins
from convcg_serving.day_features import load_day_features, write_day_features

ASKED = (1, 8, 32)
ROWS_AT_ONCE = 50_000

Get = Callable[[list[int]], pa.Table]


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.bench_user_store", description=__doc__
    )
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--lookups", type=int, default=300, help="of each number of users")
    options = parser.parse_args()
    ways: list[tuple[str, Callable[[pa.Table, Path], Get]]] = [
        ("sqlite", _sqlite),
        ("duckdb", _duckdb),
    ]
    try:
        ways.append(("lmdb", _lmdb(importlib.import_module("lmdb"))))
    except ImportError:
        print("lmdb is not installed: it is left out")
    with tempfile.TemporaryDirectory(prefix="convcg-bench-") as folder:
        root = Path(folder)
        users = draw_users(options.users)
        path = root / f"dt={DAY}"
        batches = users.to_batches(max_chunksize=ROWS_AT_ONCE)
        write_day_features(path, batches, draw_pins(100), day=DAY, schema=users.schema)
        features = load_day_features(path)
        found: dict[str, dict[str, Any]] = {
            "arrow": measure(lambda ids: _rows(features, ids), options)
        }
        for name, make in ways:
            begun = time.perf_counter()
            get = make(features.users, root)
            made = round(time.perf_counter() - begun, 1)
            found[name] = {"write_seconds": made, **measure(get, options)}
    print(json.dumps({"benchmark": "user_store", "users": options.users, **found}))


def draw_users(num_users: int) -> pa.Table:
    """Users with the columns of `user_features`; user i has the id 3 i."""
    parts = []
    for first in range(0, num_users, ROWS_AT_ONCE):
        num = min(ROWS_AT_ONCE, num_users - first)
        rows = draw_examples(first, num)
        named = {n.removeprefix("user_"): rows[n] for n in rows.schema.names if n[:5] == "user_"}
        named.pop("id")
        ids = pa.array(range(3 * first, 3 * (first + num), 3))
        parts.append(pa.table({"user_id": ids, **named}))
    return pa.concat_tables(parts).combine_chunks()


def measure(get: Get, options: argparse.Namespace) -> dict[str, dict[str, int]]:
    """Microseconds of lookups of drawn users; each is checked to be of whom was asked for."""
    drawn, found = random.Random(1), {}
    for num in ASKED:
        times = []
        for _ in range(options.lookups):
            ids = [3 * place for place in drawn.sample(range(options.users), num)]
            begun = time.perf_counter()
            table = get(ids)
            times.append(1e6 * (time.perf_counter() - begun))
            if sorted(table["user_id"].to_pylist()) != sorted(ids):
                raise RuntimeError(f"asked for {ids}, got {table['user_id'].to_pylist()}")
        times.sort()
        found[f"{num} users"] = {
            "p50": round(times[len(times) // 2]),
            "p99": round(times[int(0.99 * len(times))]),
        }
    return found


def _rows(features: Any, ids: list[int]) -> pa.Table:
    return features.users.take(pa.array(features.rows_of(ids)))


def _as_json(users: pa.Table) -> Iterator[tuple[int, bytes]]:
    for first in range(0, users.num_rows, ROWS_AT_ONCE):
        for row in users.slice(first, ROWS_AT_ONCE).to_pylist():
            yield row["user_id"], json.dumps(row).encode()


def _sqlite(users: pa.Table, root: Path) -> Get:
    con = sqlite3.connect(root / "users.sqlite")
    con.execute("PRAGMA journal_mode = OFF")
    con.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, row BLOB)")
    con.executemany("INSERT INTO users VALUES (?, ?)", _as_json(users))
    con.commit()

    def get(ids: list[int]) -> pa.Table:
        asked = ((con.execute("SELECT row FROM users WHERE id = ?", (i,)).fetchone()) for i in ids)
        return pa.Table.from_pylist([json.loads(row) for (row,) in asked], schema=users.schema)

    return get


def _duckdb(users: pa.Table, root: Path) -> Get:
    con = duckdb.connect(str(root / "users.duckdb"), config={"threads": 1})
    con.register("given", users)
    con.execute("CREATE TABLE users AS FROM given")
    con.execute("CREATE INDEX by_id ON users (user_id)")

    def get(ids: list[int]) -> pa.Table:
        listed = ", ".join(map(str, ids))
        return con.sql(f"FROM users WHERE user_id IN ({listed})").to_arrow_table()

    return get


def _lmdb(lmdb: Any) -> Callable[[pa.Table, Path], Get]:
    def make(users: pa.Table, root: Path) -> Get:
        environment = lmdb.open(str(root / "users.lmdb"), map_size=16 * 1024**3)
        with environment.begin(write=True) as transaction:
            for user_id, row in _as_json(users):
                transaction.put(struct.pack(">q", user_id), row, append=True)

        def get(ids: list[int]) -> pa.Table:
            with environment.begin() as transaction:
                rows = [json.loads(transaction.get(struct.pack(">q", i))) for i in ids]
            return pa.Table.from_pylist(rows, schema=users.schema)

        return get

    return make


if __name__ == "__main__":
    main()
