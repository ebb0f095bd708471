"""Training examples in a file that is mapped into memory: rows are read where they are used."""

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa


def write_examples(batches: Iterable[pa.RecordBatch], schema: pa.Schema, path: Path) -> pa.Table:
    """Write batches to an Arrow file, and map it: a table whose columns lie on disk.

    The table is valid as long as it is held, even after the file was removed.
    """
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    with pa.memory_map(str(path)) as mapped:
        return pa.ipc.open_file(mapped).read_all()
