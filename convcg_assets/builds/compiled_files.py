"""Compiled SQL in files, so that the next process need not compile it again.

Every run is a process of its own, and compiling takes longer than a small day. The files lie in a
folder of this code and these engines (`CONVCG_CACHE`, else in the user's cache folder): other code
never reads them. Whatever is wrong with a file or the folder, the SQL is compiled as if it were not
there.
"""

import hashlib
import json
import os
import shutil
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

KEPT_CODES = 5
"""Folders of other code that stay beside the one in use."""
_PACKAGE = Path(__file__).parents[1]


def _digest_code() -> str:
    digest = hashlib.sha256()
    for package in ("duckdb", "ibis-framework", "sqlglot"):
        digest.update(f"{package} {version(package)}\n".encode())
    for path in sorted(_PACKAGE.rglob("*.py")):
        digest.update(path.relative_to(_PACKAGE).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


CODE = _digest_code()
"""Tells the code apart that compiles; as it was when it was loaded."""


def read_compiled(key: Any) -> dict[str, Any] | None:
    """What was kept under a key; None where there is nothing sound."""
    folder = _folder()
    if folder is None:
        return None
    try:
        kept = json.loads((folder / _name(key)).read_text(encoding="utf-8"))
        return kept["compiled"] if kept["key"] == repr(key) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def keep_compiled(key: Any, compiled: dict[str, Any]) -> None:
    """Keep what was compiled, whole or not at all."""
    folder = _folder()
    if folder is None:
        return
    unfinished = folder / f"{_name(key)}.{os.getpid()}"
    try:
        text = json.dumps({"key": repr(key), "compiled": compiled})
        unfinished.write_text(text, encoding="utf-8")
        os.replace(unfinished, folder / _name(key))
    except OSError:
        unfinished.unlink(missing_ok=True)


def _name(key: Any) -> str:
    return f"{hashlib.sha256(repr(key).encode()).hexdigest()[:32]}.json"


def _folder() -> Path | None:
    return _made(os.environ.get("CONVCG_CACHE") or _cache_folder())


def _cache_folder() -> str:
    return str(Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "convcg")


@cache
def _made(root: str) -> Path | None:
    """The folder of this code, made if need be; None where none can be."""
    folder = Path(root) / f"sql-{CODE}"
    try:
        if not folder.exists():
            folder.mkdir(parents=True, mode=0o700, exist_ok=True)
            others = [other for other in Path(root).glob("sql-*") if other != folder]
            for other in sorted(others, key=lambda o: o.stat().st_mtime)[:-KEPT_CODES]:
                shutil.rmtree(other, ignore_errors=True)
        return folder if os.access(folder, os.W_OK) else None
    except (OSError, RuntimeError):  # Without a home there is no user's cache folder.
        return None
