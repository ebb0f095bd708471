"""Compressed files: which compression a file has, and its bytes without it.

Parquet and Avro carry a compression of their own; this is about text.
"""

import bz2
import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal, cast

import pyarrow as pa

Compression = Literal["gzip", "zstd", "bz2"]
SUFFIXES: dict[str, Compression] = {
    ".gz": "gzip",
    ".gzip": "gzip",
    ".zst": "zstd",
    ".zstd": "zstd",
    ".bz2": "bz2",
}
_BEGINNINGS: dict[Compression, bytes] = {
    "gzip": b"\x1f\x8b\x08",
    "zstd": b"\x28\xb5\x2f\xfd",
    "bz2": b"BZh",
}
_BZ2_BLOCK = b"\x31\x41\x59\x26\x53\x59"
"""What follows `BZh` and the block size: text may begin with the letters alone."""


class DamagedError(ValueError):
    """A file that its compression cannot be taken off: what the library said."""


def compression_of(path: Path) -> Compression | None:
    """A file's compression by its suffix, else by its first bytes: delivery services name none."""
    by_name = SUFFIXES.get(path.suffix.lower())
    if by_name is not None:
        return by_name
    with path.open("rb") as file:
        first = file.read(10)
    if first.startswith(_BEGINNINGS["bz2"]) and first[4:] != _BZ2_BLOCK:
        return None
    return next((kind for kind, said in _BEGINNINGS.items() if first.startswith(said)), None)


def without_suffix(name: str) -> str:
    """A file's name without the suffix of its compression.

    >>> without_suffix("part-0.csv.zst")
    'part-0.csv'
    """
    return name[: -len(Path(name).suffix)] if Path(name).suffix.lower() in SUFFIXES else name


def read_blocks(path: Path, num_bytes: int) -> Iterator[bytes]:
    """A file's bytes, its compression taken off, in blocks of at most so many.

    Raises DamagedError where it is cut off or damaged.
    """
    compression = compression_of(path)
    with path.open("rb") as packed, _opened(packed, compression) as file:
        try:
            while block := file.read(num_bytes):
                yield bytes(block)
        except (EOFError, zlib.error, OSError) as error:
            if compression is None:
                raise
            raise DamagedError(f"cut off or damaged {compression} ({error})") from error


@contextmanager
def _opened(packed: IO[bytes], compression: Compression | None) -> Iterator[IO[bytes]]:
    if compression == "gzip":
        with gzip.GzipFile(fileobj=packed) as file:
            yield cast(IO[bytes], file)
    elif compression == "bz2":
        with bz2.BZ2File(packed) as file:
            yield cast(IO[bytes], file)
    elif compression == "zstd":
        with pa.CompressedInputStream(packed, "zstd") as file:
            yield cast(IO[bytes], file)
    else:
        yield packed
