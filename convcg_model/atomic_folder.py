"""A folder that appears whole or not at all, and the checksums of what is in it."""

import hashlib
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Write into the yielded folder; when the block ends well it becomes `path`.

    A folder that was at `path` is replaced. When the block fails, nothing has changed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}.unfinished")
    unfinished.mkdir()
    try:
        yield unfinished
        if path.exists():
            # A rename does not replace a folder with something in it, so the old one steps aside.
            old = path.with_name(f".{path.name}.{uuid.uuid4().hex}.old")
            path.rename(old)
            unfinished.rename(path)
            shutil.rmtree(old)
        else:
            unfinished.rename(path)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def file_checksums(folder: Path, names: list[str]) -> dict[str, str]:
    """SHA-256 of each named file of the folder."""
    checksums = {}
    for name in names:
        with (folder / name).open("rb") as file:
            checksums[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return checksums


def check_files(folder: Path, checksums: dict[str, str]) -> None:
    """ValueError, naming the file, where one is missing or differs from its checksum."""
    for name, expected in checksums.items():
        if not (folder / name).is_file():
            raise ValueError(f"{folder}: {name} is missing")
        found = file_checksums(folder, [name])[name]
        if found != expected:
            raise ValueError(
                f"{folder / name}: checksum is {found[:12]}..., but {expected[:12]}... was "
                "written; the file is damaged or was changed"
            )
