"""Log files as the embedded engine can read them: what it does not know is unpacked beside them."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from convcg_assets.sources.avro import AvroError, write_parquet
from convcg_assets.sources.compression import READ_BY_ENGINE, DamagedError, read_chunks
from convcg_assets.sources.files import LandingError, LogFile


def is_packed(file: LogFile) -> bool:
    """Whether the engine cannot read a file as it is: Avro, and text in bz2."""
    return file.format == "avro" or file.compression not in READ_BY_ENGINE


@contextmanager
def unpacked(files: Sequence[LogFile]) -> Iterator[list[LogFile]]:
    """The same files under the same names, Avro as Parquet and bz2 as plain text.

    What is unpacked lies in a temporary folder for as long as the block lasts. Raises LandingError
    where a file breaks meanwhile.
    """
    with tempfile.TemporaryDirectory(prefix="convcg-") as folder:
        yield [
            _unpack(file, Path(folder) / str(number)) if is_packed(file) else file
            for number, file in enumerate(files)
        ]


def _unpack(file: LogFile, into: Path) -> LogFile:
    try:
        if file.format == "avro":
            write_parquet(file.path, into)
            return replace(file, path=into, format="parquet")
        with into.open("wb") as plain:
            plain.writelines(read_chunks(file.path))
    except (AvroError, DamagedError) as error:
        raise LandingError(f"{file.path}: {error}. Land the file again") from error
    return replace(file, path=into, compression=None)
