"""An object store that stands in for S3: moto's server, in a process of its own."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.error import URLError

import pytest

BUCKET = "convcg"
SECRET = "not-to-be-told-to-anybody"
STARTS_WITHIN_S = 60


@contextmanager
def run_store() -> Iterator[None]:
    """A store with an empty bucket, in the environment as long as the block lasts.

    Skips where moto is not installed, unless `CONVCG_TEST_S3_REQUIRED` says that it must be.
    """
    if not os.environ.get("CONVCG_TEST_S3_REQUIRED"):
        pytest.importorskip("moto.server", reason="no moto: `make test-s3` installs it")
    port = _free_port()
    command = [sys.executable, "-c", "from moto.server import main; main()"]
    server = subprocess.Popen(
        [*command, "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    variables = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "tests",
        "AWS_SECRET_ACCESS_KEY": SECRET,
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        try:
            _make_bucket(variables["AWS_ENDPOINT_URL"])
            yield
        finally:
            server.kill()
            server.wait()


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def _make_bucket(url: str) -> None:
    until = time.monotonic() + STARTS_WITHIN_S
    while True:
        with suppress(URLError, ConnectionError):
            urllib.request.urlopen(urllib.request.Request(f"{url}/{BUCKET}", method="PUT"))
            return
        if time.monotonic() > until:
            raise TimeoutError(f"the store at {url} did not start")
        time.sleep(0.1)
