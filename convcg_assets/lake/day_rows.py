"""Rows that no expression gives: a day of a Delta table, written from a Parquet file."""

import datetime as dt
import random
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable, WriterProperties, write_deltalake
from deltalake.exceptions import CommitFailedError, TableNotFoundError

MAX_COMMIT_ATTEMPTS = 8


def replace_day(path: str, day: dt.date, rows: Path) -> int:
    """Replace a day of the table by the rows of a file, in one commit; the version made.

    The file has the table's columns, `dt` among them. Of two writers of the same day the last to
    commit wins. Rows go through memory a batch at a time.
    """
    schema = pq.read_schema(rows)
    for attempt in range(1, MAX_COMMIT_ATTEMPTS + 1):
        try:
            delta = _open(path, schema)
            with pq.ParquetFile(rows) as file:
                batches = pa.RecordBatchReader.from_batches(schema, file.iter_batches())
                write_deltalake(
                    delta,
                    batches,
                    mode="overwrite",
                    partition_by=["dt"],
                    predicate=f"dt = '{day}'",
                    writer_properties=WriterProperties(compression="ZSTD", compression_level=1),
                )
            return delta.version()
        except CommitFailedError:
            if attempt == MAX_COMMIT_ATTEMPTS:
                raise
            time.sleep(random.uniform(0, 0.1 * 2**attempt))
    raise AssertionError("the last attempt returns or raises")


def _open(path: str, schema: pa.Schema) -> DeltaTable:
    """The table, created empty: an overwrite without one could wipe what another wrote."""
    try:
        return DeltaTable(path)
    except TableNotFoundError:
        return DeltaTable.create(path, schema, mode="ignore", partition_by=["dt"])
