"""A text file of a log as blocks of whole lines: decompressed, of its encoding, lines ended by \\n.

What stands in a line belongs to `csv_text.py` and `json_text.py`.
"""

from collections.abc import Iterator
from pathlib import Path

from convcg_assets.sources.compression import DamagedError, compression_of, read_blocks
from convcg_assets.sources.faults import LandingError

BLOCK_BYTES = 1024 * 1024
MAX_LINE_BYTES = 64 * 1024 * 1024
"""A line that is longer is no row of a log."""
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def line_blocks(path: Path, *, encoding: str = "utf-8") -> Iterator[bytes]:
    """The file in blocks that end where a line does; only the last line may lack its end.

    A byte-order mark is left out; `\\r` alone ends lines in a file that has no `\\n`. Raises
    LandingError naming the file, and the line, where it is damaged, not of its encoding, empty once
    decompressed, or has a line of more than 64 MB.
    """
    held: list[bytes] = []
    num_held, line, is_first, is_mac = 0, 1, True, False
    for block in _raw_blocks(path):
        if is_first:
            block = block.removeprefix(_BYTE_ORDER_MARK)
            is_mac, is_first = b"\r" in block and b"\n" not in block, False
        if is_mac:
            block = block.replace(b"\r", b"\n")
        cut = block.rfind(b"\n") + 1
        if not cut:
            held.append(block)
            num_held += len(block)
            if num_held > MAX_LINE_BYTES:
                raise LandingError(
                    f"{path}: line {line} is longer than {MAX_LINE_BYTES // 2**20} MB. Rows stand "
                    "in lines of their own: is this a file of lines?"
                )
            continue
        whole = b"".join((*held, block[:cut]))
        held, num_held = [block[cut:]], len(block) - cut
        _check_encoding(path, whole, encoding=encoding, line=line)
        line += whole.count(b"\n")
        yield whole
    if is_first:
        raise LandingError(f"{path}: empty file (compressed). Land it again")
    rest = b"".join(held)
    _check_encoding(path, rest, encoding=encoding, line=line)
    if rest:
        yield rest


def is_read_by_engine(path: Path, *, num_bytes: int) -> bool:
    """Whether the engine decompresses the file as Python does; `num_bytes` were decompressed.

    It knows gzip by the suffix alone, and stops at what follows the first part of a gzip file: more
    parts, or zeros that fill a block.
    """
    compression = compression_of(path)
    if compression != "gzip":
        return compression is None
    with path.open("rb") as file:
        file.seek(-4, 2)
        is_whole = int.from_bytes(file.read(), "little") == num_bytes % 2**32
    return is_whole and path.name.endswith(".gz")


def _raw_blocks(path: Path) -> Iterator[bytes]:
    try:
        yield from read_blocks(path, BLOCK_BYTES)
    except DamagedError as error:
        raise LandingError(f"{path}: {error}. Land the file again") from error


def _check_encoding(path: Path, block: bytes, *, encoding: str, line: int) -> None:
    try:
        block.decode(encoding)
    except UnicodeDecodeError as error:
        if error.end == len(block) and error.reason == "unexpected end of data":
            raise LandingError(
                f"{path}: ends within a character: cut off? Land it again"
            ) from error
        line += block.count(b"\n", 0, error.start)
        raise LandingError(
            f"{path}: line {line} is not {encoding} text (byte 0x{block[error.start]:02x}). "
            "Save it as UTF-8, or set `encoding: latin-1` for a CSV stream that is"
        ) from error
